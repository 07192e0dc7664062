//! A disk that is a regular file or a block device: [`FileDisk`], opened with [`FileOptions`].

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Timespec, Timestamps};
use rustix::io::ReadWriteFlags;

use crate::{BlockingBackend, DeviceInfo, Extent, SECTOR_SIZE, Status};

mod direct;
mod durable;
mod error;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod mapped;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "file/unmapped.rs"]
mod mapped;
mod open;
mod probe;
mod raw;
mod report;
mod transfer;
mod zero;

pub use error::{OpenError, OpenErrorKind};
pub use open::FileOptions;
pub use raw::Alignment;

use direct::Direct;
use mapped::Mapped;
use report::Report;
use transfer::Outcome;

/// A disk that is (a part of) a regular file or block device.
///
/// * **Durability.** A plain write ends in the page cache, or with `direct` in the device's cache. [`flush`](BlockingBackend::flush) is
///   `fdatasync`. A write with `fua` is followed by one, too, which serves all that have been written when it begins. With `direct`, whole
///   blocks carry `RWF_DSYNC` instead: one call, no barrier for anybody else's data, and an error of its own. The kernel tells each
///   open file only once of a page that it could not write back, and not whose it was: so one sync runs at a time, and after one has
///   failed every flush and every durable write fails, until the file is opened anew.
/// * **Size.** It is read when opening, and again by [`reread_size`](Self::reread_size). A file that is cut short in between answers
///   reads beyond its new end with [`Status::Media`]; writes there fail too or let it grow again (with holes), never beyond the end
///   that it had. With `direct` the last block, if it is no longer whole, counts as cut off until the size is read again.
/// * **Errors.** `EIO`, `ENOSPC` and their like end as [`Status::Media`] and are logged as warnings with path, LBA and errno, each sector
///   once a minute and at most ten a second; the next line then says how many were left out.
/// * **Zeros.** Discards punch holes, write-zeroes keeps the space allocated where the file system can. On a block device both need a
///   device that zeroes by command. Both become durable with the next flush.
/// * **Direct.** Memory, offset or length off the device's alignment costs a copy; a write of less than a block of the device costs a
///   read too, under a lock of this `FileDisk`. Two disks opened on one file must therefore not share such a block.
///
/// * **Memory.** A file on tmpfs, which has no medium, is copied from and to without a system call (on x86-64 Linux), its holes excepted. For
///   that the first of them takes over SIGBUS for the process, and passes on what is not its own; threads must not block it. The file's time of modification follows when the disk
///   is flushed or dropped.
///
/// Nothing is locked: opening one file twice is the caller's affair.
#[derive(Debug)]
pub struct FileDisk {
    fd: OwnedFd,
    /// For flushes, unless read-only. The kernel tells each descriptor once of data that it could not write back; a durable write through
    /// `fd` must not use that up.
    sync: Option<OwnedFd>,
    /// Syncs that have begun. They are numbered from 1.
    syncs: AtomicU64,
    /// Number of the last that has succeeded. Held while one runs: nobody else may believe the kernel before a failure is noted.
    synced: Mutex<u64>,
    path: PathBuf,
    /// Byte of the file at which sector 0 lies.
    start: u64,
    /// Size in sectors; `info` has that of opening.
    sectors: AtomicU64,
    /// Size in sectors that it never exceeds.
    limit: u64,
    /// Held while the size is read anew: an older answer must not replace a newer one.
    rereading: Mutex<()>,
    info: DeviceInfo,
    direct: Option<Direct>,
    /// Bytes to whose multiples a zeroed range must be aligned.
    zero_unit: u64,
    /// Whether the file system has no medium (tmpfs): nothing waits. It cannot say so by itself, for want of `RWF_NOWAIT`.
    in_memory: bool,
    /// Such a file's bytes, as far as it went when it was opened.
    mapped: Option<Mapped>,
    /// Whether it was written through the mapping, of which the time of its last modification does not tell.
    touched: AtomicBool,
    dropped_tail: u64,
    report: Report,
    /// Whether these calls have worked, or not yet failed.
    nowait: AtomicBool,
    dsync: AtomicBool,
    zero_range: AtomicBool,
    /// Whether a sync has failed.
    lost: AtomicBool,
    /// Whether somebody else has a descriptor for syncs.
    sync_shared: AtomicBool,
}

impl FileDisk {
    /// Opens the file or block device that `options` names.
    ///
    /// It is first opened for reading and checked; nothing is opened for writing before every check has passed, and nothing is created,
    /// extended or changed. A FIFO or a character device is refused without being opened.
    ///
    /// # Errors
    ///
    /// What is wrong and what would help, in one line: see [`OpenErrorKind`].
    pub fn open(options: &FileOptions) -> Result<Self, OpenError> {
        open::open(options).map_err(|kind| OpenError::new(&options.path, kind))
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the size of the file or block device anew. Returns that of the disk in sectors, which [`info`](BlockingBackend::info) tells
    /// from now on: up to the last whole sector, but never more than the length that was asked for.
    ///
    /// The file is the one that was opened, also if its path names another by now. Requests go on meanwhile; where the disk became
    /// shorter, those behind its new end fail, or, already under way, may let the file grow again. With direct I/O this can wait for
    /// transfers that are under way.
    ///
    /// # Errors
    ///
    /// Not one whole sector is left, or the system does not tell the size: as when opening. The size that the disk had stays.
    pub fn reread_size(&self) -> Result<u64, OpenError> {
        let _held = self.rereading.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, available) = open::measure(&self.fd, self.start / SECTOR_SIZE as u64)
            .map_err(|kind| OpenError::new(&self.path, kind))?;
        let sectors = available.min(self.limit);
        if let Some(direct) = &self.direct {
            direct.resize(size);
        }
        self.sectors.store(sectors, Ordering::Release);
        Ok(sectors)
    }

    /// Bytes after the last whole sector of the file when it was opened, which are not part of the disk; 0 if there were none, or if a
    /// length was given.
    #[must_use]
    pub fn dropped_tail(&self) -> u64 {
        self.dropped_tail
    }

    /// Where in the file `len` bytes from sector `lba` on lie.
    fn place(&self, lba: u64, len: usize) -> Result<u64, Status> {
        let end = lba.checked_add(len.div_ceil(SECTOR_SIZE) as u64).ok_or(Status::OutOfRange)?;
        if end > self.sectors.load(Ordering::Acquire) {
            Err(Status::OutOfRange)
        } else {
            Ok(self.start + lba * SECTOR_SIZE as u64)
        }
    }

    /// The same for a change.
    fn place_change(&self, lba: u64, len: usize) -> Result<u64, Status> {
        let at = self.place(lba, len)?;
        if self.info.read_only { Err(Status::ReadOnly) } else { Ok(at) }
    }

    fn read_bytes(&self, at: u64, data: &mut [u8]) -> Outcome {
        if self.mapped.as_ref().is_some_and(|mapped| mapped.read(at, data)) {
            return Ok(());
        }
        match &self.direct {
            Some(direct) => direct.read(&self.fd, at, data),
            None => transfer::read_exact(&self.fd, at, data),
        }
    }

    fn write_mapped(&self, at: u64, data: &[u8]) -> bool {
        let written = self.mapped.as_ref().is_some_and(|mapped| mapped.write(at, data));
        if written && !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Relaxed);
        }
        written
    }

    /// Sets the time of the last modification, if there was one that the system has not seen.
    fn note_modification(&self) {
        if self.touched.swap(false, Ordering::Relaxed) {
            let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let same = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
            let times = Timestamps { last_access: same, last_modification: now };
            let _ = rustix::fs::futimens(&self.fd, &times);
        }
    }

    /// Reads `len` bytes, the size of `pieces`, if they are in the page cache.
    fn read_cached(&self, lba: u64, len: usize, pieces: &mut [IoSliceMut<'_>]) -> Option<Result<(), Status>> {
        if self.direct.is_some() || !self.takes_nowait() {
            return None;
        }
        let at = self.place(lba, len).ok()?;
        match transfer::read_cached(&self.fd, at, len, pieces) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(_) => {
                self.nowait.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    fn write_bytes(&self, at: u64, data: &[u8], flags: ReadWriteFlags) -> Outcome {
        if self.write_mapped(at, data) {
            return Ok(());
        }
        match &self.direct {
            Some(direct) => direct.write(&self.fd, at, data, flags),
            None => transfer::write_all(&self.fd, at, data, flags),
        }
    }

    /// Turns what became of a transfer into a status, and logs a failure.
    fn ended(&self, what: &'static str, extent: Extent, outcome: Outcome) -> Result<(), Status> {
        outcome.map_err(|cause| {
            self.report.failure(&self.path, what, extent, &cause);
            Status::Media
        })
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.note_modification();
    }
}

/// The extent of `len` bytes at `lba`, for a log line.
fn extent(lba: u64, len: usize) -> Extent {
    Extent::new(lba, u32::try_from(len / SECTOR_SIZE).unwrap_or(u32::MAX))
}

impl BlockingBackend for FileDisk {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { sectors: self.sectors.load(Ordering::Acquire), ..self.info }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        let at = self.place(lba, data.len())?;
        let outcome = self.read_bytes(at, data);
        self.ended("read", extent(lba, data.len()), outcome)
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        let at = self.place_change(lba, data.len())?;
        self.ended("write", extent(lba, data.len()), self.write_bytes(at, data, ReadWriteFlags::empty()))
    }

    fn write_fua_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        let at = self.place_change(lba, data.len())?;
        let outcome = self.write_durably(at, data.len(), |flags| self.write_bytes(at, data, flags));
        self.ended("durable write", extent(lba, data.len()), outcome)
    }

    fn flush(&self) -> Result<(), Status> {
        self.sync().map_err(|_| Status::Media)
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        self.zero("discard", extent, |at, len| self.punch_hole(at, len))
    }

    fn write_zeroes(&self, extent: Extent) -> Result<(), Status> {
        self.zero("write of zeros", extent, |at, len| self.zero_range(at, len))
    }

    fn read_vectored_at(&self, lba: u64, pieces: &mut [IoSliceMut<'_>]) -> Result<(), Status> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let at = self.place(lba, len)?;
        if let Some(mapped) = &self.mapped {
            let mut next = at;
            let all = pieces.iter_mut().all(|piece| {
                let from = next;
                next += piece.len() as u64;
                mapped.read(from, piece)
            });
            if all {
                return Ok(());
            }
        }
        let outcome = match &self.direct {
            Some(direct) => direct.read_vectored(&self.fd, at, pieces),
            None => transfer::read_vectored(&self.fd, at, pieces),
        };
        self.ended("read", extent(lba, len), outcome)
    }

    fn write_vectored_at(&self, lba: u64, pieces: &[IoSlice<'_>], fua: bool) -> Result<(), Status> {
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let at = self.place_change(lba, len)?;
        let mut next = at;
        let mapped = self.mapped.is_some()
            && pieces.iter().all(|piece| {
                let to = next;
                next += piece.len() as u64;
                self.write_mapped(to, piece)
            });
        if mapped {
            return Ok(());
        }
        let write = |flags| match &self.direct {
            Some(direct) => direct.write_vectored(&self.fd, at, pieces, flags),
            None => transfer::write_vectored(&self.fd, at, pieces, flags),
        };
        let outcome = if fua { self.write_durably(at, len, write) } else { write(ReadWriteFlags::empty()) };
        self.ended(if fua { "durable write" } else { "write" }, extent(lba, len), outcome)
    }

    fn read_now(&self, lba: u64, data: &mut [u8]) -> Option<Result<(), Status>> {
        if self.in_memory {
            return Some(self.read_at(lba, data));
        }
        self.read_cached(lba, data.len(), &mut [IoSliceMut::new(data)])
    }

    fn read_vectored_now(&self, lba: u64, pieces: &mut [IoSliceMut<'_>]) -> Option<Result<(), Status>> {
        if self.in_memory {
            return Some(self.read_vectored_at(lba, pieces));
        }
        self.read_cached(lba, pieces.iter().map(|piece| piece.len()).sum(), pieces)
    }

    fn write_waits(&self, fua: bool) -> bool {
        !self.in_memory && (fua || self.direct.is_some() || !self.takes_nowait())
    }
}

#[cfg(test)]
mod tests;
