//! Past the page cache: what the device cannot take as it is goes through an aligned copy.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use rustix::io::ReadWriteFlags;

use super::Alignment;
use super::transfer::{self, Outcome};
use crate::{AlignedBuf, IoBuf, SECTOR_SIZE};

/// Bytes that one copy holds; longer requests go piece by piece.
const CHUNK: usize = 1 << 20;
/// Copies that are kept for reuse.
const KEPT: usize = 16;

/// Direct transfers at any offset, of any length, from and to any memory.
#[derive(Debug)]
pub(super) struct Direct {
    alignment: Alignment,
    /// `None`: the file always ends with a whole block.
    tail: Option<Tail>,
    copies: Mutex<Vec<AlignedBuf>>,
    /// Held while a block is read, changed in part, and written: two neighbours in one block would undo each other's work.
    partial: Mutex<()>,
}

impl Direct {
    /// For a file of `size` bytes; `tail` is a descriptor without `O_DIRECT`, needed where sectors may lie in a block that is not whole.
    pub(super) fn new(alignment: Alignment, size: u64, tail: Option<OwnedFd>) -> Self {
        let tail = tail.map(|fd| Tail { fd, start: RwLock::new(alignment.tail_of(size)) });
        Self { alignment, tail, copies: Mutex::default(), partial: Mutex::default() }
    }

    pub(super) fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// Whether `len` bytes at `at` are whole blocks, before the tail.
    pub(super) fn is_whole_blocks(&self, at: u64, len: usize) -> bool {
        self.fits_blocks(at, len)
            && self.tail.as_ref().is_none_or(|tail| before(*tail.start(), at, len) == len)
    }

    /// Goes by a file of `size` bytes from now on.
    pub(super) fn resize(&self, size: u64) {
        if let Some(tail) = &self.tail {
            tail.move_to(self.alignment.tail_of(size));
        }
    }

    pub(super) fn read(&self, fd: &OwnedFd, at: u64, data: &mut [u8]) -> Outcome {
        let Some(tail) = &self.tail else { return self.read_blocks(fd, at, data) };
        let start = tail.start();
        let (data, behind) = data.split_at_mut(before(*start, at, data.len()));
        self.read_blocks(fd, at, data)?;
        transfer::read_exact(&tail.fd, at + data.len() as u64, behind)
    }

    pub(super) fn write(&self, fd: &OwnedFd, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
        let Some(tail) = &self.tail else { return self.write_blocks(fd, at, data, flags) };
        let start = tail.start();
        let (data, behind) = data.split_at(before(*start, at, data.len()));
        self.write_blocks(fd, at, data, flags)?;
        transfer::write_all(&tail.fd, at + data.len() as u64, behind, flags)
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

    /// Reads what lies in whole blocks.
    fn read_blocks(&self, fd: &OwnedFd, at: u64, data: &mut [u8]) -> Outcome {
        if self.fits(at, data) { transfer::read_exact(fd, at, data) } else { self.read_copied(fd, at, data) }
    }

    /// Writes what lies in whole blocks.
    fn write_blocks(&self, fd: &OwnedFd, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
        if self.fits(at, data) {
            transfer::write_all(fd, at, data, flags)
        } else {
            self.write_copied(fd, at, data, flags)
        }
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
        self.fits_blocks(at, data.len())
            && data.as_ptr().addr().is_multiple_of(self.alignment.memory as usize)
    }

    fn fits_blocks(&self, at: u64, len: usize) -> bool {
        let block = u64::from(self.alignment.offset);
        at.is_multiple_of(block) && (len as u64).is_multiple_of(block)
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

/// The end of a file in a block that is not whole. It goes through the page cache: a direct write of the block would let the file grow.
#[derive(Debug)]
struct Tail {
    /// Without `O_DIRECT`.
    fd: OwnedFd,
    /// The byte where it begins. Held during a transfer, so that no page is used both ways at once: writing a page back could undo a
    /// direct write beside it.
    start: RwLock<u64>,
}

impl Tail {
    fn start(&self) -> RwLockReadGuard<'_, u64> {
        self.start.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the beginning, once no transfer is under way.
    fn move_to(&self, start: u64) {
        if *self.start() != start {
            *self.start.write().unwrap_or_else(PoisonError::into_inner) = start;
        }
    }
}

impl Alignment {
    /// Where the tail of a file of `size` bytes begins, at a block's and a page's start; without one, nowhere.
    fn tail_of(self, size: u64) -> u64 {
        let block = u64::from(self.offset);
        if size % block < SECTOR_SIZE as u64 {
            u64::MAX
        } else {
            size - size % block.max(rustix::param::page_size() as u64)
        }
    }
}

/// How many of `len` bytes at `at` lie before `start`.
fn before(start: u64, at: u64, len: usize) -> usize {
    usize::try_from(start.saturating_sub(at)).map_or(len, |before| before.min(len))
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
