//! Frames in memory that is shared with the kernel: [`XdpFrame`], and the chunks they are made of.
#![expect(unsafe_code, reason = "memory that the kernel writes, too")]

use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use aoe_l2::Frame;
use bdev::IoBuf;

use super::ring::Mapping;

/// Bytes that the kernel leaves free at the start of a chunk (`XDP_PACKET_HEADROOM`).
const KERNEL_HEADROOM: usize = 256;

/// Bytes that we leave free behind them, so that byte 36 of a frame lies at byte 512 of its chunk.
pub(super) const HEADROOM: usize = 220;

/// Where a frame, or a piece of it, begins in its chunk.
pub(super) const START: usize = KERNEL_HEADROOM + HEADROOM;

/// The most chunks that a frame is made of.
pub(super) const MOST_CHUNKS: usize = 3;

/// How frames lie in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a chunk.
    pub(super) chunk: usize,
    /// Chunks of a frame.
    pub(super) per_frame: usize,
}

impl Layout {
    /// Bytes of the longest frame that there is a layout for.
    pub(super) const LONGEST: usize = MOST_CHUNKS * (4096 - START);

    /// Small chunks, if a frame of `len` bytes fits in one, else large ones, as many as it takes; `None` if that is too many.
    pub(super) fn of_frame(len: usize) -> Option<Self> {
        if len <= 2048 - START {
            return Some(Self { chunk: 2048, per_frame: 1 });
        }
        let per_frame = len.div_ceil(4096 - START);
        (per_frame <= MOST_CHUNKS).then_some(Self { chunk: 4096, per_frame })
    }

    /// Bytes of a frame in each of its chunks.
    pub(super) fn piece(self) -> usize {
        self.chunk - START
    }

    pub(super) fn capacity(self) -> usize {
        self.piece() * self.per_frame
    }
}

/// A chunk that is ours: neither a frame's nor the kernel's. There is one of each number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk(u32);

/// The memory of an AF_XDP socket, cut into chunks.
#[derive(Debug)]
pub(super) struct Umem {
    memory: Mapping,
    layout: Layout,
}

impl Umem {
    /// Zeroed memory of `count` chunks, and the chunks.
    pub(super) fn new(layout: Layout, count: u32) -> io::Result<(Arc<Self>, Vec<Chunk>)> {
        let memory = Mapping::anonymous(layout.chunk * count as usize)?;
        Ok((Arc::new(Self { memory, layout }), (0..count).map(Chunk).collect()))
    }

    pub(super) fn memory(&self) -> &Mapping {
        &self.memory
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of the chunk that holds byte `address`, and the place of the byte in it. `None`: it is not ours.
    pub(super) fn locate(&self, address: u64) -> Option<(u32, usize)> {
        let address = usize::try_from(address).ok().filter(|address| *address < self.memory.len())?;
        Some((u32::try_from(address / self.layout.chunk).ok()?, address % self.layout.chunk))
    }

    fn chunk(&self, number: u32) -> NonNull<u8> {
        let at = number as usize * self.layout.chunk;
        assert!(at + self.layout.chunk <= self.memory.len());
        // SAFETY: the whole chunk lies in the mapping, as was just checked.
        unsafe { self.memory.start().add(at) }
    }
}

/// Who has each chunk. The kernel's word on that is checked, not trusted: a chunk that it gave back twice would be in two frames.
#[derive(Debug)]
pub(super) struct Chunks {
    free: Vec<Chunk>,
    lent: Vec<Holder>,
}

/// Whom a chunk was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The free list or a frame.
    Us,
    /// The kernel, to receive into.
    Receiver,
    /// The kernel, to send from.
    Sender,
}

impl Chunks {
    pub(super) fn new(free: Vec<Chunk>) -> Self {
        Self { lent: vec![Holder::Us; free.len()], free }
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) fn take(&mut self) -> Option<Chunk> {
        self.free.pop()
    }

    pub(super) fn put(&mut self, chunk: Chunk) {
        self.free.push(chunk);
    }

    /// Gives a chunk to the kernel, which knows it by its number.
    pub(super) fn lend(&mut self, chunk: Chunk, to: Holder) -> u32 {
        if let Some(holder) = self.lent.get_mut(chunk.0 as usize) {
            *holder = to;
        }
        chunk.0
    }

    /// Takes the chunk called `number` back from the kernel, if that has it.
    pub(super) fn take_back(&mut self, number: u32, from: Holder) -> Option<Chunk> {
        let holder = self.lent.get_mut(number as usize).filter(|holder| **holder == from)?;
        *holder = Holder::Us;
        Some(Chunk(number))
    }
}

/// A frame of an [`XdpLink`](super::XdpLink): up to three pieces of memory that is shared with the kernel.
///
/// It is in one piece up to an MTU of 3,602. Of a longer one, every piece but the last has 3,620 bytes. Byte 36 has an
/// address that is a multiple of 512.
///
/// It belongs to the link that gave it out, and keeps that link's memory alive.
#[derive(Debug)]
pub struct XdpFrame {
    umem: Arc<Umem>,
    /// As many as the layout says; the others mean nothing.
    chunks: [u32; MOST_CHUNKS],
    len: u32,
    /// The number of the socket whose memory this is.
    pub(super) queue: u16,
}

impl XdpFrame {
    /// A frame of length 0. Takes as many chunks as it needs; `None`, and none taken, when there are fewer.
    pub(super) fn take(umem: &Arc<Umem>, chunks: &mut Chunks, queue: u16) -> Option<Self> {
        let needed = umem.layout.per_frame;
        if chunks.free() < needed {
            return None;
        }
        let mut numbers = [0; MOST_CHUNKS];
        for number in &mut numbers[..needed] {
            *number = chunks.take()?.0;
        }
        Some(Self { umem: Arc::clone(umem), chunks: numbers, len: 0, queue })
    }

    /// A frame that begins with `first` and, when it takes more chunks, goes on with others. `None`, and `first` is back, when there are
    /// too few.
    pub(super) fn beginning(umem: &Arc<Umem>, chunks: &mut Chunks, queue: u16, first: Chunk) -> Option<Self> {
        chunks.put(first);
        // The last one put is the first one taken.
        Self::take(umem, chunks, queue)
    }

    /// How many of its chunks hold bytes, counting one at least.
    pub(super) fn pieces(&self) -> usize {
        self.lens().count()
    }

    /// Takes it apart: its chunks in their order, each with the number of bytes that it holds.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = (Chunk, usize)> {
        let (piece, per_frame) = (self.umem.layout.piece(), self.umem.layout.per_frame);
        let len = self.len as usize;
        let chunks = self.chunks.into_iter().take(per_frame).enumerate();
        chunks.map(move |(index, chunk)| (Chunk(chunk), len.saturating_sub(index * piece).min(piece)))
    }

    /// Whether its memory is that of `umem`.
    pub(super) fn is_of(&self, umem: &Arc<Umem>) -> bool {
        Arc::ptr_eq(&self.umem, umem)
    }

    /// Exchanges chunk number `index` of the frame for `chunk`.
    pub(super) fn replace(&mut self, index: usize, chunk: Chunk) -> Chunk {
        Chunk(std::mem::replace(&mut self.chunks[index], chunk.0))
    }

    /// All memory of piece number `index`, whatever is in use.
    fn piece(&self, index: usize) -> (NonNull<u8>, usize) {
        let chunk = self.umem.chunk(self.chunks[index]);
        // SAFETY: `START` is less than a chunk's length.
        (unsafe { chunk.add(START) }, self.umem.layout.piece())
    }

    fn lens(&self) -> impl Iterator<Item = usize> + use<> {
        let (piece, len) = (self.umem.layout.piece(), self.len as usize);
        (0..len.div_ceil(piece).max(1)).map(move |index| (len - index * piece).min(piece))
    }
}

// SAFETY: the memory is mapped as long as `umem` is held and never moves; a `Chunk` is unique and is neither in the free list nor
// with the kernel while a frame has it (`Chunks`), so nobody else touches it; it was zeroed when it was mapped.
unsafe impl IoBuf for XdpFrame {
    const MAX_SEGMENTS: usize = MOST_CHUNKS;

    fn bytes(&self) -> &[u8] {
        let (start, most) = self.piece(0);
        // SAFETY: the first piece has `most` bytes, which only this frame uses.
        unsafe { slice::from_raw_parts(start.as_ptr(), most.min(self.len as usize)) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, most) = self.piece(0);
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), most.min(self.len as usize)) }
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.lens().enumerate().map(|(index, len)| {
            // SAFETY: piece number `index` has at least `len` bytes, which only this frame uses.
            unsafe { slice::from_raw_parts(self.piece(index).0.as_ptr(), len) }
        })
    }

    fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let lens = self.lens();
        let frame = &*self;
        lens.enumerate().map(move |(index, len)| {
            // SAFETY: as in `segments`; `self` is borrowed exclusively for as long as the slices live, and each is of another chunk.
            unsafe { slice::from_raw_parts_mut(frame.piece(index).0.as_ptr(), len) }
        })
    }
}

impl Frame for XdpFrame {
    fn capacity(&self) -> usize {
        self.umem.layout.capacity()
    }

    fn set_len(&mut self, len: usize) {
        let most = self.capacity();
        assert!(len <= most, "length {len} exceeds the capacity of {most} bytes");
        self.len = u32::try_from(len).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> XdpFrame {
        let layout = Layout::of_frame(len).unwrap();
        let (umem, free) = Umem::new(layout, 8).unwrap();
        XdpFrame::take(&umem, &mut Chunks::new(free), 0).unwrap()
    }

    #[test]
    fn a_frame_is_in_as_few_pieces_as_hold_it() {
        for (len, chunk, pieces) in
            [(1518, 2048, 1), (1572, 2048, 1), (1573, 4096, 1), (3620, 4096, 1), (9018, 4096, 3)]
        {
            assert_eq!(Layout::of_frame(len), Some(Layout { chunk, per_frame: pieces }), "{len}");
        }
        assert_eq!(Layout::of_frame(10_861), None);
    }

    #[test]
    fn the_payload_of_a_frame_is_aligned_and_its_pieces_hold_what_was_set() {
        let mut frame = frame(9018);
        frame.set_len(8740);
        assert_eq!(frame.bytes()[36..].as_ptr() as usize % 512, 0);
        assert_eq!(frame.segments().map(<[u8]>::len).collect::<Vec<_>>(), [3620, 3620, 1500]);
        for (number, piece) in (1..).zip(frame.segments_mut()) {
            piece.fill(number);
        }
        assert!((1..).zip(frame.segments()).all(|(number, piece)| piece.iter().all(|byte| *byte == number)));
        frame.set_len(60);
        assert_eq!((frame.bytes().len(), frame.segments().count()), (60, 1));
        frame.set_len(0);
        assert_eq!((frame.bytes().len(), frame.segments().count()), (0, 1));
    }

    #[test]
    fn a_chunk_that_the_kernel_does_not_have_is_not_taken_back() {
        let (umem, free) = Umem::new(Layout::of_frame(1518).unwrap(), 2).unwrap();
        let mut chunks = Chunks::new(free);
        let chunk = chunks.take().unwrap();
        let number = chunks.lend(chunk, Holder::Sender);
        assert_eq!(chunks.take_back(number, Holder::Receiver), None);
        assert!(chunks.take_back(number, Holder::Sender).is_some());
        assert_eq!(chunks.take_back(number, Holder::Sender), None, "once only");
        assert_eq!(chunks.take_back(99, Holder::Sender), None);
        assert_eq!(umem.locate(2 * 2048), None);
        assert_eq!(umem.locate(2048 + 476), Some((1, 476)));
    }
}
