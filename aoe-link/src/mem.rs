//! [`MemLink`]: two ends and a wire in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aoe_l2::{Link, LinkInfo};
use aoe_wire::{ETH_HEADER_LEN, MIN_FRAME, MacAddr};
use bytes::BytesMut;

use crate::{LinkCounters, is_aoe};

/// Frames that can be on their way to one end; a sender keeps what finds no room.
const IN_FLIGHT: usize = 1024;

/// Frames that one call of `recv` delivers at most.
const BURST: usize = 64;

/// Frames that an end keeps for [`Link::alloc`].
const SPARE: usize = 64;

/// One end of a wire in memory: what is sent here is received at the other end, in order.
///
/// It behaves as an interface does: a frame longer than the MTU of either end, and any frame while an end is down, is dropped and
/// counted; frames that are not AoE vanish; a change of MTU, address or state shows in [`LinkInfo`]. Frames move by ownership and are never
/// copied, except that a received frame is given room for the MTU when its sender did not. Each end may be on a thread of its own.
///
/// ```
/// use std::collections::VecDeque;
///
/// use aoe_link::MemLink;
/// use aoe_l2::Link;
/// use aoe_wire::MacAddr;
/// use bytes::BytesMut;
///
/// let (mut target, mut initiator) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]), 1500);
/// let mut request = BytesMut::zeroed(60);
/// request[12..14].copy_from_slice(&[0x88, 0xa2]);
/// initiator.send(&mut VecDeque::from([request.clone()]))?;
///
/// let mut arrived = Vec::new();
/// target.recv(&mut arrived)?;
/// assert_eq!(arrived, [request]);
///
/// let before = target.info().generation;
/// target.set_mtu(9000);
/// assert_eq!(target.info().mtu, 9000);
/// assert!(target.info().generation > before);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MemLink {
    wire: Arc<Mutex<[End; 2]>>,
    side: usize,
    spare: Vec<BytesMut>,
    time: Option<Duration>,
    /// Of the frames that were received last.
    times: Vec<Option<Duration>>,
}

#[derive(Debug)]
struct End {
    info: LinkInfo,
    arriving: VecDeque<(BytesMut, Option<Duration>)>,
    counters: LinkCounters,
}

impl MemLink {
    /// Both ends of a wire, up, with the given addresses and an MTU of `mtu` bytes.
    #[must_use]
    pub fn pair(mac_a: MacAddr, mac_b: MacAddr, mtu: u32) -> (Self, Self) {
        let end = |mac| End {
            info: LinkInfo { mac, mtu, payload_align: 1, up: true, generation: 0 },
            arriving: VecDeque::new(),
            counters: LinkCounters::default(),
        };
        let wire = Arc::new(Mutex::new([end(mac_a), end(mac_b)]));
        let side =
            |side| Self { wire: Arc::clone(&wire), side, spare: Vec::new(), time: None, times: Vec::new() };
        (side(0), side(1))
    }

    /// Changes the MTU of this end, in bytes.
    pub fn set_mtu(&mut self, mtu: u32) {
        self.change(|info| info.mtu = mtu);
    }

    /// Changes the address of this end.
    pub fn set_mac(&mut self, mac: MacAddr) {
        self.change(|info| info.mac = mac);
    }

    /// Takes this end down or up. While it is down, frames sent from or to it are lost.
    pub fn set_up(&mut self, up: bool) {
        self.change(|info| info.up = up);
    }

    /// Has what is sent here from now on arrive at this [time](Link::times). It is not known at first.
    pub fn set_time(&mut self, time: Option<Duration>) {
        self.time = time;
    }

    /// What this end lost.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.ends()[self.side].counters
    }

    fn change(&mut self, change: impl FnOnce(&mut LinkInfo)) {
        let info = &mut self.ends()[self.side].info;
        let before = *info;
        change(info);
        if *info != before {
            info.generation += 1;
        }
    }

    /// Both ends. A thread that panicked while it held them left them whole: every change is a single assignment or push.
    fn ends(&self) -> MutexGuard<'_, [End; 2]> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for MemLink {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        self.ends()[self.side].info
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.reserve(capacity(self.info().mtu));
        Some(frame)
    }

    fn recycle(&mut self, mut frame: BytesMut) {
        if self.spare.len() < SPARE {
            frame.clear();
            self.spare.push(frame);
        }
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        let wire = Arc::clone(&self.wire);
        let end = &mut wire.lock().unwrap_or_else(PoisonError::into_inner)[self.side];
        let room = capacity(end.info.mtu);
        let burst = end.arriving.len().min(BURST);
        self.times.clear();
        rx.extend(end.arriving.drain(..burst).map(|(mut frame, time)| {
            self.times.push(time);
            frame.reserve(room.saturating_sub(frame.len()));
            frame
        }));
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        times.append(&mut self.times);
    }

    fn has_more_than(&self, count: usize) -> bool {
        self.ends()[self.side].arriving.len() > count
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        let wire = Arc::clone(&self.wire);
        let mut ends = wire.lock().unwrap_or_else(PoisonError::into_inner);
        let [a, b] = &mut *ends;
        let (own, peer) = if self.side == 0 { (a, b) } else { (b, a) };
        while peer.arriving.len() < IN_FLIGHT
            && let Some(frame) = tx.pop_front()
        {
            if !own.carries(&frame) {
                own.counters.tx_dropped += 1;
            } else if !peer.carries(&frame) {
                peer.counters.rx_refused += 1;
            } else if is_aoe(&frame) {
                peer.arriving.push_back((frame, self.time));
                continue;
            }
            self.recycle(frame);
        }
        Ok(())
    }
}

impl End {
    fn carries(&self, frame: &BytesMut) -> bool {
        self.info.up && (ETH_HEADER_LEN..=self.info.mtu as usize + ETH_HEADER_LEN).contains(&frame.len())
    }
}

/// Bytes that a frame needs room for: the MTU's longest, and never less than the shortest reply.
fn capacity(mtu: u32) -> usize {
    (mtu as usize + ETH_HEADER_LEN).max(MIN_FRAME)
}

#[cfg(test)]
mod tests {
    use aoe_l2::Frame;
    use aoe_wire::ETHERTYPE;

    use super::*;

    fn pair() -> (MemLink, MemLink) {
        MemLink::pair(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]), 1500)
    }

    fn frame(len: usize) -> BytesMut {
        let mut frame = BytesMut::zeroed(len);
        frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        frame
    }

    #[test]
    fn a_full_wire_leaves_frames_with_the_sender() {
        let (mut a, mut b) = pair();
        let mut tx: VecDeque<_> = (0..IN_FLIGHT + 3).map(|_| frame(60)).collect();
        a.send(&mut tx).unwrap();
        assert_eq!(tx.len(), 3);
        b.recv(&mut Vec::new()).unwrap();
        a.send(&mut tx).unwrap();
        assert!(tx.is_empty());
        assert_eq!((a.counters(), b.counters()), Default::default());
    }

    #[test]
    fn a_frame_longer_than_the_receivers_mtu_is_counted_there() {
        let (mut a, mut b) = pair();
        a.set_mtu(9000);
        a.send(&mut VecDeque::from([frame(9014), frame(9015)])).unwrap();
        let mut rx = Vec::new();
        b.recv(&mut rx).unwrap();
        assert!(rx.is_empty());
        assert_eq!((a.counters().tx_dropped, b.counters().rx_refused), (1, 1));
    }

    #[test]
    fn setting_what_is_already_so_is_no_change() {
        let (mut a, _b) = pair();
        a.set_mtu(1500);
        a.set_up(true);
        assert_eq!(a.info().generation, 0);
    }

    #[test]
    fn a_frame_from_a_short_buffer_arrives_with_room_for_the_mtu() {
        let (mut a, mut b) = pair();
        a.send(&mut VecDeque::from([frame(60)])).unwrap();
        let mut rx = Vec::new();
        b.recv(&mut rx).unwrap();
        assert!(Frame::capacity(&rx[0]) >= 1514);
    }

    #[test]
    fn frames_have_the_time_that_was_set_when_they_were_sent() {
        let (mut a, mut b) = pair();
        let second = Duration::from_secs(1);
        for time in [None, Some(second), Some(2 * second)] {
            a.set_time(time);
            a.send(&mut VecDeque::from([frame(60)])).unwrap();
        }
        let (mut rx, mut times) = (Vec::new(), Vec::new());
        b.recv(&mut rx).unwrap();
        b.times(&mut times);
        assert_eq!((rx.len(), times), (3, vec![None, Some(second), Some(2 * second)]));
    }

    #[test]
    fn recycled_frames_are_allocated_again() {
        let (mut a, _b) = pair();
        let frame = a.alloc().unwrap();
        let at = frame.as_ptr();
        a.recycle(frame);
        assert_eq!(a.alloc().unwrap().as_ptr(), at);
    }

    #[test]
    fn ends_may_live_on_different_threads() {
        let (mut a, mut b) = pair();
        std::thread::spawn(move || a.send(&mut VecDeque::from([frame(60)])).unwrap()).join().unwrap();
        let mut rx = Vec::new();
        b.recv(&mut rx).unwrap();
        assert_eq!(rx.len(), 1);
    }
}
