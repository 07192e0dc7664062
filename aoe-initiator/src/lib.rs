//! An ATA over Ethernet (AoE) initiator as a library.
#![forbid(unsafe_code)]

mod control;
mod copy;
#[cfg(feature = "disk")]
mod disk;
#[cfg(feature = "disk")]
mod driver;
mod emit;
mod event;
mod failure;
mod flight;
mod initiator;
mod port;
mod remote;
mod rtt;
mod session;
mod task;
mod window;

pub use aoe_l2::{Frame, Link, LinkInfo};
pub use aoe_wire::{Address, MacAddr};
pub use bdev;
pub use control::{Answer, Control, Reply};
#[cfg(feature = "disk")]
pub use disk::{ConnectError, RemoteDisk};
#[cfg(feature = "disk")]
pub use driver::Driver;
pub use event::{Completion, Event, Found};
pub use failure::{Failure, Malformed};
pub use initiator::{Initiator, Progress, RemoteId, RequestId};
pub use port::LinkId;
pub use remote::{AttachOptions, Path, Remote, RemoteStats};
