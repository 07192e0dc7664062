//! From an [`Export`] to the disk that serves it: the file, and the adapter that runs it.
//!
//! Layers (encryption, copy on write) and other backends get their arm here.

use std::io;

use aoe_target::Frame;
use bdev::{Backend, BlockingBackend, DeviceInfo, FileDisk, FileOptions, IoQueue, OpenError, Pooled, Status};

use crate::options::Export;

/// Requests that the disk works on at a time; the server keeps what comes beyond.
const DEPTH: u16 = 64;

/// A disk that is ready to serve.
pub(crate) struct Stack {
    disk: Pooled<FileDisk>,
}

impl Stack {
    /// Checks everything about the file that can be checked without opening it for writing.
    pub(crate) fn check(export: &Export) -> Result<(), OpenError> {
        FileDisk::open(&FileOptions { read_only: true, ..export.file.clone() }).map(drop)
    }

    /// Opens the file as the export says.
    pub(crate) fn open(export: &Export) -> Result<Self, OpenError> {
        Ok(Self { disk: Pooled::new(FileDisk::open(&export.file)?) })
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        self.disk.disk().info()
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
