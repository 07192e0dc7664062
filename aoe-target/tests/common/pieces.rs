//! Frames in several pieces, and a link that has such.

use std::collections::VecDeque;
use std::io;

use aoe_link::MemLink;
use aoe_target::{Frame, IoBuf, Link, LinkInfo};
use bytes::BytesMut;

/// What every byte of a buffer is before a frame lies in it: none of it may leave.
pub(crate) const STALE: u8 = 0xee;

/// Bytes that fit the pieces of a frame, in order.
pub(crate) type Cut = [usize; 3];

/// A frame in up to three pieces, each filled before the next is used.
#[derive(Debug)]
pub(crate) struct Pieces {
    slots: [Vec<u8>; 3],
    len: usize,
}

impl Pieces {
    /// An empty frame in dirty buffers.
    pub(crate) fn new(cut: Cut) -> Self {
        Self { slots: cut.map(|len| vec![STALE; len]), len: 0 }
    }

    /// A frame of these bytes in dirty buffers.
    pub(crate) fn holding(bytes: &[u8], cut: Cut) -> Self {
        let mut frame = Self::new(cut);
        frame.set_len(bytes.len());
        let mut bytes = bytes.iter();
        for piece in frame.segments_mut() {
            piece.iter_mut().zip(&mut bytes).for_each(|(to, from)| *to = *from);
        }
        frame
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.segments().flatten().copied().collect()
    }

    /// Bytes in use of each piece.
    fn used(&self) -> [usize; 3] {
        let mut left = self.len;
        [0, 1, 2].map(|piece| {
            let here = left.min(self.slots[piece].len());
            left -= here;
            here
        })
    }
}

// SAFETY: made of vectors that are never resized or replaced, whose bytes stay where they are when the vectors are moved, which have one
// owner and are initialised; the length changes by `&mut self` only.
unsafe impl IoBuf for Pieces {
    const MAX_SEGMENTS: usize = 3;

    fn bytes(&self) -> &[u8] {
        &self.slots[0][..self.used()[0]]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let used = self.used()[0];
        &mut self.slots[0][..used]
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.iter().zip(self.used()).map(|(slot, used)| &slot[..used]).filter(|piece| !piece.is_empty())
    }

    fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let used = self.used();
        let pieces = self.slots.iter_mut().zip(used).map(|(slot, used)| &mut slot[..used]);
        pieces.filter(|piece| !piece.is_empty())
    }
}

impl Frame for Pieces {
    fn capacity(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "frame of {len} bytes exceeds its pieces");
        self.len = len;
    }
}

/// A link in memory whose frames are cut in pieces on this side.
pub(crate) struct CutLink {
    link: MemLink,
    cut: Cut,
}

impl CutLink {
    pub(crate) fn new(link: MemLink, cut: Cut) -> Self {
        Self { link, cut }
    }
}

impl Link for CutLink {
    type Frame = Pieces;

    fn info(&self) -> LinkInfo {
        self.link.info()
    }

    fn alloc(&mut self) -> Option<Pieces> {
        Some(Pieces::new(self.cut))
    }

    fn recv(&mut self, rx: &mut Vec<Pieces>) -> io::Result<()> {
        let mut whole = Vec::new();
        self.link.recv(&mut whole)?;
        rx.extend(whole.iter().map(|frame| Pieces::holding(frame, self.cut)));
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<Pieces>) -> io::Result<()> {
        let mut whole: VecDeque<_> = tx.drain(..).map(|frame| BytesMut::from(&frame.to_vec()[..])).collect();
        self.link.send(&mut whole)?;
        tx.extend(whole.iter().map(|frame| Pieces::holding(frame, self.cut)));
        Ok(())
    }
}
