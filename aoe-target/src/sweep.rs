//! What is taken of the frames that wait at a crowded link: of each initiator no more than its share.
//!
//! Where requests are answered at once, none of them waits here, however many come: all wait at the link, and when it is full, the
//! kernel drops whoever comes next. What is beyond a share is dropped instead, which costs a small part of an answer, so that the link
//! is emptied faster than it is filled, and the others' frames find room.

use std::collections::HashMap;

use aoe_wire::MacAddr;
use bdev::IoBuf;

use crate::Link;
use crate::initiators::{LEAST, source};

/// A link at which more frames wait is crowded. No fewer could be more than one share.
const CROWD: usize = 2 * LEAST;

/// The most that is swept at once, which bounds the list of initiators.
const MOST: usize = 8192;

/// The frames that waited at a link at one moment, and what was taken of them. Each initiator's among them are requests that it had not
/// had answers to, so that whoever keeps to its share loses none.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Those of the frames that have not been received.
    left: usize,
    /// Whether the frames that were received last are among them.
    on: bool,
    /// Requests that were taken, by initiator and export.
    taken: HashMap<(MacAddr, usize), usize>,
}

impl Sweep {
    /// Begins, when `link` is crowded and the last sweep is over. Frames are about to be received.
    pub(crate) fn begin(&mut self, link: &impl Link) {
        if self.left == 0 && link.has_more_than(CROWD) {
            self.taken.clear();
            self.left = CROWD;
            while self.left < MOST && link.has_more_than(2 * self.left) {
                self.left *= 2;
            }
        }
    }

    /// So many frames have been received.
    pub(crate) fn received(&mut self, count: usize) {
        self.on = (1..=self.left).contains(&count);
        self.left = if self.on { self.left - count } else { 0 };
    }

    /// Whether one of the frames that were received last, a request to export number `export`, is more than the `share` of its
    /// initiator.
    pub(crate) fn refuses(&mut self, export: usize, share: usize, frame: &impl IoBuf) -> bool {
        if !self.on {
            return false;
        }
        let taken = self.taken.entry((source(frame), export)).or_default();
        *taken += 1;
        *taken > share
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aoe_link::MemLink;
    use bytes::BytesMut;

    use super::*;

    const SHARE: usize = 4;

    fn frame(number: u8) -> BytesMut {
        let mut frame = BytesMut::zeroed(60);
        frame[11] = number;
        frame[12..14].copy_from_slice(&aoe_wire::ETHERTYPE.to_be_bytes());
        frame
    }

    /// A link at which so many frames wait.
    fn link(waiting: usize) -> (MemLink, MemLink) {
        let [a, b] = [1, 2].map(|n| MacAddr([2, 0, 0, 0, 0, n]));
        let (near, mut far) = MemLink::pair(a, b, 1500);
        far.send(&mut (0..waiting).map(|_| frame(0)).collect::<VecDeque<_>>()).unwrap();
        (near, far)
    }

    #[test]
    fn it_covers_no_more_than_what_waited() {
        for (waiting, covered) in [(0, 0), (256, 0), (257, 256), (512, 256), (513, 512), (1000, 512)] {
            let mut sweep = Sweep::default();
            sweep.begin(&link(waiting).0);
            assert_eq!(sweep.left, covered, "of {waiting}");
        }
    }

    #[test]
    fn what_may_have_come_later_counts_for_nobody() {
        let mut sweep = Sweep { left: 10, ..Sweep::default() };
        let refused = |sweep: &mut Sweep| (0..9).filter(|_| sweep.refuses(0, SHARE, &frame(1))).count();
        sweep.received(9);
        assert_eq!(refused(&mut sweep), 9 - SHARE);
        sweep.received(9);
        assert_eq!((refused(&mut sweep), sweep.left), (0, 0), "one of these waited, eight came later");
    }

    #[test]
    fn a_link_that_brings_nothing_had_nothing_waiting() {
        let mut sweep = Sweep { left: 10, ..Sweep::default() };
        sweep.received(0);
        assert_eq!((sweep.left, sweep.refuses(0, 0, &frame(1))), (0, false));
    }

    #[test]
    fn the_next_sweep_counts_anew() {
        let (link, _far) = link(300);
        let mut sweep = Sweep::default();
        for _ in 0..2 {
            sweep.begin(&link);
            sweep.received(256);
            let taken = (0..256).filter(|_| !sweep.refuses(0, SHARE, &frame(1))).count();
            assert_eq!(taken, SHARE);
        }
    }
}
