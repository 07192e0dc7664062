//! An ATA over Ethernet (AoE) target as a library: owned frames in, owned frames out.
//!
//! AoE serves a disk to other machines on the same Ethernet, without IP. A *target* owns a disk and answers; an *initiator* uses it.
//! This crate is the target's logic, and nothing else: no socket, no file, no clock, no thread, no unsafe code. You bring a [`Link`]
//! that moves frames (the crate `aoe-link` has some) and a [`Backend`] that stores sectors (the crate `bdev`, re-exported here, has
//! some).
//!
//! The one idea: **the request frame is the I/O buffer is the reply frame.** A frame is received once, its payload is written from or
//! read into in place, its header is edited into the answer, and it is sent. No copy, and no allocation once warm.
//!
//! # Layers
//!
//! ```text
//!   Link ──frames──> Server ──> Export ──────────────> IoQueue        aoe-link   bdev
//!                    routes     Target: judge, reply   (Backend)
//!                    by address Inflight: order
//! ```
//!
//! * [`Server`] is the loop over any number of links and disks, see [`Server::turn`].
//! * [`Target`] is one disk's protocol as three pure functions, for who wants a loop of their own: [`Target::handle`],
//!   [`Target::finish`] and [`Target::change`].
//!
//! # Example
//!
//! A disk in memory, served on a link in memory:
//!
//! ```
//! use std::time::Duration;
//!
//! use aoe_link::MemLink;
//! use aoe_target::bdev::{Inline, MemDisk};
//! use aoe_target::{Address, Backend, MacAddr, Server, State, Target, TargetOptions};
//! use bytes::BytesMut;
//!
//! let (ours, theirs) = MemLink::pair(MacAddr([2, 0, 0, 0, 7, 3]), MacAddr([2, 0, 0, 0, 0, 1]), 1500);
//! let disk = Inline::new(MemDisk::new(16384));
//! let info = Backend::<BytesMut>::info(&disk);
//!
//! let mut server = Server::new();
//! let link = server.add_link(ours);
//! let target = Target::new(TargetOptions::new(Address::new(7, 3)), info, State::default());
//! server.add_target(target, disk.open_queue(16)?, Box::new(|_| Ok(())), &[link]).unwrap();
//!
//! let progress = server.turn(Duration::ZERO)?; // then wait for `server.events()`, and again
//! assert_eq!(progress.sent, 1, "the target has advertised itself");
//! # drop(theirs);
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod ata;
mod bucket;
mod change;
mod export;
mod head;
mod histogram;
mod identity;
mod inflight;
mod initiators;
mod lanes;
mod late;
mod limit;
mod mask;
mod port;
mod query;
mod recent;
mod reply;
mod reserve;
mod routes;
#[cfg(feature = "sabotage")]
mod sabotage;
mod server;
mod slots;
mod state;
mod stats;
mod sweep;
mod tap;
mod target;

pub use aoe_l2::{Frame, Link, LinkInfo};
pub use aoe_wire::{Address, MacAddr};
pub use bdev;
pub use bdev::{Backend, BlockingBackend, DeviceInfo, Done, Io, IoBuf, IoQueue, Status, Submit};
pub use change::{EditState, Edited, SaveState};
pub use export::OpenDisk;
pub use histogram::Histogram;
pub use identity::Identity;
pub use initiators::Initiator;
#[cfg(feature = "sabotage")]
#[doc(hidden)]
pub use sabotage::Sabotage;
pub use server::{AddError, LinkId, MAX_REQUESTS, Progress, Server, TargetId};
pub use state::State;
pub use stats::{ServerStats, Stats};
pub use tap::{Direction, Tap, Tapped};
pub use target::{Step, Target, TargetOptions};
