//! From an [`Export`] to the disk that serves it: the file and the adapter that runs it, or another target's disk.
//!
//! Layers (encryption, copy on write) and other backends get their arm here.

use std::io;
use std::time::Duration;

use aoe_initiator::{AttachOptions, RemoteDisk};
use aoe_link::NetifOptions;
#[cfg(target_os = "linux")]
use aoe_link::PacketLink as RemoteLink;
#[cfg(not(target_os = "linux"))]
use aoe_link::PnetLink as RemoteLink;
use bdev::{
    AlignedBuf, Backend, BlockingBackend, DeviceInfo, FileDisk, FileOptions, IoQueue, Pooled, Status,
};
use rustix::io::Errno;
use tracing::{info, warn};

use crate::error::Error;
use crate::lock::FileLock;
use crate::options::Export;
use crate::source::{Remote, Source};

/// Requests that the disk works on at a time; the server keeps what comes beyond.
const DEPTH: u16 = 64;

/// How long another target is looked for at the start.
const SEEK: Duration = Duration::from_secs(10);

/// How long a request to another target is repeated before it fails. Initiators repeat theirs meanwhile; Linux gives up after 180 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// A disk that is ready to serve.
pub(crate) enum Stack {
    File { disk: Pooled<FileDisk>, _lock: Option<FileLock> },
    Remote { disk: RemoteDisk<RemoteLink>, read_only: bool },
}

impl Stack {
    /// Checks everything about the file that can be checked without opening it for writing.
    pub(crate) fn check(export: &Export) -> Result<(), Error> {
        let Source::File(file) = &export.source else { return Ok(()) };
        Ok(FileDisk::open(&FileOptions { read_only: true, ..file.clone() }).map(drop)?)
    }

    /// Keeps other processes of this program from the file; `None`, said aloud, where that cannot be or is not wanted. Another
    /// target's disk cannot be locked.
    ///
    /// # Errors
    ///
    /// When another process has it locked, unless the user said to go on.
    pub(crate) fn lock(export: &Export) -> Result<Option<FileLock>, Error> {
        let Source::File(file) = &export.source else { return Ok(None) };
        let path = &file.path;
        // Parts of one file are often served side by side. Parts that overlap are not noticed.
        let part = file.offset != 0 || file.length.is_some();
        match FileLock::take(path, file.read_only || part) {
            Ok(lock) => return Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) if export.force => {
                warn!("{}: another process has it locked, and may write to it, too", path.display());
            }
            Err(Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.clone() }),
            Err(errno) => warn!("{}: not locked, so others can serve it, too: {errno}", path.display()),
        }
        Ok(None)
    }

    /// Opens the disk as the export says. The lock is held as long.
    pub(crate) fn open(export: &Export, lock: Option<FileLock>) -> Result<Self, Error> {
        match &export.source {
            Source::File(file) => Ok(Self::File { disk: Pooled::new(FileDisk::open(file)?), _lock: lock }),
            Source::Remote(remote) => {
                let disk = connect(remote).map_err(|source| Error::Remote { source })?;
                Ok(Self::Remote { disk, read_only: remote.read_only })
            }
        }
    }

    pub(crate) fn info(&self) -> DeviceInfo {
        match self {
            Self::File { disk, .. } => disk.disk().info(),
            Self::Remote { disk, read_only } => {
                DeviceInfo { read_only: *read_only, ..Backend::<AlignedBuf>::info(disk) }
            }
        }
    }

    /// Looks how large the disk is now. What it is then; `None`, said aloud, if it stays what it was.
    pub(crate) fn reread_size(&self) -> Option<DeviceInfo> {
        let Self::File { disk, .. } = self else {
            // The queue learns it from the other target by itself.
            return Some(self.info());
        };
        let was = self.info().sectors;
        match disk.disk().reread_size() {
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
        match self {
            Self::File { disk, .. } => disk.disk().dropped_tail(),
            Self::Remote { .. } => 0,
        }
    }

    /// A queue for the server. It may need the privileges that the links did.
    pub(crate) fn open_queue(&self) -> io::Result<Box<dyn IoQueue<AlignedBuf>>> {
        match self {
            Self::File { disk, .. } => disk.open_queue(DEPTH),
            Self::Remote { disk, .. } => disk.open_queue(DEPTH),
        }
    }

    /// Makes everything durable that was written. The disk has logged why, if it fails. Another target keeps its own promise: what it
    /// has answered is as durable as it says.
    pub(crate) fn flush(&self) -> Result<(), Status> {
        match self {
            Self::File { disk, .. } if !self.info().read_only => disk.disk().flush(),
            _ => Ok(()),
        }
    }
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
