//! That no other process serves the same file for writing: overlapping requests have an order within a process only.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// For how long a lock on a block device is tried for: udev holds one for moments, while it looks at the device.
const PATIENCE: Duration = Duration::from_secs(1);

const RETRY: Duration = Duration::from_millis(20);

/// An advisory lock (`flock`) on a file, held while this lives.
#[derive(Debug)]
pub(crate) struct FileLock {
    fd: OwnedFd,
}

impl FileLock {
    /// Locks `path`: for us alone, or `shared` with others who say the same.
    ///
    /// # Errors
    ///
    /// `WOULDBLOCK` when another process has it locked, else why it cannot be.
    pub(crate) fn take(path: &Path, shared: bool) -> Result<Self, Errno> {
        // As in a check: neither waits for a FIFO that took the file's place, nor tells udev of a change when it is closed.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let operation = if shared {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        let block = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::BlockDevice;
        let start = Instant::now();
        loop {
            match rustix::fs::flock(&fd, operation) {
                Err(Errno::WOULDBLOCK) if block && start.elapsed() < PATIENCE => thread::sleep(RETRY),
                Err(Errno::INTR) => {}
                locked => return locked.map(|()| Self { fd }),
            }
        }
    }

    /// Lets others share it from now on.
    ///
    /// # Errors
    ///
    /// Those of the system. Not `WOULDBLOCK`, but for a moment's race: nobody else has one for himself alone while we have this one.
    #[cfg(target_os = "linux")]
    pub(crate) fn make_shared(&self) -> Result<(), Errno> {
        rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockShared)
    }

    /// Makes a shared lock one for us alone. When that fails it is shared as before, unless another process took the whole file meanwhile.
    ///
    /// # Errors
    ///
    /// `WOULDBLOCK` when others share it.
    #[cfg(target_os = "linux")]
    pub(crate) fn make_exclusive(&self) -> Result<(), Errno> {
        let exclusive = rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive);
        if exclusive.is_err() {
            // The kernel gives up the one before it tries the other (flock(2)).
            rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockShared)?;
        }
        exclusive
    }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn a_file_is_locked_by_one_or_shared() {
        let file = NamedTempFile::new().expect("a file");
        let take = |shared| FileLock::take(file.path(), shared);
        let alone = take(false).expect("a lock");
        assert_eq!(take(false).map(drop), Err(Errno::WOULDBLOCK));
        assert_eq!(take(true).map(drop), Err(Errno::WOULDBLOCK));
        drop(alone);
        let sharers = (take(true).expect("a lock"), take(true).expect("a second lock"));
        assert_eq!(take(false).map(drop), Err(Errno::WOULDBLOCK));
        drop(sharers);
        take(false).expect("nobody else's");
    }
}
