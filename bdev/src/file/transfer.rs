//! Whole transfers out of system calls that may do less than asked.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The system said so.
    Os(Errno),
    /// No byte more could be moved: the file ends here.
    End,
}

impl Cause {
    /// The error number, if there is one.
    pub(super) fn errno(self) -> Option<i32> {
        match self {
            Self::Os(errno) => Some(errno.raw_os_error()),
            Self::End => None,
        }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => io::Error::from(*errno).fmt(f),
            Self::End => f.write_str("the file ends before the last byte; was it cut short?"),
        }
    }
}

pub(super) type Outcome = Result<(), Cause>;

/// Fills `data` from byte `at` on.
pub(super) fn read_exact(fd: impl AsFd, at: u64, data: &mut [u8]) -> Outcome {
    match read_up_to(fd, at, data)? {
        n if n < data.len() => Err(Cause::End),
        _ => Ok(()),
    }
}

/// Fills as much of `data` as the file holds from byte `at` on.
pub(super) fn read_up_to(fd: impl AsFd, at: u64, data: &mut [u8]) -> Result<usize, Cause> {
    let mut filled = 0;
    while filled < data.len() {
        let n = retry_on_intr(|| rustix::io::pread(&fd, &mut data[filled..], at + filled as u64))?;
        if n == 0 {
            break;
        }
        filled += n;
    }
    Ok(filled)
}

/// Writes all of `data` from byte `at` on.
pub(super) fn write_all(fd: impl AsFd, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
    let mut written = 0;
    while written < data.len() {
        let rest = [IoSlice::new(&data[written..])];
        let n = retry_on_intr(|| rustix::io::pwritev2(&fd, &rest, at + written as u64, flags))?;
        if n == 0 {
            return Err(Cause::End);
        }
        written += n;
    }
    Ok(())
}

/// Fills all `pieces` from byte `at` on: in one call, and what that leaves (it takes 1024 pieces), one by one.
pub(super) fn read_vectored(fd: impl AsFd, mut at: u64, pieces: &mut [IoSliceMut<'_>]) -> Outcome {
    let mut filled = retry_on_intr(|| rustix::io::preadv(&fd, pieces, at))?;
    for piece in pieces {
        let done = filled.min(piece.len());
        read_exact(&fd, at + done as u64, &mut piece[done..])?;
        filled -= done;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Writes all `pieces` from byte `at` on: in one call, and what that leaves (it takes 1024 pieces), one by one.
pub(super) fn write_vectored(
    fd: impl AsFd,
    mut at: u64,
    pieces: &[IoSlice<'_>],
    flags: ReadWriteFlags,
) -> Outcome {
    let mut written = retry_on_intr(|| rustix::io::pwritev2(&fd, pieces, at, flags))?;
    for piece in pieces {
        let done = written.min(piece.len());
        write_all(&fd, at + done as u64, &piece[done..], flags)?;
        written -= done;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Fills `pieces`, `len` bytes, from the page cache; `false` if not all of it is there. An error: this file cannot tell.
pub(super) fn read_cached(
    fd: impl AsFd,
    at: u64,
    len: usize,
    pieces: &mut [IoSliceMut<'_>],
) -> Result<bool, Errno> {
    match rustix::io::preadv2(fd, pieces, at, ReadWriteFlags::NOWAIT) {
        Ok(n) => Ok(n == len),
        Err(errno @ (Errno::OPNOTSUPP | Errno::NOSYS)) => Err(errno),
        Err(_) => Ok(false),
    }
}

/// Changes how `len` bytes from byte `at` on are stored.
pub(super) fn fallocate(fd: impl AsFd, mode: FallocateFlags, at: u64, len: u64) -> Outcome {
    Ok(retry_on_intr(|| rustix::fs::fallocate(&fd, mode, at, len))?)
}

/// Makes everything written durable.
pub(super) fn sync(fd: impl AsFd) -> Outcome {
    Ok(retry_on_intr(|| rustix::fs::fdatasync(&fd))?)
}
