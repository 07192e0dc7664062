//! For a queue that makes the system calls itself, such as a ring: where things lie, what the kernel asks of a transfer, and where to
//! say what became of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::error::OpenError;
use super::transfer::Cause;
use super::{FileDisk, open};
use crate::{Extent, Status};

/// What direct I/O asks of a transfer; powers of two, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alignment {
    /// Of each piece of memory: its address.
    pub memory: u32,
    /// Of the place in the file, and of each piece's length.
    pub offset: u32,
}

/// The descriptor of the data: with `O_DIRECT` where the disk was opened so. Nothing but this disk's extents may be changed through it.
impl AsFd for FileDisk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl FileDisk {
    /// A new descriptor for a queue to sync, which nobody else does: the kernel tells each open file once of data that it could not write
    /// back, from when it was opened on. What another queue may just have been told of what was before, the disk's own descriptor is asked
    /// for, so each but the first costs a sync. `None` of a disk that was opened read-only.
    ///
    /// Whoever syncs it reports a failure with [`sync_failed`](Self::sync_failed), and asks [`is_lost`](Self::is_lost) after a success.
    ///
    /// # Errors
    ///
    /// The file that was opened cannot be opened once more, for want of descriptors or of permission.
    pub fn open_sync(&self) -> Result<Option<OwnedFd>, OpenError> {
        if self.info.read_only {
            return Ok(None);
        }
        let opened =
            open::open_sync(&self.path, &self.fd).map_err(|kind| OpenError::new(&self.path, kind))?;
        if self.sync_shared.swap(true, Ordering::AcqRel) {
            // After it was opened. A failure is noted for all.
            let _ = self.sync();
        }
        Ok(Some(opened))
    }

    /// The byte of the file at which `extent` begins.
    ///
    /// # Errors
    ///
    /// [`Status::OutOfRange`] when not all of it lies on the disk.
    pub fn position(&self, extent: Extent) -> Result<u64, Status> {
        self.place(extent.lba, extent.bytes())
    }

    /// What direct I/O asks of a transfer; `None` of a disk that is used through the page cache, where anything will do.
    #[must_use]
    pub fn alignment(&self) -> Option<Alignment> {
        self.direct.as_ref().map(|direct| direct.alignment())
    }

    /// Whether `extent` is made of whole blocks of the device, so that it can be moved in one transfer, given memory that fits. What is
    /// not (a part of a block, or the end of a file in a block that is not whole) is the affair of
    /// [`BlockingBackend`](crate::BlockingBackend), which copies and locks.
    ///
    /// A transfer under way when a file is cut short within its last block may undo a write to the rest of that block, as it may let the
    /// file grow again.
    #[must_use]
    pub fn is_whole_blocks(&self, extent: Extent) -> bool {
        let Some(direct) = &self.direct else { return true };
        self.position(extent).is_ok_and(|at| direct.is_whole_blocks(at, extent.bytes()))
    }

    /// Whether nothing waits on this disk: its file system has no medium (tmpfs).
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Whether the kernel can begin a transfer without waiting for anything, as far as is known. Where it cannot (FUSE, network file
    /// systems), a write may wait although it is not durable, and io_uring in the call that hands it a request.
    #[must_use]
    pub fn takes_nowait(&self) -> bool {
        self.nowait.load(Ordering::Relaxed)
    }

    /// Whether a write can be made durable by a flag of the call (`RWF_DSYNC`), as far as is known.
    #[must_use]
    pub fn takes_dsync(&self) -> bool {
        self.dsync.load(Ordering::Relaxed)
    }

    /// Notes that the kernel refused the flag (`EOPNOTSUPP`): durable writes are followed by a flush from now on.
    pub fn dsync_refused(&self) {
        if self.dsync.swap(false, Ordering::Relaxed) {
            tracing::info!(path = %self.path.display(), "no RWF_DSYNC here: durable writes are followed by fdatasync");
        }
    }

    /// Logs that `what` ("read", "durable write") failed with error number `errno`, or `None` where the file ends before the last byte.
    /// Returns the status of such a request.
    pub fn failed(&self, what: &'static str, extent: Extent, errno: Option<i32>) -> Status {
        let cause = errno.map_or(Cause::End, |errno| Cause::Os(Errno::from_raw_os_error(errno)));
        self.report.failure(&self.path, what, extent, &cause);
        Status::Media
    }

    /// Notes and logs that a sync failed with error number `errno`: from now on every flush and every durable write fails, until the file
    /// is opened anew.
    pub fn sync_failed(&self, errno: i32) {
        self.lose(&Cause::Os(Errno::from_raw_os_error(errno)));
    }

    /// Whether a sync has failed, so that none can be trusted any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}
