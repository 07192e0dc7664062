//! What a device is: [`Backend`], one thread's handle on it, [`IoQueue`], and what it says of itself, [`DeviceInfo`].

use std::io;
use std::ops::BitOr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::{Done, Io, Submit};

/// One thread's handle on a device.
///
/// A driver loop: `submit` what there is, `kick` once, `reap`; when `in_flight` is not 0 and there is nothing else to do, wait until
/// [`event`](Self::event) is readable and `reap` again. Only `submit` has no default: a disk that ends every request at once needs
/// nothing else.
pub trait IoQueue<B>: Send {
    /// Takes one request that passed [`Io::check`](crate::Io::check).
    fn submit(&mut self, io: Io<B>) -> Submit<B>;

    /// Starts what was queued since the last kick: one system call for a batch, where the device needs one.
    ///
    /// # Errors
    ///
    /// When the device can no longer be reached; requests in flight then end through `reap` as `Aborted`.
    fn kick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Appends every request that has ended since the last call, in any order, and never waits.
    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        let _ = done;
    }

    /// Requests that were `Queued` and not yet reaped.
    fn in_flight(&self) -> usize {
        0
    }

    /// Readable when `reap` has work; `None` from a queue that never answers `Queued`, or that must be polled.
    fn event(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<B, Q: IoQueue<B> + ?Sized> IoQueue<B> for Box<Q> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        (**self).submit(io)
    }
    fn kick(&mut self) -> io::Result<()> {
        (**self).kick()
    }
    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        (**self).reap(done);
    }
    fn in_flight(&self) -> usize {
        (**self).in_flight()
    }
    fn event(&self) -> Option<BorrowedFd<'_>> {
        (**self).event()
    }
}

/// A device, shared between threads.
pub trait Backend<B>: Send + Sync {
    /// What the device is. Read again after a change of size.
    fn info(&self) -> DeviceInfo;

    /// A queue for one thread that takes `depth` requests (at least 1) before it answers [`Submit::Full`].
    ///
    /// # Errors
    ///
    /// When the device cannot be opened once more, or a thread or descriptor cannot be had.
    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>>;
}

impl<B, T: Backend<B> + ?Sized> Backend<B> for Arc<T> {
    fn info(&self) -> DeviceInfo {
        (**self).info()
    }
    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        (**self).open_queue(depth)
    }
}

/// What a device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes that the medium reads or writes at once, a power of two of at least 512. Smaller requests work and are slower.
    pub physical_block: u32,
    /// Address alignment that spares the device a copy, a power of two. Other buffers work and are slower.
    pub mem_align: u32,
    /// Whether writes, discards and write-zeroes end as [`Status::ReadOnly`](crate::Status::ReadOnly).
    pub read_only: bool,
    /// What the device can do beyond reading and writing.
    pub features: Features,
}

impl Default for DeviceInfo {
    fn default() -> Self {
        Self { sectors: 0, physical_block: 512, mem_align: 1, read_only: false, features: Features::NONE }
    }
}

/// Optional abilities of a device, a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// The device has a volatile cache, so [`Op::Flush`](crate::Op::Flush) does something. Without it a flush succeeds at once, and
    /// every write is durable at its `Done`.
    pub const FLUSH: Self = Self(1);
    /// [`Op::Discard`](crate::Op::Discard) works.
    pub const DISCARD: Self = Self(1 << 1);
    /// Discarded sectors read as zeros.
    pub const DISCARD_ZEROES: Self = Self(1 << 2);
    /// [`Op::WriteZeroes`](crate::Op::WriteZeroes) works.
    pub const WRITE_ZEROES: Self = Self(1 << 3);

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
