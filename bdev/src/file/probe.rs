//! What a file or block device can do, found out without changing it.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FallocateFlags, FileType, FsWord, Stat, StatxFlags, Timespec, Timestamps};

use super::Alignment;
use super::error::OpenErrorKind;
use super::transfer;
use crate::{Features, SECTOR_SIZE};

/// Alignment that every file system with direct I/O accepts.
const SAFE_ALIGN: u32 = 4096;

/// The smallest unit that a block device reads and writes; 512 for a regular file.
pub(super) fn logical_block(fd: impl AsFd, stat: &Stat) -> u32 {
    let size = if is_block_device(stat) { rustix::fs::ioctl_blksszget(fd).ok() } else { None };
    block_size(size)
}

/// Whether the kernel can begin a transfer without waiting for anything (`RWF_NOWAIT`): FUSE and network file systems cannot.
pub(super) fn takes_nowait(fd: impl AsFd) -> bool {
    transfer::read_cached(fd, 0, 1, &mut [IoSliceMut::new(&mut [0])]).is_ok()
}

/// The unit that suits the medium, at most a page for a regular file.
pub(super) fn physical_block(fd: impl AsFd, stat: &Stat) -> u32 {
    block_size(if is_block_device(stat) {
        rustix::fs::ioctl_blkpbszget(fd).ok()
    } else {
        u32::try_from(stat.st_blksize).ok().map(|size| size.min(4096))
    })
}

fn block_size(size: Option<u32>) -> u32 {
    size.filter(|size| size.is_power_of_two()).unwrap_or(0).max(SECTOR_SIZE as u32)
}

/// What direct I/O needs here.
pub(super) fn direct_alignment(fd: impl AsFd, stat: &Stat) -> Result<Alignment, OpenErrorKind> {
    let told = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
        .ok()
        .filter(|statx| statx.stx_mask & StatxFlags::DIOALIGN.bits() != 0)
        .map(|statx| (statx.stx_dio_mem_align, statx.stx_dio_offset_align));
    match told {
        Some((memory, offset)) if memory.is_power_of_two() && offset.is_power_of_two() => {
            Ok(Alignment { memory, offset: offset.max(SECTOR_SIZE as u32) })
        }
        Some((0, _) | (_, 0)) if !is_block_device(stat) => Err(OpenErrorKind::NoDirect),
        _ if is_block_device(stat) => {
            let block = logical_block(&fd, stat);
            Ok(Alignment { memory: block, offset: block })
        }
        _ => Ok(Alignment { memory: SAFE_ALIGN, offset: SAFE_ALIGN }),
    }
}

/// What a file that is open for writing can do beyond reading and writing.
pub(super) fn features(fd: impl AsFd, stat: &Stat, size: u64) -> Features {
    let zeroes = Features::DISCARD | Features::DISCARD_ZEROES | Features::WRITE_ZEROES;
    if !is_block_device(stat) {
        // Behind the end there is nothing to lose, and `KEEP_SIZE` keeps the end where it is.
        let behind = size.next_multiple_of(u64::from(SAFE_ALIGN));
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let punched = transfer::fallocate(&fd, mode, behind, u64::from(SAFE_ALIGN));
        restore_mtime(&fd, stat);
        return if punched.is_ok() { Features::FLUSH | zeroes } else { Features::FLUSH };
    }
    // On a block device, punching a hole is a write-zeroes command that may unmap.
    let limit = |name| {
        attribute(stat, &format!("queue/{name}")).or_else(|| attribute(stat, &format!("../queue/{name}")))
    };
    match (limit("write_zeroes_max_bytes").unwrap_or(0), limit("discard_max_bytes").unwrap_or(0)) {
        (0, _) => Features::FLUSH,
        (_, 0) => Features::FLUSH | Features::WRITE_ZEROES,
        _ => Features::FLUSH | zeroes,
    }
}

/// Sets back the time of the last modification, which the probe moved without modifying anything. Failing that, it stays moved.
fn restore_mtime(fd: impl AsFd, before: &Stat) {
    let last_access = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let Ok(tv_nsec) = before.st_mtime_nsec.try_into() else { return };
    let last_modification = Timespec { tv_sec: before.st_mtime, tv_nsec };
    let _ = rustix::fs::futimens(fd, &Timestamps { last_access, last_modification });
}

/// Whether it is a block device that takes no writes. Opening one for writing succeeds.
pub(super) fn is_write_protected(stat: &Stat) -> bool {
    is_block_device(stat) && attribute(stat, "ro") == Some(1)
}

/// A number that the kernel publishes about a block device. A partition has its queue in the directory above.
fn attribute(stat: &Stat, name: &str) -> Option<u64> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/{name}")).ok()?.trim().parse().ok()
}

/// Whether it is a regular file whose sectors are in memory and nowhere else (but for swap). The name of a block device, too, is usually
/// kept in memory, and says nothing of its sectors.
pub(super) fn is_in_memory(fd: impl AsFd, stat: &Stat) -> bool {
    const TMPFS: FsWord = 0x0102_1994;
    const RAMFS: FsWord = 0x8584_58f6;
    !is_block_device(stat)
        && rustix::fs::fstatfs(fd).is_ok_and(|system| matches!(system.f_type, TMPFS | RAMFS))
}

pub(super) fn is_block_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
}
