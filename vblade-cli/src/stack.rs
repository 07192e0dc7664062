//! From a [`Source`] to the disk that serves it: the file and the adapter that runs it, or another target's disk.
//!
//! Layers (encryption, copy on write) and other backends get their arm here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aoe_initiator::{AttachOptions, RemoteDisk};
use aoe_link::NetifOptions;
#[cfg(target_os = "linux")]
use aoe_link::PacketLink as RemoteLink;
#[cfg(not(target_os = "linux"))]
use aoe_link::PnetLink as RemoteLink;
use bdev::{
    AlignedBuf, Backend, BlockingBackend, DeviceInfo, FileDisk, FileOptions, IoBuf, IoQueue, Pooled, Status,
};
#[cfg(target_os = "linux")]
use bdev_uring::UringDisk;
use rustix::io::Errno;
use tracing::{info, warn};

use crate::error::Error;
use crate::lock::FileLock;
use crate::source::{Remote, Source};

/// Requests that a disk works on at a time where nobody says otherwise; the server keeps what comes beyond.
pub(crate) const DEPTH: u16 = 64;

/// How long another target is looked for at the start.
const SEEK: Duration = Duration::from_secs(10);

/// How long a request to another target is repeated before it fails. Initiators repeat theirs meanwhile; Linux gives up after 180 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// A disk that is ready to serve.
pub(crate) enum Stack {
    File { disk: Arc<FileDisk>, _lock: Option<FileLock> },
    Remote { disk: RemoteDisk<RemoteLink>, read_only: bool },
}

impl Stack {
    /// Checks everything about the file that can be checked without opening it for writing.
    pub(crate) fn check(source: &Source) -> Result<(), Error> {
        let Source::File(file) = source else { return Ok(()) };
        Ok(FileDisk::open(&FileOptions { read_only: true, ..file.clone() }).map(drop)?)
    }

    /// Keeps other processes of this program from the file; `None`, said aloud, where that cannot be or is not wanted. Another
    /// target's disk cannot be locked.
    ///
    /// # Errors
    ///
    /// When another process has it locked, unless the user said to go on.
    pub(crate) fn lock(source: &Source, force: bool) -> Result<Option<FileLock>, Error> {
        let Source::File(file) = source else { return Ok(None) };
        let path = &file.path;
        // Parts of one file are often served side by side. Parts that overlap are not noticed.
        let part = file.offset != 0 || file.length.is_some();
        match FileLock::take(path, file.read_only || part) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) if force => {
                warn!("{}: another process has it locked, and may write to it, too", path.display());
            }
            Err(Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.clone() }),
            Err(errno) => warn!("{}: not locked, so others can serve it, too: {errno}", path.display()),
        }
        Ok(None)
    }

    /// Opens the disk. The lock is held as long.
    pub(crate) fn open(source: &Source, lock: Option<FileLock>) -> Result<Self, Error> {
        match source {
            Source::File(file) => Ok(Self::File { disk: Arc::new(FileDisk::open(file)?), _lock: lock }),
            Source::Remote(remote) => {
                let disk = connect(remote).map_err(|source| Error::Remote { source })?;
                Ok(Self::Remote { disk, read_only: remote.read_only })
            }
        }
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        match self {
            Self::File { disk, .. } => disk.info(),
            Self::Remote { disk, read_only } => {
                DeviceInfo { read_only: *read_only, ..Backend::<AlignedBuf>::info(disk) }
            }
        }
    }

    /// What the disk is now, its size read anew. The queue of another target's disk learns it by itself.
    ///
    /// # Errors
    ///
    /// No sector is left, or the system does not tell. The size that the disk had stays.
    pub(crate) fn measure(&self) -> Result<DeviceInfo, bdev::OpenError> {
        if let Self::File { disk, .. } = self {
            disk.reread_size()?;
        }
        Ok(self.info())
    }

    /// Looks how large the disk is now. What it is then; `None`, said aloud, if it stays what it was.
    pub(crate) fn reread_size(&self) -> Option<DeviceInfo> {
        let was = self.info().sectors;
        match self.measure() {
            Ok(now) => {
                info!("size is now {} sectors, was {was}", now.sectors);
                Some(now)
            }
            Err(error) => {
                warn!("{error}; the size stays {was} sectors");
                None
            }
        }
    }

    /// Bytes at the end of the file that fill no sector.
    pub(crate) fn dropped_tail(&self) -> u64 {
        match self {
            Self::File { disk, .. } => disk.dropped_tail(),
            Self::Remote { .. } => 0,
        }
    }

    /// A queue for one server: for a file over io_uring, or on threads where that is not to be had. It may need the privileges that the
    /// links did, and belongs to the thread that first uses it.
    pub(crate) fn open_queue<B: IoBuf>(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        match self {
            Self::File { disk, .. } => ring_or_threads(disk, depth, open_ring),
            Self::Remote { disk, .. } => disk.open_queue(depth),
        }
    }

    /// Makes everything durable that was written. The disk has logged why, if it fails. Another target keeps its own promise: what it
    /// has answered is as durable as it says.
    pub(crate) fn flush(&self) -> Result<(), Status> {
        match self {
            Self::File { disk, .. } if !self.info().read_only => disk.flush(),
            _ => Ok(()),
        }
    }
}

/// A queue by `open`, or, said aloud once, on threads.
fn ring_or_threads<B: IoBuf>(
    disk: &Arc<FileDisk>,
    depth: u16,
    open: impl FnOnce(&Arc<FileDisk>, u16) -> io::Result<Box<dyn IoQueue<B>>>,
) -> io::Result<Box<dyn IoQueue<B>>> {
    static SAID: AtomicBool = AtomicBool::new(false);
    open(disk, depth).or_else(|why| {
        if !SAID.swap(true, Ordering::Relaxed) {
            warn!("{why}; until then disks work on threads, which is slower where they must wait");
        }
        Pooled::from(Arc::clone(disk)).open_queue(depth)
    })
}

#[cfg(target_os = "linux")]
fn open_ring<B: IoBuf>(disk: &Arc<FileDisk>, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
    UringDisk::new(Arc::clone(disk)).open_queue(depth)
}

#[cfg(not(target_os = "linux"))]
fn open_ring<B: IoBuf>(_disk: &Arc<FileDisk>, _depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is of Linux; use that for faster disks"))
}

fn connect(remote: &Remote) -> Result<RemoteDisk<RemoteLink>, aoe_initiator::ConnectError> {
    let options = AttachOptions { deadline: PATIENCE, seek: Some(SEEK), ..AttachOptions::default() };
    let netifs = remote.netifs.clone();
    RemoteDisk::connect(remote.address, options, move || {
        let open =
            |netif: &String| RemoteLink::open(netif, NetifOptions::default()).map_err(io::Error::other);
        netifs.iter().map(open).collect()
    })
}

#[cfg(test)]
mod tests {
    use bdev::{Extent, Io, Submit};
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn where_there_is_no_ring_the_disk_works_on_threads() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(8192).expect("room");
        let disk = Arc::new(FileDisk::open(&FileOptions::new(file.path())).expect("a disk"));
        for _ in 0..2 {
            let refused = |_: &Arc<FileDisk>, _| Err(io::Error::from_raw_os_error(1));
            let mut queue = ring_or_threads::<BytesMut>(&disk, DEPTH, refused).expect("a queue on threads");
            let write = queue.submit(Io::write(Extent::new(3, 1), BytesMut::from(&[7; 512][..]), 0));
            let Submit::Done(done) = write else { panic!("a cached write ends in place") };
            assert_eq!(done.status(), Status::Ok);
        }
        let content = std::fs::read(file.path()).expect("the file");
        assert_eq!(content[3 * 512..4 * 512], [7; 512]);
    }
}
