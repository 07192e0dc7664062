//! Which files paths name, so that two names of one file are known as such. A file system that does not answer, as that of a server
//! that is dead, is not waited for: what lies there is known by its path only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long the answer about one path is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many paths may be without an answer before the others are not asked about.
const SILENT: usize = 4;

/// What a file is, however it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disk {
    /// Device and inode.
    File(u64, u64),
    Device(u64),
    /// It is not there, or nobody knows.
    Path(PathBuf),
}

/// Asks the file system what is at a path.
pub(super) fn look(path: &Path) -> Option<Disk> {
    let file = fs::metadata(path).ok()?;
    let is_device = file.file_type().is_block_device();
    Some(if is_device { Disk::Device(file.rdev()) } else { Disk::File(file.dev(), file.ino()) })
}

/// What is at each of some paths.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<PathBuf, Disk>);

impl Files {
    /// Asks `look` about each path, in a thread of its own.
    pub(super) fn find(paths: BTreeSet<PathBuf>, look: fn(&Path) -> Option<Disk>) -> Self {
        let mut found = BTreeMap::new();
        let mut left = VecDeque::from_iter(paths);
        // One path is what it is whatever is there.
        let asked = if left.len() > 1 { SILENT } else { 0 };
        for _ in 0..asked {
            let (tell, told) = channel();
            let paths = left.clone();
            let ask = move || {
                let disks = paths.iter().map(|path| look(path));
                // When nobody listens any more, it came too late.
                let _ = disks.map(|disk| tell.send(disk)).take_while(Result::is_ok).count();
            };
            if thread::Builder::new().name("look".to_owned()).spawn(ask).is_err() {
                break;
            }
            loop {
                let answer = told.recv_timeout(PATIENCE);
                if matches!(answer, Err(RecvTimeoutError::Disconnected)) {
                    break;
                }
                let path = left.pop_front();
                match (answer, path) {
                    (Ok(disk), Some(path)) => found.extend(disk.map(|disk| (path, disk))),
                    _ => break,
                }
            }
        }
        Self(found)
    }

    /// What is at one of the paths.
    pub(super) fn disk(&self, path: &Path) -> Disk {
        self.0.get(path).cloned().unwrap_or_else(|| Disk::Path(plain(path)))
    }
}

/// Without `.` and doubled slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_path_that_is_never_answered_is_known_by_its_name_and_the_others_by_their_file() {
        fn stuck(path: &Path) -> Option<Disk> {
            while path.starts_with("/dead") {
                thread::park();
            }
            Some(Disk::Device(7))
        }
        let paths = ["/a", "/dead/a", "/dead/b", "/z"].map(PathBuf::from);
        let files = Files::find(paths.into(), stuck);
        assert_eq!(
            (files.disk(Path::new("/a")), files.disk(Path::new("/z"))),
            (Disk::Device(7), Disk::Device(7))
        );
        assert_eq!(files.disk(Path::new("/dead//a")), Disk::Path("/dead/a".into()));
    }

    #[test]
    fn when_too_many_are_not_answered_the_rest_is_known_by_name() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn silent(_: &Path) -> Option<Disk> {
            ASKED.fetch_add(1, Ordering::Relaxed);
            loop {
                thread::park();
            }
        }
        let paths = (0..100).map(|number| PathBuf::from(format!("/{number:03}"))).collect();
        let files = Files::find(paths, silent);
        assert_eq!(files.disk(Path::new("/099")), Disk::Path("/099".into()));
        assert!(ASKED.load(Ordering::Relaxed) <= SILENT, "threads that never end");
    }
}
