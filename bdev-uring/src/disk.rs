//! The backend: [`UringDisk`].

use std::io;
use std::sync::Arc;

use bdev::{Backend, BlockingBackend, DeviceInfo, FileDisk, IoBuf, IoQueue, Pooled};

use crate::Unavailable;
use crate::queue::UringQueue;
use crate::transfers::Transfers;

/// Requests of a queue at most.
const DEEPEST: u16 = 16_384;

/// A [`FileDisk`] over io_uring: each queue has a ring of its own.
///
/// A queue may be used by another thread than the one that opened it, and costs two descriptors and some kilobytes; its threads are
/// started when they are first needed. What `FileDisk` promises of durability, size, errors and zeros holds here as well; failures are
/// logged by it.
///
/// [`open_queue`](Backend::open_queue) takes a depth of up to 16,384 and fails where io_uring is not to be had, where it would wait
/// for the file system, or where the file cannot be opened once more for the queue's syncs, with an error that was made of an
/// [`Unavailable`](crate::Unavailable). A second queue syncs the disk before it is there, so that it knows what the first has been told.
#[derive(Debug)]
pub struct UringDisk {
    disk: Arc<FileDisk>,
    /// For what the ring is not.
    pool: Pooled<FileDisk>,
}

impl UringDisk {
    /// The disk `disk`, over io_uring.
    #[must_use]
    pub fn new(disk: impl Into<Arc<FileDisk>>) -> Self {
        let disk = disk.into();
        Self { pool: Pooled::from(Arc::clone(&disk)), disk }
    }

    /// The file.
    #[must_use]
    pub fn disk(&self) -> &FileDisk {
        &self.disk
    }
}

impl<B: IoBuf> Backend<B> for UringDisk {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        if !self.disk.takes_nowait() && !self.disk.is_in_memory() {
            return Err(Unavailable::Waits.into());
        }
        let depth = depth.clamp(1, DEEPEST);
        let transfers = Transfers::new(depth, &self.disk)?;
        let threads = self.pool.open_queue(depth)?;
        Ok(Box::new(UringQueue::new(Arc::clone(&self.disk), transfers, threads, depth)))
    }
}
