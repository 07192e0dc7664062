//! Who uses a disk: [`Initiator`], one to a source address.

use std::time::Duration;

use aoe_wire::MacAddr;
use bdev::{IoBuf, Op};

use crate::Histogram;

/// Every initiator may have so many requests in flight, whatever the buffer count that is advertised.
pub(crate) const LEAST: usize = 128;

/// Initiators of a disk that are remembered: more than use one in practice, and 20 KiB. Only those with something in flight may be
/// more, whose number is that of requests that a server takes.
const MOST: usize = 64;

/// What one initiator has asked of a target, since it was first seen there or was forgotten.
///
/// A target remembers the 64 that were seen last (and whoever has something in flight), so forged addresses cost no memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Initiator {
    /// Its address: the source of its frames.
    pub mac: MacAddr,
    /// Frames that were answered or will be.
    pub requests: u64,
    /// Read commands given to the disk.
    pub reads: u64,
    /// Write commands given to the disk.
    pub writes: u64,
    /// Sectors of 512 bytes asked for by read commands.
    pub sectors_read: u64,
    /// Sectors of 512 bytes brought by write commands.
    pub sectors_written: u64,
    /// Replies with the AoE error flag or an ATA error status.
    pub errors: u64,
    /// Requests that it has repeated, see [`Stats::retransmits`](crate::Stats::retransmits).
    pub retransmits: u64,
    /// Requests that were taken and not answered.
    pub in_flight: usize,
    /// In nanoseconds.
    last_seen: u64,
    /// How long its requests of the disk took.
    pub latency: Histogram,
}

impl Initiator {
    /// When its last frame was taken: the `now` of that [turn](crate::Server::turn).
    #[must_use]
    pub fn last_seen(&self) -> Duration {
        Duration::from_nanos(self.last_seen)
    }

    /// Takes note of a request that is given to the disk.
    pub(crate) fn count(&mut self, op: Op, sectors: u32) {
        self.requests += 1;
        match op {
            Op::Read => {
                self.reads += 1;
                self.sectors_read += u64::from(sectors);
            }
            Op::Write { .. } => {
                self.writes += 1;
                self.sectors_written += u64::from(sectors);
            }
            Op::Flush | Op::Discard | Op::WriteZeroes => {}
        }
    }
}

/// The initiators of one disk.
#[derive(Debug, Default)]
pub(crate) struct Initiators {
    /// Beside `known`, and searched in its place: it is in fewer cache lines.
    macs: Vec<MacAddr>,
    known: Vec<Initiator>,
    /// Where one was found last.
    last: usize,
    forgotten: u64,
}

impl Initiators {
    /// The requests of an initiator that are in flight.
    pub(crate) fn in_flight(&self, mac: MacAddr) -> usize {
        self.find(mac).map_or(0, |at| self.known[at].in_flight)
    }

    /// An initiator that is seen now, in nanoseconds.
    pub(crate) fn seen(&mut self, mac: MacAddr, now: u64) -> &mut Initiator {
        self.last = self.find(mac).unwrap_or_else(|| self.add(mac));
        let initiator = &mut self.known[self.last];
        initiator.last_seen = now;
        initiator
    }

    /// A request of an initiator has ended. It is forgotten when it has no other, and was never answered or is one too many.
    pub(crate) fn end(&mut self, mac: MacAddr, note: impl FnOnce(&mut Initiator)) {
        let Some(at) = self.find(mac) else { return };
        let initiator = &mut self.known[at];
        note(initiator);
        initiator.in_flight = initiator.in_flight.saturating_sub(1);
        if initiator.in_flight == 0 && (initiator.requests == 0 || self.macs.len() > MOST) {
            self.forget(at);
        }
    }

    /// Initiators that were forgotten, and with them what they had asked.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// All that are remembered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Initiator> {
        self.known.iter()
    }

    fn find(&self, mac: MacAddr) -> Option<usize> {
        if self.macs.get(self.last) == Some(&mac) {
            return Some(self.last);
        }
        self.macs.iter().position(|known| *known == mac)
    }

    /// Adds an initiator; the one seen longest ago gives way.
    #[cold]
    fn add(&mut self, mac: MacAddr) -> usize {
        if self.macs.len() >= MOST {
            let idle = self.known.iter().enumerate().filter(|(_, initiator)| initiator.in_flight == 0);
            if let Some((at, _)) = idle.min_by_key(|(_, initiator)| initiator.last_seen) {
                self.forget(at);
            }
        }
        self.macs.push(mac);
        self.known.push(Initiator { mac, ..Initiator::default() });
        self.macs.len() - 1
    }

    #[cold]
    fn forget(&mut self, at: usize) {
        self.macs.swap_remove(at);
        let initiator = self.known.swap_remove(at);
        self.forgotten += u64::from(initiator.requests != 0);
    }
}

/// Who sent a request: the source address of its frame, which no part of its way changes before the reply is made.
pub(crate) fn source(frame: &impl IoBuf) -> MacAddr {
    let mac = frame.bytes().get(6..12).and_then(|mac| mac.try_into().ok());
    MacAddr(mac.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: usize) -> MacAddr {
        let [.., high, low] = number.to_be_bytes();
        MacAddr([2, 0, 0, 0, high, low])
    }

    /// Takes a request of an initiator, at so many seconds.
    fn begin(initiators: &mut Initiators, number: usize, second: u64) {
        let initiator = initiators.seen(mac(number), second);
        initiator.requests += 1;
        initiator.in_flight += 1;
    }

    fn end(initiators: &mut Initiators, number: usize) {
        initiators.end(mac(number), |_| {});
    }

    #[test]
    fn requests_are_counted_by_initiator() {
        let mut initiators = Initiators::default();
        begin(&mut initiators, 1, 1);
        begin(&mut initiators, 2, 2);
        begin(&mut initiators, 1, 3);
        end(&mut initiators, 2);
        let seen: Vec<_> = initiators.iter().map(|who| (who.mac, who.requests, who.in_flight)).collect();
        assert_eq!(seen, [(mac(1), 2, 2), (mac(2), 1, 0)]);
        assert_eq!(initiators.in_flight(mac(1)), 2);
        assert_eq!(initiators.in_flight(mac(3)), 0);
    }

    #[test]
    fn the_one_seen_longest_ago_gives_way_but_not_while_it_has_a_request() {
        let mut initiators = Initiators::default();
        for number in 0..MOST {
            begin(&mut initiators, number, 100 - number as u64);
        }
        (0..MOST - 1).for_each(|number| end(&mut initiators, number));
        begin(&mut initiators, 500, 200);
        assert_eq!(initiators.iter().count(), MOST);
        assert_eq!(initiators.forgotten(), 1);
        let there = |number| initiators.iter().any(|who| who.mac == mac(number));
        assert!(there(MOST - 1) && there(500) && !there(MOST - 2));
    }

    #[test]
    fn who_has_requests_is_known_beyond_the_most_and_forgotten_when_they_have_ended() {
        let mut initiators = Initiators::default();
        (0..3 * MOST).for_each(|number| begin(&mut initiators, number, 1));
        assert_eq!(initiators.iter().count(), 3 * MOST);
        assert!((0..3 * MOST).all(|number| initiators.in_flight(mac(number)) == 1));
        (0..3 * MOST).for_each(|number| end(&mut initiators, number));
        assert_eq!(initiators.iter().count(), MOST);
        assert_eq!(initiators.forgotten(), 2 * MOST as u64);
    }

    #[test]
    fn who_got_no_answer_is_not_remembered() {
        let mut initiators = Initiators::default();
        initiators.seen(mac(1), 0).in_flight += 1;
        end(&mut initiators, 1);
        assert_eq!((initiators.iter().count(), initiators.forgotten()), (0, 0));
    }
}
