//! Block devices as queues.
//!
//! This crate is the vocabulary that a storage front end (a network target, a ublk or vhost-user server) and a storage back end (a file,
//! a ring, an encrypting layer) share. It knows sectors and buffers; it knows no network, no command set and no runtime.
//!
//! # The contract
//!
//! * A [`Backend`] is a device, shared between threads. [`Backend::open_queue`] makes an [`IoQueue`], which belongs to one thread, so
//!   that the data path has no lock.
//! * A request is an [`Io`]: it **owns** its buffer. [`IoQueue::submit`] either finishes it at once ([`Submit::Done`]), keeps it
//!   ([`Submit::Queued`]), or hands it back because there is no room ([`Submit::Full`]). What was kept comes back from
//!   [`IoQueue::reap`], in any order and after any time.
//! * Every [`Io`] ends as exactly one [`Done`], which returns the buffer. An `Io` dropped on the way panics in debug builds;
//!   [`Io::abandon`] is the one way to give a request up.
//! * [`Io::check`] decides range, read-only, feature and room in the buffer, in this order. A queue at the bottom of a stack answers what
//!   it refuses with its status; a front end may ask earlier, to do without the submission.
//! * A short transfer is [`Status::Media`], never [`Status::Ok`]. The cause of a failure is logged where it happened.
//! * Write data belongs to the queue until `Done`: a layer may change it in place. What the caller finds in a buffer after a *write* is
//!   unspecified; after a *read* that failed, too.
//! * [`Op::Flush`] makes durable every write whose `Done` was returned before the flush was submitted. A write with `fua` is durable
//!   before its own `Done`.
//! * Requests in flight together may run in any order. Whoever submits two that overlap, one of them a write, decides nothing about the
//!   outcome: ordering belongs to the front end.
//! * Dropping a queue waits until nothing outside uses its buffers any more.
//!
//! # Writing a backend
//!
//! A device whose operations return when they are done implements the four methods of [`BlockingBackend`]; the rest have defaults.
//! [`Inline`] then runs it in place, [`Pooled`] on threads, and one call of `testing::conformance` (feature `testing`) in a test shows
//! that it keeps the contract. A device that has a queue of its own (a ring, a connection) implements [`Backend`] and [`IoQueue`] instead, and:
//!
//! * answers what [`Io::check`] refuses at once, in `submit`;
//! * counts what it keeps: never more than its depth, and [`Submit::Full`] only while something is in flight;
//! * ends requests in `reap`, and has an `event` that is readable while there is something to reap, or none at all;
//! * in `Drop`, waits until the device no longer touches the buffers it was given.
//!
//! ```
//! use bdev::{BlockingBackend, DeviceInfo, Status};
//!
//! /// Every sector holds its own number.
//! struct Counting;
//!
//! impl BlockingBackend for Counting {
//!     fn info(&self) -> DeviceInfo {
//!         DeviceInfo { sectors: 1 << 20, read_only: true, ..DeviceInfo::default() }
//!     }
//!     fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
//!         for (sector, number) in data.chunks_mut(512).zip(lba..) {
//!             sector.fill(0);
//!             sector[..8].copy_from_slice(&number.to_le_bytes());
//!         }
//!         Ok(())
//!     }
//!     fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Status> {
//!         Err(Status::ReadOnly)
//!     }
//!     fn flush(&self) -> Result<(), Status> {
//!         Ok(())
//!     }
//! }
//!
//! bdev::testing::conformance(&bdev::Inline::new(Counting));
//! bdev::testing::conformance(&bdev::Pooled::new(Counting));
//! ```
//!
//! # Writing a layer
//!
//! A layer (encryption, copy-on-write, lazily fetched stripes) is a struct that wraps a queue and is a queue: it changes the [`Io`] on
//! the way down and the [`Done`] on the way up, and passes the rest through. Mind that
//!
//! * [`Submit::Full`] gives the request back: hand it on as it came, so undo what was done to it, or keep it and try again in `reap`;
//! * features of the device below may not hold above: a layer that changes the data must not promise zeros;
//! * a request that must wait for something slow is kept, the layer answers [`Submit::Queued`], counts it in `in_flight` and lets others
//!   pass; what it still holds when dropped it [abandons](Io::abandon);
//! * a layer that submits of its own accord, in `reap`, must `kick` the queue below there.
//!
//! `examples/layer.rs`, whole:
//!
//! ```
#![doc = include_str!("../examples/layer.rs")]
//! ```
//!
//! # Buffers
//!
//! [`IoBuf`] is implemented by [`AlignedBuf`], [`bytes::BytesMut`] and `Vec<u8>`, all in one piece. A buffer in several pieces (frames
//! of an AF_XDP ring, guest memory of a virtio chain) overrides [`IoBuf::segments`]; for the others that costs nothing.
//!
//! # Example
//!
//! ```
//! use bdev::{AlignedBuf, Backend, Extent, Inline, Io, MemDisk, Status, Submit};
//!
//! let disk = Inline::new(MemDisk::new(2048));
//! let mut queue = Backend::<AlignedBuf>::open_queue(&disk, 16)?;
//!
//! let mut buf = AlignedBuf::new(512, 512, 0);
//! buf.set_len(512);
//! buf.bytes_mut().fill(7);
//! let Submit::Done(done) = queue.submit(Io::write(Extent::new(9, 1), buf, 0)) else { unreachable!("an inline disk") };
//! assert_eq!(done.status(), Status::Ok);
//!
//! let Submit::Done(done) = queue.submit(Io::read(Extent::new(9, 1), done.into_buf(), 0)) else { unreachable!("an inline disk") };
//! assert_eq!(done.into_buf().bytes(), [7; 512]);
//! # use bdev::IoBuf;
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(clippy::undocumented_unsafe_blocks)]

mod blocking;
mod buf;
mod done;
mod file;
mod io;
mod mem;
mod null;
mod page;
mod pooled;
mod queue;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use blocking::{BlockingBackend, Inline};
pub use buf::{AlignedBuf, IoBuf};
pub use done::{Done, Status, Submit};
pub use file::{Alignment, FileDisk, FileOptions, OpenError, OpenErrorKind};
pub use io::{Extent, Io, Op};
pub use mem::MemDisk;
pub use null::NullDisk;
pub use pooled::Pooled;
pub use queue::{Backend, DeviceInfo, Features, IoQueue};

/// Bytes in a sector: the unit of every [`Extent`], whatever the device's own block size.
pub const SECTOR_SIZE: usize = 512;
