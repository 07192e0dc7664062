//! From an [`Export`] to the disk that serves it: the file, and the adapter that runs it.
//!
//! Layers (encryption, copy on write) and other backends get their arm here.

use std::io;

use aoe_target::Frame;
use bdev::{Backend, BlockingBackend, DeviceInfo, FileDisk, FileOptions, IoQueue, OpenError, Pooled, Status};
use rustix::io::Errno;
use tracing::{info, warn};

use crate::error::Error;
use crate::lock::FileLock;
use crate::options::Export;

/// Requests that the disk works on at a time; the server keeps what comes beyond.
const DEPTH: u16 = 64;

/// A disk that is ready to serve.
pub(crate) struct Stack {
    disk: Pooled<FileDisk>,
    _lock: Option<FileLock>,
}

impl Stack {
    /// Checks everything about the file that can be checked without opening it for writing.
    pub(crate) fn check(export: &Export) -> Result<(), OpenError> {
        FileDisk::open(&FileOptions { read_only: true, ..export.file.clone() }).map(drop)
    }

    /// Keeps other processes of this program from the file; `None`, said aloud, where that cannot be or is not wanted.
    ///
    /// # Errors
    ///
    /// When another process has it locked, unless the user said to go on.
    pub(crate) fn lock(export: &Export) -> Result<Option<FileLock>, Error> {
        let path = &export.file.path;
        // Parts of one file are often served side by side. Parts that overlap are not noticed.
        let part = export.file.offset != 0 || export.file.length.is_some();
        match FileLock::take(path, export.file.read_only || part) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) if export.force => {
                warn!("{}: another process has it locked, and may write to it, too", path.display());
            }
            Err(Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.clone() }),
            Err(errno) => warn!("{}: not locked, so others can serve it, too: {errno}", path.display()),
        }
        Ok(None)
    }

    /// Opens the file as the export says. The lock is held as long.
    pub(crate) fn open(export: &Export, lock: Option<FileLock>) -> Result<Self, OpenError> {
        Ok(Self { disk: Pooled::new(FileDisk::open(&export.file)?), _lock: lock })
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        self.disk.disk().info()
    }

    /// Looks how large the file is now. What the disk is then; `None`, said aloud, if it stays what it was.
    pub(crate) fn reread_size(&self) -> Option<DeviceInfo> {
        let was = self.info().sectors;
        match self.disk.disk().reread_size() {
            Ok(now) => {
                info!("size is now {now} sectors, was {was}");
                Some(self.info())
            }
            Err(error) => {
                warn!("{error}; the size stays {was} sectors");
                None
            }
        }
    }

    /// Bytes at the end of the file that fill no sector.
    pub(crate) fn dropped_tail(&self) -> u64 {
        self.disk.disk().dropped_tail()
    }

    pub(crate) fn open_queue<F: Frame>(&self) -> io::Result<Box<dyn IoQueue<F>>> {
        self.disk.open_queue(DEPTH)
    }

    /// Makes everything durable that was written. The disk has logged why, if it fails.
    pub(crate) fn flush(&self) -> Result<(), Status> {
        if self.info().read_only { Ok(()) } else { self.disk.disk().flush() }
    }
}
