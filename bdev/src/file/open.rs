//! Opening: every check first, for writing last.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::direct::Direct;
use super::error::OpenErrorKind;
use super::mapped::Mapped;
use super::probe;
use super::report::Report;
use super::{Alignment, FileDisk};
use crate::{DeviceInfo, Features, SECTOR_SIZE};

const SECTOR: u64 = SECTOR_SIZE as u64;

/// What to open, and how.
///
/// ```no_run
/// use bdev::{FileDisk, FileOptions};
/// let disk = FileDisk::open(&FileOptions { read_only: true, ..FileOptions::new("disk.img") })?;
/// # Ok::<(), bdev::OpenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The file or block device.
    pub path: PathBuf,
    /// Sectors of the file that lie before the disk's sector 0.
    pub offset: u64,
    /// Size of the disk in sectors; `None`: up to the file's last whole sector.
    pub length: Option<u64>,
    /// Whether the file is opened for reading only.
    pub read_only: bool,
    /// Whether to go past the page cache (`O_DIRECT`). Requests that do not fit the device's alignment are copied.
    pub direct: bool,
}

impl FileOptions {
    /// All of `path`, for reading and writing, through the page cache.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, length: None, read_only: false, direct: false }
    }
}

pub(super) fn open(options: &FileOptions) -> Result<FileDisk, OpenErrorKind> {
    let (fd, stat) = open_to_check(options)?;
    let (size, available) = measure(&fd, options.offset)?;
    let sectors = check_length(options, available)?;
    if !options.read_only && probe::is_write_protected(&stat) {
        return Err(OpenErrorKind::ReadOnlyMedium);
    }
    let alignment = if options.direct { Some(check_direct(&fd, &stat)?) } else { None };

    let fd = if options.read_only {
        settle(fd, options.direct)?
    } else {
        open_writable(&options.path, &stat, options.direct)?
    };
    let sync = if options.read_only { None } else { Some(open_writable(&options.path, &stat, false)?) };
    let tail = match alignment {
        Some(alignment) if !probe::is_block_device(&stat) && u64::from(alignment.offset) > SECTOR => {
            Some(open_tail(options, &stat)?)
        }
        _ => None,
    };
    let features = if options.read_only { Features::FLUSH } else { probe::features(&fd, &stat, size) };

    let start = options.offset * SECTOR;
    let physical_block = probe::physical_block(&fd, &stat);
    let block = probe::logical_block(&fd, &stat).max(alignment.map_or(0, |alignment| alignment.offset));
    let aligned = start.is_multiple_of(u64::from(physical_block));
    let in_memory = probe::is_in_memory(&fd, &stat);
    let end = start + sectors * SECTOR;
    let mapped =
        (in_memory && !options.direct).then(|| Mapped::new(fd.as_fd(), end, !options.read_only)).flatten();
    Ok(FileDisk {
        path: options.path.clone(),
        start,
        sectors: AtomicU64::new(sectors),
        limit: options.length.unwrap_or(u64::MAX),
        rereading: Mutex::default(),
        info: DeviceInfo {
            sectors,
            physical_block: if aligned { physical_block } else { SECTOR_SIZE as u32 },
            mem_align: alignment.map_or(1, |alignment| alignment.memory),
            read_only: options.read_only,
            features,
        },
        direct: alignment.map(|alignment| Direct::new(alignment, size, tail)),
        zero_unit: u64::from(block),
        in_memory,
        mapped,
        touched: AtomicBool::new(false),
        dropped_tail: if options.length.is_none() { size % SECTOR } else { 0 },
        report: Report::default(),
        nowait: AtomicBool::new(probe::takes_nowait(&fd)),
        dsync: AtomicBool::new(true),
        zero_range: AtomicBool::new(true),
        lost: AtomicBool::new(false),
        sync_shared: AtomicBool::new(false),
        fd,
        sync,
        syncs: AtomicU64::new(0),
        synced: Mutex::default(),
    })
}

/// Opens the file for reading, once it looks like a disk.
fn open_to_check(options: &FileOptions) -> Result<(OwnedFd, Stat), OpenErrorKind> {
    // Looked at before it is opened: opening some character devices does something.
    let stat = rustix::fs::stat(&options.path).map_err(|errno| on_read(errno, "find it"))?;
    check_type(&stat)?;
    // `NONBLOCK`: had it become a FIFO meanwhile, opening it would hang.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&options.path, flags, Mode::empty());
    let fd = opened.map_err(|errno| on_read(errno, "open it"))?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| os("look at it", errno))?;
    check_type(&stat)?;
    Ok((fd, stat))
}

fn check_type(stat: &Stat) -> Result<(), OpenErrorKind> {
    Err(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => return Ok(()),
        FileType::Directory => OpenErrorKind::Directory,
        FileType::CharacterDevice => OpenErrorKind::NotADisk("character device"),
        FileType::Fifo => OpenErrorKind::NotADisk("FIFO"),
        FileType::Socket => OpenErrorKind::NotADisk("socket"),
        _ => OpenErrorKind::NotADisk("file of an unknown type"),
    })
}

/// Size in bytes of an open file or block device, and the whole sectors in it behind `offset`, at least one.
pub(super) fn measure(fd: &OwnedFd, offset: u64) -> Result<(u64, u64), OpenErrorKind> {
    // The position that this moves is used by nobody.
    let size = rustix::fs::seek(fd, SeekFrom::End(0)).map_err(|errno| os("find its size", errno))?;
    let sectors = size / SECTOR;
    if size == 0 {
        return Err(OpenErrorKind::Empty);
    }
    if sectors == 0 {
        return Err(OpenErrorKind::TooSmall { bytes: size });
    }
    if offset >= sectors {
        return Err(OpenErrorKind::OffsetBeyondEnd { offset, sectors });
    }
    Ok((size, sectors - offset))
}

/// The sectors that the disk has, of those `available` behind the offset.
fn check_length(options: &FileOptions, available: u64) -> Result<u64, OpenErrorKind> {
    let &FileOptions { offset, length, .. } = options;
    match length {
        None => Ok(available),
        Some(0) => Err(OpenErrorKind::NoLength),
        Some(length) if length > available => {
            Err(OpenErrorKind::LengthBeyondEnd { length, offset, available })
        }
        Some(length) => Ok(length),
    }
}

/// Whether the file can be opened past the page cache, and what that asks of requests.
fn check_direct(fd: &OwnedFd, stat: &Stat) -> Result<Alignment, OpenErrorKind> {
    let flags = rustix::fs::fcntl_getfl(fd).map_err(|errno| os("look at it", errno))?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::DIRECT).map_err(on_direct)?;
    probe::direct_alignment(fd, stat)
}

/// Makes the descriptor that was used for checking the one to use.
fn settle(fd: OwnedFd, direct: bool) -> Result<OwnedFd, OpenErrorKind> {
    let flags = if direct { OFlags::DIRECT } else { OFlags::empty() };
    rustix::fs::fcntl_setfl(&fd, flags).map_err(on_direct)?;
    Ok(fd)
}

fn open_writable(path: &Path, checked: &Stat, direct: bool) -> Result<OwnedFd, OpenErrorKind> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    reopen(path, checked, if direct { flags | OFlags::DIRECT } else { flags })
}

/// The file that `fd` has open, opened once more for syncs: by the descriptor, as `path` may name another file by now, or where there is
/// no `/proc`, by `path`.
pub(super) fn open_sync(path: &Path, fd: &OwnedFd) -> Result<OwnedFd, OpenErrorKind> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| os("look at it", errno))?;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match open_writable(Path::new(&link), &stat, false) {
        Err(OpenErrorKind::Missing) => open_writable(path, &stat, false),
        result => result,
    }
}

/// A second descriptor, through the page cache, for the block in which the file ends.
fn open_tail(options: &FileOptions, checked: &Stat) -> Result<OwnedFd, OpenErrorKind> {
    let flags = if options.read_only { OFlags::RDONLY } else { OFlags::RDWR };
    reopen(&options.path, checked, flags | OFlags::NOCTTY | OFlags::CLOEXEC)
}

fn reopen(path: &Path, checked: &Stat, flags: OFlags) -> Result<OwnedFd, OpenErrorKind> {
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM if flags.contains(OFlags::RDWR) => OpenErrorKind::NoWrite,
        Errno::ROFS => OpenErrorKind::ReadOnlyMedium,
        Errno::INVAL if flags.contains(OFlags::DIRECT) => OpenErrorKind::NoDirect,
        errno => on_read(errno, "open it once more"),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|errno| os("look at it", errno))?;
    let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_rdev);
    if identity(&stat) == identity(checked) { Ok(fd) } else { Err(OpenErrorKind::Replaced) }
}

fn on_read(errno: Errno, doing: &'static str) -> OpenErrorKind {
    match errno {
        Errno::NOENT | Errno::NOTDIR => OpenErrorKind::Missing,
        Errno::ACCESS | Errno::PERM => OpenErrorKind::NoRead,
        errno => os(doing, errno),
    }
}

fn on_direct(errno: Errno) -> OpenErrorKind {
    if errno == Errno::INVAL { OpenErrorKind::NoDirect } else { os("open it past the page cache", errno) }
}

fn os(doing: &'static str, errno: Errno) -> OpenErrorKind {
    OpenErrorKind::Os { doing, error: io::Error::from(errno) }
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn a_file_that_was_replaced_after_it_was_checked_is_refused() {
        let (checked, replaced) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let stat = |file: &NamedTempFile| rustix::fs::stat(file.path()).unwrap();
        let result = open_writable(replaced.path(), &stat(&checked), false);
        assert!(matches!(result, Err(OpenErrorKind::Replaced)), "{result:?}");
        assert!(open_writable(replaced.path(), &stat(&replaced), false).is_ok());
    }
}
