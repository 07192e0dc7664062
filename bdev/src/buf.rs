//! Buffers that may be handed to a device.

use std::iter;

use bytes::BytesMut;

use crate::page::{self, PAGE};

/// A buffer that a queue may own while a device, a thread or the kernel uses its memory.
///
/// # Pieces
///
/// Nearly every buffer is one piece: implement [`bytes`](Self::bytes) and [`bytes_mut`](Self::bytes_mut) and leave the rest. A buffer
/// in several pieces sets [`MAX_SEGMENTS`](Self::MAX_SEGMENTS) and overrides both segment iterators; `bytes` is then its first piece,
/// which by contract holds at least the header that a front end puts before the data. `MAX_SEGMENTS` is a constant, so code that
/// handles one piece is compiled without a branch.
///
/// # Safety
///
/// The implementer guarantees, from creation until drop:
///
/// * the memory behind every piece keeps its address and its length while the value is moved, and while neither `bytes_mut`,
///   `segments_mut` nor a method that changes the length is called;
/// * nobody else reads or writes that memory (an exclusive owner);
/// * all of it is initialised.
pub unsafe trait IoBuf: Send + 'static {
    /// The most pieces that any buffer of this type can be in.
    const MAX_SEGMENTS: usize = 1;

    /// The first piece: the whole buffer when `MAX_SEGMENTS` is 1.
    fn bytes(&self) -> &[u8];

    /// The first piece, to be changed.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// All pieces, in order.
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        iter::once(self.bytes())
    }

    /// All pieces, in order, to be changed; they are disjoint, so several may be held at once.
    fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        iter::once(self.bytes_mut())
    }
}

// SAFETY: the bytes live on the heap, where moving the `Vec` does not move them; only `&mut self` methods can change or reallocate
// them; a `Vec`'s slice is initialised.
unsafe impl IoBuf for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: as for `Vec`: the view into the heap block moves, the block does not; `BytesMut` is the exclusive owner of its range, also
// after `split_off` (the ranges are disjoint); the slice up to `len` is initialised.
unsafe impl IoBuf for BytesMut {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// A heap buffer in which the byte at a chosen offset is aligned, so that data after a header can be handed to a device in place.
///
/// All of it is zeroed at creation. [`len`](Self::len) is what is in use; the rest, up to [`capacity`](Self::capacity), keeps its
/// content while unused.
///
/// ```
/// use bdev::{AlignedBuf, IoBuf};
/// let mut frame = AlignedBuf::new(36 + 1024, 512, 36); // byte 36 of the frame is aligned to 512
/// frame.set_len(1060);
/// assert_eq!(frame.bytes()[36..].as_ptr() as usize % 512, 0);
/// ```
#[derive(Debug)]
pub struct AlignedBuf {
    memory: BytesMut,
    start: usize,
    capacity: usize,
    len: usize,
}

impl AlignedBuf {
    /// A zeroed buffer of `capacity` bytes, length 0, whose byte number `aligned_at` has an address that is a multiple of `align`.
    ///
    /// # Panics
    ///
    /// When `align` is not a power of two.
    #[must_use]
    pub fn new(capacity: usize, align: usize, aligned_at: usize) -> Self {
        assert!(align.is_power_of_two(), "alignment {align} is not a power of two");
        Self::of(BytesMut::zeroed(capacity + align), capacity, align, aligned_at)
    }

    /// [`new`](Self::new), or `None` when there is no memory for it.
    ///
    /// # Panics
    ///
    /// When `align` is not a power of two.
    #[must_use]
    pub fn try_new(capacity: usize, align: usize, aligned_at: usize) -> Option<Self> {
        assert!(align.is_power_of_two(), "alignment {align} is not a power of two");
        let memory = page::zeroed(capacity.checked_add(align)?)?;
        Some(Self::of(memory, capacity, align, aligned_at))
    }

    /// Up to `count` of [`new`](Self::new) side by side in 2 MiB, which on Linux are one page where the system has one to give
    /// ([`MADV_HUGEPAGE`]): data over the border of two ordinary pages is one piece for a device then. They cost nothing before they are
    /// used; then all of the page. It goes back when the last of them is dropped. None, where two would not fit or there is no memory.
    ///
    /// # Panics
    ///
    /// When `align` is not a power of two.
    ///
    /// [`MADV_HUGEPAGE`]: https://man7.org/linux/man-pages/man2/madvise.2.html
    #[must_use]
    pub fn side_by_side(count: usize, capacity: usize, align: usize, aligned_at: usize) -> Vec<Self> {
        assert!(align.is_power_of_two(), "alignment {align} is not a power of two");
        let stride = capacity.max(1).checked_next_multiple_of(align).unwrap_or(usize::MAX);
        let count = count.min(PAGE.saturating_sub(align) / stride);
        let mut bufs = Vec::new();
        if count > 1
            && bufs.try_reserve_exact(count).is_ok()
            && let Some(mut page) = page::large()
        {
            drop(page.split_to(aligned_at.wrapping_neg() & (align - 1)));
            bufs.extend((0..count).map(|_| Self {
                memory: page.split_to(stride),
                start: 0,
                capacity,
                len: 0,
            }));
        }
        bufs
    }

    /// `memory` is `align` bytes longer than `capacity`.
    fn of(memory: BytesMut, capacity: usize, align: usize, aligned_at: usize) -> Self {
        let off = (memory.as_ptr() as usize).wrapping_add(aligned_at) & (align - 1);
        let start = if off == 0 { 0 } else { align - off };
        Self { memory, start, capacity, len: 0 }
    }

    /// A buffer of `len` bytes in use, aligned at its first byte.
    #[must_use]
    pub fn with_len(len: usize, align: usize) -> Self {
        let mut buf = Self::new(len, align, 0);
        buf.set_len(len);
        buf
    }

    /// Bytes in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that can be in use.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets how many bytes are in use. Bytes that come into use hold what they last held.
    ///
    /// # Panics
    ///
    /// When `len` is more than [`capacity`](Self::capacity).
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "length {len} exceeds the capacity of {} bytes", self.capacity);
        self.len = len;
    }
}

// SAFETY: the memory is on the heap, of full length from creation, and never replaced, split or grown; `start` and `capacity` never change, and only `set_len` (`&mut self`)
// changes the length; it is exclusively owned and was zeroed at creation.
unsafe impl IoBuf for AlignedBuf {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_had_is_no_buffer_and_no_panic() {
        assert!(AlignedBuf::try_new(usize::MAX / 2, 512, 36).is_none());
        assert!(AlignedBuf::try_new(usize::MAX, 512, 36).is_none());
        let buf = AlignedBuf::try_new(1060, 512, 36).unwrap();
        assert_eq!((buf.capacity(), buf.len()), (1060, 0));
    }

    #[test]
    fn the_chosen_byte_is_aligned_for_every_alignment_and_offset() {
        for align in [1, 2, 8, 512, 4096] {
            for at in [0, 1, 36, 511, 512, 513] {
                let mut buf = AlignedBuf::new(2048, align, at);
                buf.set_len(2048);
                assert_eq!(buf.bytes()[at..].as_ptr() as usize % align, 0, "align {align} at {at}");
            }
        }
    }

    #[test]
    fn buffers_side_by_side_are_aligned_zeroed_and_apart() {
        for (capacity, align, at) in
            [(9018, 512, 36), (9018, 4096, 36), (1518, 512, 36), (60, 1, 0), (512, 8, 513)]
        {
            let mut bufs = AlignedBuf::side_by_side(1000, capacity, align, at);
            assert!(bufs.len() > 100 && bufs.len() <= 1000, "{}", bufs.len());
            for (number, buf) in bufs.iter_mut().enumerate() {
                assert_eq!((buf.len(), buf.capacity()), (0, capacity));
                buf.set_len(capacity);
                assert_eq!((buf.bytes().as_ptr() as usize + at) % align, 0);
                assert!(buf.bytes().iter().all(|byte| *byte == 0));
                buf.bytes_mut().fill(number as u8);
            }
            let whole =
                |(number, buf): (usize, &AlignedBuf)| buf.bytes().iter().all(|byte| *byte == number as u8);
            assert!(bufs.iter().enumerate().all(whole));
        }
    }

    #[test]
    fn there_are_none_side_by_side_where_two_do_not_fit_or_one_is_asked_for() {
        assert_eq!(AlignedBuf::side_by_side(2, 4096, 512, 0).len(), 2);
        for (count, capacity) in [(0, 4096), (1, 4096), (9, 1 << 20), (9, usize::MAX)] {
            assert!(AlignedBuf::side_by_side(count, capacity, 512, 0).is_empty());
        }
    }

    #[test]
    fn moving_a_buffer_keeps_its_address() {
        let buf = AlignedBuf::with_len(512, 512);
        let at = buf.bytes().as_ptr();
        let moved = Box::new(buf);
        assert_eq!(moved.bytes().as_ptr(), at);
    }

    #[test]
    #[should_panic(expected = "exceeds the capacity of 512 bytes")]
    fn a_length_beyond_the_capacity_panics() {
        AlignedBuf::new(512, 512, 0).set_len(513);
    }
}
