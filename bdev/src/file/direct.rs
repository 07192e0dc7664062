//! Past the page cache: what the device cannot take as it is goes through an aligned copy.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::ReadWriteFlags;

use super::probe::Alignment;
use super::transfer::{self, Outcome};
use crate::{AlignedBuf, IoBuf};

/// Bytes that one copy holds; longer requests go piece by piece.
const CHUNK: usize = 1 << 20;
/// Copies that are kept for reuse.
const KEPT: usize = 16;

/// Direct transfers at any offset, of any length, from and to any memory.
#[derive(Debug)]
pub(super) struct Direct {
    alignment: Alignment,
    /// The file's last block, and page, that is whole ends here.
    whole: u64,
    /// The part behind that goes through the page cache: a direct write of a whole block would let the file grow. No page is used both
    /// ways, since writing a page back could undo a direct write beside it.
    tail: Option<OwnedFd>,
    copies: Mutex<Vec<AlignedBuf>>,
    /// Held while a block is read, changed in part, and written: two neighbours in one block would undo each other's work.
    partial: Mutex<()>,
}

impl Direct {
    /// For a file of `size` bytes; `tail` is a descriptor without `O_DIRECT`, needed where sectors lie in a block that is not whole.
    pub(super) fn new(alignment: Alignment, size: u64, tail: Option<OwnedFd>) -> Self {
        let whole = size - size % u64::from(alignment.offset).max(rustix::param::page_size() as u64);
        Self { alignment, whole, tail, copies: Mutex::default(), partial: Mutex::default() }
    }

    pub(super) fn read(&self, fd: &OwnedFd, at: u64, data: &mut [u8]) -> Outcome {
        let (data, behind) = data.split_at_mut(self.before_tail(at, data.len()));
        if self.fits(at, data) {
            transfer::read_exact(fd, at, data)?;
        } else if !data.is_empty() {
            self.read_copied(fd, at, data)?;
        }
        match &self.tail {
            Some(tail) if !behind.is_empty() => transfer::read_exact(tail, at + data.len() as u64, behind),
            _ => Ok(()),
        }
    }

    pub(super) fn write(&self, fd: &OwnedFd, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
        let (data, behind) = data.split_at(self.before_tail(at, data.len()));
        if self.fits(at, data) {
            transfer::write_all(fd, at, data, flags)?;
        } else if !data.is_empty() {
            self.write_copied(fd, at, data, flags)?;
        }
        match &self.tail {
            Some(tail) if !behind.is_empty() => {
                transfer::write_all(tail, at + data.len() as u64, behind, flags)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn read_vectored(&self, fd: &OwnedFd, at: u64, pieces: &mut [IoSliceMut<'_>]) -> Outcome {
        let mut whole = self.copy(pieces.iter().map(|piece| piece.len()).sum());
        let result = self.read(fd, at, whole.bytes_mut());
        let mut from = 0;
        for piece in pieces {
            let to = from + piece.len();
            piece.copy_from_slice(&whole.bytes()[from..to]);
            from = to;
        }
        self.keep(whole);
        result
    }

    pub(super) fn write_vectored(
        &self,
        fd: &OwnedFd,
        at: u64,
        pieces: &[IoSlice<'_>],
        flags: ReadWriteFlags,
    ) -> Outcome {
        let mut whole = self.copy(pieces.iter().map(|piece| piece.len()).sum());
        let mut from = 0;
        for piece in pieces {
            let to = from + piece.len();
            whole.bytes_mut()[from..to].copy_from_slice(piece);
            from = to;
        }
        let result = self.write(fd, at, whole.bytes(), flags);
        self.keep(whole);
        result
    }

    fn read_copied(&self, fd: impl AsFd, at: u64, data: &mut [u8]) -> Outcome {
        let mut done = 0;
        while done < data.len() {
            let window = self.window(at + done as u64, data.len() - done);
            let mut copy = self.copy(window.len);
            let result = transfer::read_exact(&fd, window.at, copy.bytes_mut());
            data[done..done + window.used]
                .copy_from_slice(&copy.bytes()[window.skip..window.skip + window.used]);
            self.keep(copy);
            result?;
            done += window.used;
        }
        Ok(())
    }

    fn write_copied(&self, fd: impl AsFd, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
        let mut done = 0;
        while done < data.len() {
            let window = self.window(at + done as u64, data.len() - done);
            let mut copy = self.copy(window.len);
            let result =
                self.write_window(&fd, &window, &data[done..done + window.used], copy.bytes_mut(), flags);
            self.keep(copy);
            result?;
            done += window.used;
        }
        Ok(())
    }

    /// Writes the blocks of `window`, of which `data` is the part that changes.
    fn write_window(
        &self,
        fd: impl AsFd,
        window: &Window,
        data: &[u8],
        copy: &mut [u8],
        flags: ReadWriteFlags,
    ) -> Outcome {
        let changed = window.skip..window.skip + window.used;
        if changed == (0..window.len) {
            copy.copy_from_slice(data);
            return transfer::write_all(fd, window.at, copy, flags);
        }
        let _held = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let block = self.alignment.offset as usize;
        let last = window.len - block;
        if changed.start > 0 || last == 0 {
            transfer::read_exact(&fd, window.at, &mut copy[..block])?;
        }
        if changed.end < window.len && last > 0 {
            transfer::read_exact(&fd, window.at + last as u64, &mut copy[last..])?;
        }
        copy[changed].copy_from_slice(data);
        transfer::write_all(&fd, window.at, copy, flags)
    }

    /// The whole blocks around the first bytes of `at..at + len`.
    fn window(&self, at: u64, len: usize) -> Window {
        let block = u64::from(self.alignment.offset);
        let start = at - at % block;
        let skip = usize::try_from(at - start).unwrap_or(0);
        let used = len.min(CHUNK.max(self.alignment.offset as usize) - skip);
        Window { at: start, len: (skip + used).next_multiple_of(self.alignment.offset as usize), skip, used }
    }

    fn fits(&self, at: u64, data: &[u8]) -> bool {
        let offset = u64::from(self.alignment.offset);
        at.is_multiple_of(offset)
            && (data.len() as u64).is_multiple_of(offset)
            && data.as_ptr().addr().is_multiple_of(self.alignment.memory as usize)
    }

    /// How many of `len` bytes at `at` lie in whole blocks of the file.
    fn before_tail(&self, at: u64, len: usize) -> usize {
        match &self.tail {
            Some(_) => usize::try_from(self.whole.saturating_sub(at)).map_or(len, |before| before.min(len)),
            None => len,
        }
    }

    /// An aligned buffer of `len` bytes, with any content.
    fn copy(&self, len: usize) -> AlignedBuf {
        let kept = self.copies.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut copy = kept.filter(|copy| copy.capacity() >= len).unwrap_or_else(|| {
            let align = self.alignment.memory.max(self.alignment.offset) as usize;
            AlignedBuf::new(len.next_power_of_two(), align, 0)
        });
        copy.set_len(len);
        copy
    }

    fn keep(&self, copy: AlignedBuf) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.len() < KEPT && copy.capacity() <= CHUNK {
            copies.push(copy);
        }
    }
}

/// A run of whole blocks, of which `used` bytes after the first `skip` are asked for.
#[derive(Debug)]
struct Window {
    at: u64,
    len: usize,
    skip: usize,
    used: usize,
}

#[cfg(test)]
mod tests;
