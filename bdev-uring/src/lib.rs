//! Regular files and block devices over io_uring: [`UringDisk`], a [`bdev::Backend`] over what [`bdev::FileDisk`] opens.
//!
//! # Which way a request goes
//!
//! | request | page cache | `direct` |
//! |---|---|---|
//! | read | in place what is cached (`RWF_NOWAIT`), the rest through the ring | through the ring, into the buffer |
//! | write | in place, into the page cache | through the ring, out of the buffer |
//! | write with `fua` | in place, then one `fdatasync` in the ring for all that have been written meanwhile | alone: with `RWF_DSYNC`; several together: written, then one `fdatasync` for all |
//! | flush | that `fdatasync` | that `fdatasync` |
//! | part of a device's block, discard, write-zeroes | discard and write-zeroes: on a thread | on a thread |
//!
//! * Files without a medium (tmpfs) are read and written in place.
//! * A durable write or a flush ends when a sync that began after its data was written has succeeded, and those that ran beside it. Two
//!   run at a time, and meanwhile the next group gathers. When a sync fails, everybody who waited for it fails, and from then on every
//!   flush and every durable write, until the file is opened anew: the kernel tells an open file only once of data that it could not
//!   write back, and not whose it was. So each queue has the file opened once more, for its syncs.
//! * With `direct`, memory that does not fit the device's alignment is copied, once, in the queue. Parts of a block go to [`FileDisk`],
//!   on a thread: it reads, changes and writes the block under a lock, so that neighbours in one block do not undo each other's work. A
//!   write of whole blocks beside needs no lock: it has no sector in common with the part, or the two overlap.
//! * Files on a medium are not mapped: nothing tells whether a page is cached, and to wait for one would hold up the thread.
//!
//! # Buffers
//!
//! The kernel owns a request's buffer until its completion: the queue keeps the request where it is, and dropping the queue cancels what
//! can be cancelled and waits for the rest. Nothing else of this crate is unsafe.
//!
//! # One place to wait
//!
//! [`IoQueue::event`](bdev::IoQueue::event) is the descriptor of the ring. It becomes readable also for what works on threads, since the
//! ring watches them. It is the same for the life of the queue, for `poll` and `epoll`. Note that
//! the thread that submitted deals with completions when it is next in the kernel, which ends its `epoll_wait` with `EINTR`: reap then, too.
//!
//! # Where it works
//!
//! Linux 5.6, better 5.19. Where io_uring is not to be had, `open_queue` says why in one line ([`Unavailable`]), and
//! [`bdev::Pooled`] does the same on threads:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bdev::{AlignedBuf, Backend, Extent, FileDisk, FileOptions, Io, IoBuf, IoQueue, Pooled, Status, Submit};
//! use bdev_uring::UringDisk;
//!
//! # let file = tempfile::NamedTempFile::new()?;
//! # file.as_file().set_len(1 << 20)?;
//! # let path = file.path();
//! let disk = Arc::new(FileDisk::open(&FileOptions::new(path)).map_err(std::io::Error::other)?);
//! let mut queue: Box<dyn IoQueue<AlignedBuf>> = UringDisk::new(Arc::clone(&disk)).open_queue(16).or_else(|why| {
//!     eprintln!("{why}");
//!     Pooled::from(disk).open_queue(16)
//! })?;
//!
//! let write = Io::new(bdev::Op::Write { fua: true }, Extent::new(9, 1), AlignedBuf::with_len(512, 512), 0);
//! let mut ended = Vec::new();
//! match queue.submit(write) {
//!     Submit::Done(done) => ended.push(done),
//!     Submit::Queued => {}
//!     Submit::Full(io) => unreachable!("of 16, none is in flight: {}", io.abandon().extent()),
//! }
//! queue.kick()?;
//! while ended.is_empty() {
//!     // A program waits for `queue.event()` here.
//!     queue.reap(&mut ended);
//! }
//! assert_eq!(ended[0].status(), Status::Ok);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`FileDisk`]: bdev::FileDisk
#![deny(unsafe_code)]

mod commit;
mod disk;
mod queue;
mod ring;
mod transfers;
mod unavailable;

pub use disk::UringDisk;
pub use unavailable::Unavailable;
