//! An ATA over Ethernet (AoE) initiator as a library: it uses the disks that targets serve, without the kernel's driver.
//!
//! The core, [`Initiator`], is protocol logic and nothing else: no socket, no clock, no thread, no unsafe code. You bring a [`Link`]
//! that moves frames (the crate `aoe-link` has some), and the time. `Driver` adds the system's clock and a way to wait, and
//! `RemoteDisk` makes a target a [`bdev::Backend`] like any other.
//!
//! # How it keeps its word
//!
//! AoE has no connections and no sequence numbers: what is not answered is sent again, and may be executed twice and late. So:
//!
//! * **Every sending has a tag of its own.** A reply names the very sending it answers: each is a true round trip, and estimates are not
//!   spoilt by repeats.
//! * **A write is done when its last sending is answered**, never by a late reply to an earlier one: its successor might still be on
//!   its way, and overwrite what is written next. A read takes any.
//! * **The window** of a target is its advertised buffer count at most; it begins small, grows with the replies, is halved when later
//!   replies show a loss, and goes back to one when none came at all.
//! * **Times** follow measured round trips, reads, writes and the rest apart, double with every timeout, and end at a deadline: a
//!   request fails as [`Failure::Timeout`] when one of its frames has had no answer for so long, or nothing has.
//! * **Paths** are stations that answer at the target's address, by any link. They are used in turn; one that loses several requests in
//!   a row is left to probes until it answers, as long as there is another.
//! * **Frames** are as long as the target offers and every path in use carries, and are cut again when an MTU shrinks.
//!
//! Requests in flight together are executed in any order: whoever writes a sector twice waits for the first write's end.
//!
//! # Layers
//!
//! ```text
//!   RemoteDisk ─> Driver ─> Initiator ──────> Session ──────────────────────> Link     bdev   aoe-link
//!   (Backend)     clock,    tags to sessions  Task: pieces   Window, Rtt      frames
//!                 waiting   (Flights)         of a request   Path in turn
//! ```
//!
//! # Example
//!
//! A target in memory, and the first sector of its disk:
//!
//! ```
//! use std::time::Duration;
//!
//! use aoe_initiator::bdev::{AlignedBuf, Backend, Extent, Inline, Io, IoBuf, MemDisk};
//! use aoe_initiator::{Address, AttachOptions, Event, Initiator, MacAddr};
//! use aoe_link::MemLink;
//! use aoe_target::{Server, State, Target, TargetOptions};
//!
//! let (ours, theirs) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 7, 3]), 1500);
//! let address = Address::new(7, 3);
//! # let disk = Inline::new(MemDisk::new(16384));
//! # let info = Backend::<bytes::BytesMut>::info(&disk);
//! # let mut server = Server::new();
//! # let link = server.add_link(theirs);
//! # let target = Target::new(TargetOptions::new(address), info, State::default());
//! # server.add_target(target, disk.open_queue(16)?, Box::new(|_| Ok(())), &[link]).unwrap();
//!
//! let mut initiator = Initiator::new(1); // another number for each process
//! initiator.add_link(ours);
//! let disk = initiator.attach(address, AttachOptions::default());
//!
//! let mut now = Duration::ZERO; // a clock of your own
//! let sector = loop {
//!     now += Duration::from_millis(1);
//!     let _ = initiator.turn(now)?; // then wait for `events()`, at most until `deadline()`, and again
//! #   let _ = server.turn(now)?;
//!     match initiator.poll() {
//!         Some(Event::Ready(_)) => {
//!             let io = Io::read(Extent::new(0, 1), AlignedBuf::with_len(512, 512), 0);
//!             let _queued = initiator.submit(disk, io);
//!         }
//!         Some(Event::Done(_, completion)) => break completion.done.into_buf(),
//!         _ => {}
//!     }
//! };
//! assert_eq!(sector.bytes(), [0; 512]);
//! # Ok::<(), std::io::Error>(())
//! ```
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
