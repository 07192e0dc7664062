//! Replacing a small file: after a crash there is the old one or the new one, whole ([`replace`]).
//!
//! The steps are written for any [`Files`], so that the simulation runs these very lines on files that lose power between any two of
//! them.

use std::io;
use std::path::Path;

/// The calls that it takes.
pub(crate) trait Files {
    /// An open file.
    type File;

    fn is_dir(&self, path: &Path) -> bool;
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Opens a file for writing, empty, whether it was there or not.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    fn write(&self, file: &mut Self::File, content: &[u8]) -> io::Result<()>;
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes durable what was created, renamed and removed in a directory.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// Puts a file with `content` in the place of `file`, by way of `temporary`, which is in the same directory.
pub(crate) fn replace<F: Files>(files: &F, file: &Path, temporary: &Path, content: &[u8]) -> io::Result<()> {
    let dir = file.parent().ok_or(io::ErrorKind::NotFound)?;
    create_dir(files, dir)?;
    let written = write(files, temporary, content).and_then(|()| files.rename(temporary, file));
    if written.is_err() {
        // It may not be there.
        let _ = files.remove(temporary);
    }
    written?;
    files.sync_dir(dir)
}

fn write<F: Files>(files: &F, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = files.create(path)?;
    files.write(&mut file, content)?;
    files.sync(&mut file)
}

/// Creates `dir` and what is missing above it, durably.
pub(crate) fn create_dir<F: Files>(files: &F, dir: &Path) -> io::Result<()> {
    if files.is_dir(dir) {
        return Ok(());
    }
    let parent = dir.parent().ok_or(io::ErrorKind::NotFound)?;
    create_dir(files, parent)?;
    match files.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && files.is_dir(dir) => Ok(()),
        created => created.and_then(|()| files.sync_dir(parent)),
    }
}
