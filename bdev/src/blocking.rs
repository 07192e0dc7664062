//! Devices that are plain functions: [`BlockingBackend`], and the adapter that runs one in place, [`Inline`].

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::Arc;

use crate::{Backend, DeviceInfo, Extent, Io, IoBuf, IoQueue, Op, Status, Submit};

/// A device whose operations return when they are done: the easy way to write one.
///
/// Four methods make a device; [`Inline`] or [`Pooled`](crate::Pooled) makes it a [`Backend`]. The adapters have checked range,
/// read-only and features ([`Io::check`]), so an implementation may assert them. Methods take `&self` and may be called from several
/// threads at once, never for overlapping extents when one of them writes.
pub trait BlockingBackend: Send + Sync + 'static {
    /// What the device is.
    fn info(&self) -> DeviceInfo;

    /// Reads `data.len()` bytes, a multiple of 512, from sector `lba` on.
    ///
    /// # Errors
    ///
    /// The status that the request ends with; `data` is then unspecified.
    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status>;

    /// Writes `data.len()` bytes, a multiple of 512, from sector `lba` on.
    ///
    /// # Errors
    ///
    /// The status that the request ends with; any part may have been written.
    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status>;

    /// Makes durable every write that has returned. Called only on devices with [`Features::FLUSH`](crate::Features::FLUSH).
    ///
    /// # Errors
    ///
    /// [`Status::Media`] when durability cannot be promised.
    fn flush(&self) -> Result<(), Status>;

    /// Writes as [`write_at`](Self::write_at), and returns when the data is durable. By default: write, then flush.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at) and [`flush`](Self::flush).
    fn write_fua_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.write_at(lba, data)?;
        if self.info().features.contains(crate::Features::FLUSH) { self.flush() } else { Ok(()) }
    }

    /// Forgets the content of `extent`. Called only on devices with [`Features::DISCARD`](crate::Features::DISCARD).
    ///
    /// # Errors
    ///
    /// The status that the request ends with.
    fn discard(&self, extent: Extent) -> Result<(), Status> {
        let _ = extent;
        Err(Status::Unsupported)
    }

    /// Makes `extent` read as zeros. Called only on devices with [`Features::WRITE_ZEROES`](crate::Features::WRITE_ZEROES).
    ///
    /// # Errors
    ///
    /// The status that the request ends with.
    fn write_zeroes(&self, extent: Extent) -> Result<(), Status> {
        let _ = extent;
        Err(Status::Unsupported)
    }

    /// Reads into a list of pieces, whose lengths add up to a multiple of 512. By default: through one buffer, which copies.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    fn read_vectored_at(&self, lba: u64, pieces: &mut [IoSliceMut<'_>]) -> Result<(), Status> {
        let mut whole = vec![0; pieces.iter().map(|piece| piece.len()).sum()];
        self.read_at(lba, &mut whole)?;
        let mut rest = whole.as_slice();
        for piece in pieces {
            let (head, tail) = rest.split_at(piece.len());
            piece.copy_from_slice(head);
            rest = tail;
        }
        Ok(())
    }

    /// Writes from a list of pieces, whose lengths add up to a multiple of 512. By default: through one buffer, which copies.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at), and as [`write_fua_at`](Self::write_fua_at) with `fua`.
    fn write_vectored_at(&self, lba: u64, pieces: &[IoSlice<'_>], fua: bool) -> Result<(), Status> {
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        if fua { self.write_fua_at(lba, &whole) } else { self.write_at(lba, &whole) }
    }

    /// Reads as [`read_at`](Self::read_at) if that needs no waiting for the medium (the data is cached), else answers `None` without
    /// having waited. By default `None`: nothing is known.
    fn read_now(&self, lba: u64, data: &mut [u8]) -> Option<Result<(), Status>> {
        let _ = (lba, data);
        None
    }

    /// Whether a write waits for a medium, rather than for a copy in memory; `fua` says that it must be durable. By default `true`:
    /// nothing is known.
    fn write_waits(&self, fua: bool) -> bool {
        let _ = fua;
        true
    }
}

/// Runs `io` on `disk`, once it has passed [`Io::check`].
pub(crate) fn run<B: IoBuf>(disk: &(impl BlockingBackend + ?Sized), io: &mut Io<B>) -> Result<(), Status> {
    let lba = io.extent().lba;
    match io.op() {
        Op::Read => match io.data_mut() {
            Some(data) => disk.read_at(lba, data),
            None => disk.read_vectored_at(lba, &mut io.segments_mut().collect::<Vec<_>>()),
        },
        Op::Write { fua } => match io.data() {
            Some(data) if fua => disk.write_fua_at(lba, data),
            Some(data) => disk.write_at(lba, data),
            None => disk.write_vectored_at(lba, &io.segments().collect::<Vec<_>>(), fua),
        },
        Op::Flush if !disk.info().features.contains(crate::Features::FLUSH) => Ok(()),
        Op::Flush => disk.flush(),
        Op::Discard => disk.discard(io.extent()),
        Op::WriteZeroes => disk.write_zeroes(io.extent()),
    }
}

/// Runs a [`BlockingBackend`] in the submitting thread: every request ends in `submit`. Right for memory and cached files.
#[derive(Debug)]
pub struct Inline<D> {
    disk: Arc<D>,
}

impl<D: BlockingBackend> Inline<D> {
    /// The device `disk`, run in place.
    #[must_use]
    pub fn new(disk: D) -> Self {
        Self { disk: Arc::new(disk) }
    }

    /// The device itself.
    #[must_use]
    pub fn disk(&self) -> &D {
        &self.disk
    }
}

impl<D: BlockingBackend, B: IoBuf> Backend<B> for Inline<D> {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn open_queue(&self, _depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        Ok(Box::new(InlineQueue { disk: Arc::clone(&self.disk) }))
    }
}

struct InlineQueue<D> {
    disk: Arc<D>,
}

impl<D: BlockingBackend, B: IoBuf> IoQueue<B> for InlineQueue<D> {
    fn submit(&mut self, mut io: Io<B>) -> Submit<B> {
        let result = io.check(&self.disk.info()).and_then(|()| run(&*self.disk, &mut io));
        Submit::Done(io.done(result.into()))
    }
}
