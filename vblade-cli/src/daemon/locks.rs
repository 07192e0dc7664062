//! Locks on files, one for all exports of this process that serve (parts of) the same file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::FileType;
use rustix::io::Errno;
use tracing::warn;

use crate::error::Error;
use crate::lock::FileLock;
use crate::source::Source;

/// The files that this process has locked.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<Identity, Weak<Held>>>,
}

/// One file, which is ours alone while at least one export wants that.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    lock: FileLock,
    alone: Mutex<usize>,
}

/// An export's part in a lock.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<Held>,
    alone: bool,
}

impl Share {
    /// One more that has the lock, which is a shared one at the moment unless somebody wants it alone.
    fn new(held: Arc<Held>, alone: bool) -> Result<Self, Errno> {
        if alone {
            let mut others = held.alone.lock().unwrap_or_else(PoisonError::into_inner);
            if *others == 0 {
                held.lock.make_exclusive()?;
            }
            *others += 1;
        }
        Ok(Self { held, alone })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.alone {
            let mut others = self.held.alone.lock().unwrap_or_else(PoisonError::into_inner);
            *others -= 1;
            if *others == 0
                && let Err(errno) = self.held.lock.make_shared()
            {
                warn!("{}: its lock is not as it should be: {errno}", self.held.path.display());
            }
        }
    }
}

/// What a path names: the same file or device has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    /// What is at `path` now.
    pub(super) fn of(path: &Path) -> Result<Self, Errno> {
        let stat = rustix::fs::stat(path)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            // By any of its names.
            FileType::BlockDevice => Self { device: u64::MAX, number: stat.st_rdev },
            _ => Self { device: stat.st_dev, number: stat.st_ino },
        })
    }
}

impl Locks {
    /// Keeps other processes of this program from what is served. `None` where there is nothing to lock, or that cannot be, which is said aloud.
    ///
    /// A whole file that may be written to is ours alone; others who say the same may read it besides us, or serve parts of it. Exports of ours
    /// share a lock: the configuration has seen to it that they do not overlap.
    ///
    /// # Errors
    ///
    /// Another process has it locked, and `force` does not say to go on.
    pub(super) fn take(&self, source: &Source, force: bool) -> Result<Option<Share>, Error> {
        let Source::File(file) = source else { return Ok(None) };
        let path = &file.path;
        let alone = !file.read_only && file.offset == 0 && file.length.is_none();
        match self.lock(path, alone) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) if force => {
                warn!("{}: another process has it locked, and may write to it, too", path.display());
            }
            Err(Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.clone() }),
            Err(errno) => warn!("{}: not locked, so others can serve it, too: {errno}", path.display()),
        }
        Ok(None)
    }

    fn lock(&self, path: &Path, alone: bool) -> Result<Share, Errno> {
        // A file system that hangs does so here, where nobody waits for us.
        let identity = Identity::of(path)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| held.strong_count() != 0);
        if let Some(ours) = held.get(&identity).and_then(Weak::upgrade) {
            return Share::new(ours, alone);
        }
        // For us alone at once where that is wanted: udev's lock on a block device is waited for.
        let lock = FileLock::take(path, !alone)?;
        let ours = Arc::new(Held { path: path.to_owned(), lock, alone: Mutex::new(0) });
        held.insert(identity, Arc::downgrade(&ours));
        Share::new(ours, alone)
    }
}

#[cfg(test)]
mod tests {
    use bdev::FileOptions;
    use tempfile::NamedTempFile;

    use super::*;

    fn part(file: &NamedTempFile, offset: u64) -> Source {
        Source::File(FileOptions { offset, length: Some(8), ..FileOptions::new(file.path()) })
    }

    fn whole(file: &NamedTempFile) -> Source {
        Source::File(FileOptions::new(file.path()))
    }

    #[test]
    fn exports_of_one_process_share_a_lock_and_those_of_another_are_refused() {
        let file = NamedTempFile::new().expect("a file");
        let (ours, theirs) = (Locks::default(), Locks::default());
        let first = ours.take(&whole(&file), false).expect("a lock");
        let second = ours.take(&whole(&file), false).expect("the same lock");
        assert!(matches!(theirs.take(&whole(&file), false), Err(Error::Locked { .. })));
        assert!(theirs.take(&whole(&file), true).expect("to go on").is_none());
        drop(first);
        assert!(theirs.take(&whole(&file), false).is_err(), "the second holds it as well");
        drop(second);
        theirs.take(&whole(&file), false).expect("a free file");
    }

    #[test]
    fn parts_of_a_file_are_served_by_several_until_one_wants_the_whole() {
        let file = NamedTempFile::new().expect("a file");
        let (ours, theirs) = (Locks::default(), Locks::default());
        let first = ours.take(&part(&file, 0), false).expect("a lock");
        let other = theirs.take(&part(&file, 8), false).expect("a lock beside it");
        assert!(ours.take(&whole(&file), false).is_err());
        drop(other);
        let all = ours.take(&whole(&file), false).expect("nobody else is there");
        assert!(theirs.take(&part(&file, 8), false).is_err());
        drop(all);
        theirs.take(&part(&file, 8), false).expect("no export wants the whole any more");
        drop(first);
    }
}
