//! What moves ATA over Ethernet frames: [`Link`] and [`Frame`], the vocabulary that engines and links share.
//!
//! An engine (a target, an initiator) is written on these traits and knows no socket; a link (a raw socket, a ring, a pair of ends in
//! memory) implements them and knows no protocol beyond the EtherType. Frames are owned and move: received, changed in place, sent, or
//! given back.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use aoe_wire::MacAddr;
use bdev::{AlignedBuf, IoBuf};
use bytes::BytesMut;

/// One Ethernet frame in one owned buffer, from destination address to the last byte before the frame check sequence.
///
/// [`IoBuf::bytes`] spans exactly the frame. A frame that is longer than its first piece keeps at least the first 36 bytes (Ethernet,
/// AoE and ATA headers) in it.
///
/// [`BytesMut`] is a frame, so an embedder needs no pool of ours; its capacity is what [`Link::alloc`] reserved.
pub trait Frame: IoBuf {
    /// The longest that [`set_len`](Self::set_len) can make this frame, in bytes, without allocating.
    fn capacity(&self) -> usize;

    /// Makes the frame `len` bytes long. Bytes that come into use hold anything that is no other request's data on the way out: the
    /// engine writes or zeroes each of them before the frame is sent.
    ///
    /// # Panics
    ///
    /// May panic when `len` exceeds [`capacity`](Self::capacity).
    fn set_len(&mut self, len: usize);
}

impl Frame for BytesMut {
    fn capacity(&self) -> usize {
        BytesMut::capacity(self)
    }

    fn set_len(&mut self, len: usize) {
        assert!(len <= BytesMut::capacity(self), "frame of {len} bytes exceeds its buffer");
        self.resize(len, 0);
    }
}

impl Frame for AlignedBuf {
    fn capacity(&self) -> usize {
        AlignedBuf::capacity(self)
    }

    fn set_len(&mut self, len: usize) {
        AlignedBuf::set_len(self, len);
    }
}

/// What a link says of itself. Cheap to copy; asked for at every turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// The interface's own address: the source of every frame.
    pub mac: MacAddr,
    /// The interface's MTU in bytes, which excludes the 14-byte Ethernet header.
    pub mtu: u32,
    /// Address alignment of byte 36 of every frame, a power of two; 1 when the link cannot promise any.
    pub payload_align: u32,
    /// Whether frames can pass. A link that is down keeps being asked.
    pub up: bool,
    /// Grows whenever `mac`, `mtu` or `up` changed or the interface was created anew: a target then advertises again.
    pub generation: u64,
}

/// A way to move frames, used by one thread. Never waits.
///
/// Every frame that a link gave out comes back to it, through [`send`](Self::send) or [`recycle`](Self::recycle): a pool may count on it.
/// Only when a link is taken away from its engine, frames with requests in flight stay behind, and are dropped later, perhaps after the
/// link itself.
///
/// A link survives what links go through: an interface that goes down or away, full queues, a changed MTU or address. These are seen in
/// [`info`](Self::info) and in the link's own counters, not as errors. An error means that the link can never work again.
pub trait Link {
    /// Owned frames from this link's pool.
    type Frame: Frame;

    /// The link as [`recv`](Self::recv) last saw it.
    fn info(&self) -> LinkInfo;

    /// A frame of length 0 with room for the link's MTU, for frames that answer no other; `None` when the pool is exhausted.
    fn alloc(&mut self) -> Option<Self::Frame>;

    /// Takes back a frame that is not sent. By default it is dropped, which suits a link without a pool.
    fn recycle(&mut self, frame: Self::Frame) {
        drop(frame);
    }

    /// Takes note of what has changed, then appends frames that have arrived, up to a burst; none when idle. Each has
    /// [`Frame::capacity`] for the link's MTU, since a read lands in the request's own frame. A link whose pool is exhausted leaves the
    /// rest where it is, and is not readable for that.
    ///
    /// # Errors
    ///
    /// Only when the link can never work again.
    fn recv(&mut self, rx: &mut Vec<Self::Frame>) -> io::Result<()>;

    /// Appends, for each frame that the last [`recv`](Self::recv) appended and in the same order, when it arrived: the time that the
    /// network card or the kernel took, since any moment that is the same for all links of a process, by a clock that nobody sets.
    /// `None` where that is not known; a link that never knows appends nothing, as by default.
    ///
    /// It is for those who have to put the frames of several links in order. Call it once after a `recv`, before the next.
    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        let _ = times;
    }

    /// Whether more than `count` frames wait, which the next calls of [`recv`](Self::recv) bring before any that arrive later; `false`
    /// where a link does not know that without a system call, as by default.
    ///
    /// It is for those who choose among what waits before it is more than the link can hold, and is asked for at every turn: while few
    /// wait, it should cost next to nothing.
    fn has_more_than(&self, count: usize) -> bool {
        let _ = count;
        false
    }

    /// Sends frames from the front of `tx`, takes and recycles what it sent or had to drop, and leaves what should be tried again.
    ///
    /// # Errors
    ///
    /// Only when the link can never work again.
    fn send(&mut self, tx: &mut VecDeque<Self::Frame>) -> io::Result<()>;

    /// Readable when [`recv`](Self::recv) has frames or [`info`](Self::info) may have changed, or when frames left by
    /// [`send`](Self::send) should be tried again; calling `recv`, then `send`, is the answer to each. `None` from a link that must be
    /// polled.
    fn event(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
