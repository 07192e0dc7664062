//! Devices that are plain functions: [`BlockingBackend`], and the adapter that runs one in place, [`Inline`].

use std::array;
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

    /// The same for a list of pieces, as [`read_vectored_at`](Self::read_vectored_at). By default `None`.
    fn read_vectored_now(&self, lba: u64, pieces: &mut [IoSliceMut<'_>]) -> Option<Result<(), Status>> {
        let _ = (lba, pieces);
        None
    }

    /// Whether a write waits for a medium, rather than for a copy in memory; `fua` says that it must be durable. By default `true`:
    /// nothing is known.
    fn write_waits(&self, fua: bool) -> bool {
        let _ = fua;
        true
    }
}

impl<B: IoBuf> Io<B> {
    /// Does on `disk` what the request asks, once it has passed [`check`](Self::check); for a queue over a [`BlockingBackend`].
    ///
    /// # Errors
    ///
    /// The status to end the request with.
    pub fn run_on(&mut self, disk: &(impl BlockingBackend + ?Sized)) -> Result<(), Status> {
        let lba = self.extent().lba;
        match self.op() {
            Op::Read => match self.data_mut() {
                Some(data) => disk.read_at(lba, data),
                None => with_pieces_mut(self, |pieces| disk.read_vectored_at(lba, pieces)),
            },
            Op::Write { fua } => self.write_to(disk, fua),
            Op::Flush if !disk.info().features.contains(crate::Features::FLUSH) => Ok(()),
            Op::Flush => disk.flush(),
            Op::Discard => disk.discard(self.extent()),
            Op::WriteZeroes => disk.write_zeroes(self.extent()),
        }
    }

    /// Writes the data of a write to `disk`, durable or not as `fua` says, whatever the request does.
    ///
    /// # Errors
    ///
    /// The status to end the request with.
    pub fn write_to(&self, disk: &(impl BlockingBackend + ?Sized), fua: bool) -> Result<(), Status> {
        let lba = self.extent().lba;
        match self.data() {
            Some(data) if fua => disk.write_fua_at(lba, data),
            Some(data) => disk.write_at(lba, data),
            None => with_pieces(self, |pieces| disk.write_vectored_at(lba, pieces, fua)),
        }
    }

    /// Reads what a read asks of `disk` if its data is cached, as [`BlockingBackend::read_now`].
    pub fn read_now_from(&mut self, disk: &(impl BlockingBackend + ?Sized)) -> Option<Result<(), Status>> {
        let lba = self.extent().lba;
        match self.data_mut() {
            Some(data) => disk.read_now(lba, data),
            None => with_pieces_mut(self, |pieces| disk.read_vectored_now(lba, pieces)),
        }
    }
}

/// Pieces that are listed without an allocation: more than any packet ring's frame has.
const FEW: usize = 8;

fn with_pieces_mut<B: IoBuf, T>(io: &mut Io<B>, call: impl FnOnce(&mut [IoSliceMut<'_>]) -> T) -> T {
    if B::MAX_SEGMENTS > FEW {
        return call(&mut io.segments_mut().collect::<Vec<_>>());
    }
    let mut pieces = io.segments_mut();
    let mut count = 0;
    let mut list: [IoSliceMut<'_>; FEW] = array::from_fn(|_| {
        let piece = pieces.next();
        count += usize::from(piece.is_some());
        piece.unwrap_or_else(|| IoSliceMut::new(&mut []))
    });
    call(&mut list[..count])
}

fn with_pieces<B: IoBuf, T>(io: &Io<B>, call: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
    if B::MAX_SEGMENTS > FEW {
        return call(&io.segments().collect::<Vec<_>>());
    }
    let mut pieces = io.segments();
    let mut count = 0;
    let list: [IoSlice<'_>; FEW] = array::from_fn(|_| {
        let piece = pieces.next();
        count += usize::from(piece.is_some());
        piece.unwrap_or_else(|| IoSlice::new(&[]))
    });
    call(&list[..count])
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
        let result = io.check(&self.disk.info()).and_then(|()| io.run_on(&*self.disk));
        Submit::Done(io.done(result.into()))
    }
}
