//! Why a file could not be opened as a disk.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that could not be opened as a disk: which, and why. One line, which ends with what would help.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    kind: OpenErrorKind,
}

impl OpenError {
    pub(super) fn new(path: &Path, kind: OpenErrorKind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &OpenErrorKind {
        &self.kind
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.kind)
    }
}

impl Error for OpenError {}

/// What is wrong with a file that was to be opened. Sectors have 512 bytes.
///
/// The text of an operating system error is part of the message, so [`Error::source`] is empty.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// Nothing has this name, or what should be a directory on the way to it is none.
    #[error("no such file; create it first, for example with `truncate -s 1G FILE`")]
    Missing,
    /// A directory.
    #[error("is a directory; name a regular file or a block device")]
    Directory,
    /// Something else that holds no sectors.
    #[error("is a {0}; name a regular file or a block device")]
    NotADisk(&'static str),
    /// The user may not read it.
    #[error("permission denied; run as a user who may read it")]
    NoRead,
    /// The user may read it, but not write it.
    #[error("permission to write denied; run as a user who may write it, or open it read-only")]
    NoWrite,
    /// The medium or the file system takes no writes.
    #[error("is on a read-only medium; open it read-only")]
    ReadOnlyMedium,
    /// Size 0, also of a drive without a medium.
    #[error("is empty; give it a size, for example with `truncate -s 1G FILE`")]
    Empty,
    /// Less than one sector.
    #[error("has only {bytes} bytes; at least one sector of 512 bytes is needed")]
    TooSmall {
        /// Size of the file.
        bytes: u64,
    },
    /// Not one whole sector lies behind the offset.
    #[error(
        "offset {offset} is beyond the end; it must be below {sectors}, the size in sectors of 512 bytes"
    )]
    OffsetBeyondEnd {
        /// The offset asked for, in sectors.
        offset: u64,
        /// Whole sectors in the file.
        sectors: u64,
    },
    /// The length is 0.
    #[error("length 0 leaves nothing; give at least 1 sector, or no length to use all up to the end")]
    NoLength,
    /// Less lies behind the offset than the length asks for.
    #[error(
        "length {length} is beyond the end; at most {available} sectors of 512 bytes follow offset {offset}"
    )]
    LengthBeyondEnd {
        /// The length asked for, in sectors.
        length: u64,
        /// The offset asked for, in sectors.
        offset: u64,
        /// Whole sectors behind the offset.
        available: u64,
    },
    /// The file system has no `O_DIRECT`.
    #[error(
        "cannot be used without the page cache here; leave direct I/O off, or move it to a file system that has it"
    )]
    NoDirect,
    /// The name meant another file when it was opened for writing than when it was checked.
    #[error("was replaced while it was being opened; try again")]
    Replaced,
    /// Any other failure of the operating system.
    #[error("cannot {doing}: {error}")]
    Os {
        /// What was tried: "open it", "find its size".
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
}
