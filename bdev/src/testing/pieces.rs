//! Buffers for tests: [`Pieces`], and how a test makes any buffer, [`TestBuf`].

use bytes::BytesMut;

use crate::{AlignedBuf, IoBuf};

/// A buffer that a test can make.
pub trait TestBuf: IoBuf {
    /// A zeroed buffer with room for a header of `header` bytes and `data` bytes after it; where the kind of buffer can choose, the data
    /// is aligned to `align`.
    fn make(header: usize, data: usize, align: usize) -> Self;
}

impl TestBuf for AlignedBuf {
    fn make(header: usize, data: usize, align: usize) -> Self {
        let mut buf = Self::new(header + data, align, header);
        buf.set_len(header + data);
        buf
    }
}

impl TestBuf for Vec<u8> {
    fn make(header: usize, data: usize, _align: usize) -> Self {
        vec![0; header + data]
    }
}

impl TestBuf for BytesMut {
    fn make(header: usize, data: usize, _align: usize) -> Self {
        Self::zeroed(header + data)
    }
}

/// A buffer in three pieces, as a jumbo frame of a packet ring or a chain of guest memory is.
#[derive(Debug)]
pub struct Pieces([Vec<u8>; 3]);

impl Pieces {
    /// Made of these.
    #[must_use]
    pub fn new(pieces: [Vec<u8>; 3]) -> Self {
        Self(pieces)
    }
}

/// Cuts at odd places, within sectors: after the header and 7 bytes, and 301 bytes later.
impl TestBuf for Pieces {
    fn make(header: usize, data: usize, _align: usize) -> Self {
        let first = data.min(7);
        let second = (data - first).min(301);
        Self([vec![0; header + first], vec![0; second], vec![0; data - first - second]])
    }
}

// Unsafe, because the trait is: a test of code for buffers in pieces needs one.
// SAFETY: made of vectors, whose bytes stay where they are when the vectors are moved, which only `&mut self` can change, which have one
// owner and are initialised.
unsafe impl IoBuf for Pieces {
    const MAX_SEGMENTS: usize = 3;

    fn bytes(&self) -> &[u8] {
        &self.0[0]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0[0]
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.0.iter_mut().map(Vec::as_mut_slice)
    }
}
