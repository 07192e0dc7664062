//! Frames that are used again and again.

use aoe_wire::{ETH_HEADER_LEN, MIN_FRAME};
use bdev::AlignedBuf;

/// Where a frame's data begin, behind the Ethernet, AoE and ATA headers (AoEr11 §2 and §3).
const PAYLOAD: usize = 36;

/// Virtual interfaces let frames pass that are longer than the MTU by a VLAN tag, whether or not they have one.
pub(crate) const VLAN_TAG: usize = 4;

/// Frames of one capacity, allocated when first needed, many at a time, and never more than the limit.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Vec<AlignedBuf>,
    out: usize,
    limit: usize,
    capacity: usize,
    align: usize,
    /// There was no memory for another frame, and none has come back since.
    short: bool,
}

impl Pool {
    /// A pool of at most `limit` frames that fit `mtu` and have byte 36 aligned to `align`.
    pub(crate) fn new(mtu: u32, align: usize, limit: usize) -> Self {
        // All at once: later there may be no memory for a longer list.
        Self { free: Vec::with_capacity(limit), out: 0, limit, capacity: capacity(mtu), align, short: false }
    }

    /// From now on, frames that fit `mtu`.
    pub(crate) fn set_mtu(&mut self, mtu: u32) {
        let capacity = capacity(mtu);
        if capacity != self.capacity {
            self.capacity = capacity;
            self.free.clear();
        }
    }

    /// An empty frame; `None` while as many as the limit are out, or as there is memory for.
    pub(crate) fn take(&mut self) -> Option<AlignedBuf> {
        if self.is_exhausted() {
            return None;
        }
        if self.free.is_empty() {
            let room = self.limit - self.out;
            self.free.extend(AlignedBuf::side_by_side(room, self.capacity, self.align, PAYLOAD));
        }
        let Some(mut frame) = self.free.pop().or_else(|| self.new_frame()) else {
            // Those that are out make do. With none out, nothing would come back: memory is asked for again.
            self.short = self.out > 0;
            return None;
        };
        self.out += 1;
        frame.set_len(0);
        Some(frame)
    }

    /// Whether there is no frame to be had before one comes back.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.out >= self.limit || self.short
    }

    /// Bytes that each frame has room for, at least 60.
    #[cfg(all(feature = "packet", target_os = "linux"))]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether no frame is out.
    pub(crate) fn is_whole(&self) -> bool {
        self.out == 0
    }

    /// Takes a frame back. One of another capacity, from before the MTU changed, is freed.
    pub(crate) fn put(&mut self, frame: AlignedBuf) {
        self.out = self.out.saturating_sub(1);
        self.short = false;
        if frame.capacity() == self.capacity && self.free.len() < self.limit {
            self.free.push(frame);
        }
    }

    fn new_frame(&self) -> Option<AlignedBuf> {
        AlignedBuf::try_new(self.capacity, self.align, PAYLOAD)
    }
}

/// The most that a frame of `mtu` can take. An ATA request of as many sectors as fit is never longer.
fn capacity(mtu: u32) -> usize {
    (mtu as usize + ETH_HEADER_LEN + VLAN_TAG).max(MIN_FRAME)
}

#[cfg(test)]
mod tests {
    use bdev::IoBuf;

    use super::*;

    #[test]
    fn frames_have_room_for_the_mtu_and_an_aligned_payload() {
        for (mtu, align) in [(548, 1), (1500, 512), (9000, 4096), (65_536, 512)] {
            let mut frame = Pool::new(mtu, align, 1).take().unwrap();
            assert!(frame.capacity() >= mtu as usize + 14);
            frame.set_len(PAYLOAD + 1);
            assert_eq!(frame.bytes()[PAYLOAD..].as_ptr() as usize % align, 0);
        }
    }

    #[test]
    fn a_pool_lends_no_more_than_its_limit() {
        let mut pool = Pool::new(1500, 512, 2);
        let frame = pool.take().unwrap();
        let _out = pool.take().unwrap();
        assert!(pool.take().is_none());
        pool.put(frame);
        assert!(pool.take().is_some());
        assert!(pool.take().is_none());
    }

    #[test]
    fn without_memory_a_pool_lends_again_what_comes_back() {
        let mut pool = Pool::new(1500, 512, 3);
        let frame = pool.take().unwrap();
        pool.free.clear();
        pool.capacity = usize::MAX / 2;
        assert!(!pool.is_exhausted());
        assert!(pool.take().is_none());
        assert!(pool.is_exhausted());
        pool.capacity = frame.capacity();
        pool.put(frame);
        assert!(!pool.is_exhausted());
        assert!(pool.take().is_some());
    }

    #[test]
    fn a_pool_is_whole_when_every_frame_is_back() {
        let mut pool = Pool::new(1500, 512, 2);
        assert!(pool.is_whole());
        let frames = [pool.take().unwrap(), pool.take().unwrap()];
        for frame in frames {
            assert!(!pool.is_whole());
            pool.put(frame);
        }
        assert!(pool.is_whole());
    }

    #[test]
    fn a_frame_is_lent_again_empty() {
        let mut pool = Pool::new(1500, 512, 2);
        let mut frame = pool.take().unwrap();
        frame.set_len(1000);
        let at = frame.bytes().as_ptr();
        pool.put(frame);
        let frame = pool.take().unwrap();
        assert_eq!((frame.len(), frame.bytes().as_ptr()), (0, at));
    }

    #[test]
    fn frames_from_before_an_mtu_change_are_not_lent_again() {
        let mut pool = Pool::new(1500, 512, 2);
        let (out, back) = (pool.take().unwrap(), pool.take().unwrap());
        pool.put(back);
        pool.set_mtu(9000);
        pool.put(out);
        assert!(pool.take().unwrap().capacity() >= 9014);
        assert!(pool.take().unwrap().capacity() >= 9014);
    }
}
