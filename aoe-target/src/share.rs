//! How many requests of each initiator one disk has in flight.

use aoe_wire::MacAddr;
use bdev::IoBuf;

/// Every initiator may have so many, whatever the buffer count that is advertised.
pub(crate) const LEAST: usize = 128;

/// Those that have requests in flight, few as a rule.
#[derive(Debug, Default)]
pub(crate) struct Shares(Vec<(MacAddr, usize)>);

impl Shares {
    /// The requests of an initiator.
    pub(crate) fn of(&self, source: MacAddr) -> usize {
        self.0.iter().find(|(mac, _)| *mac == source).map_or(0, |(_, count)| *count)
    }

    /// One more has begun.
    pub(crate) fn begin(&mut self, source: MacAddr) {
        match self.0.iter_mut().find(|(mac, _)| *mac == source) {
            Some((_, count)) => *count += 1,
            None => self.0.push((source, 1)),
        }
    }

    /// One has ended.
    pub(crate) fn end(&mut self, source: MacAddr) {
        let Some(at) = self.0.iter().position(|(mac, _)| *mac == source) else { return };
        self.0[at].1 -= 1;
        if self.0[at].1 == 0 {
            self.0.swap_remove(at);
        }
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

    #[test]
    fn requests_are_counted_by_initiator_and_who_has_none_is_forgotten() {
        let [a, b] = [1, 2].map(|n| MacAddr([2, 0, 0, 0, 0, n]));
        let mut shares = Shares::default();
        shares.begin(a);
        shares.begin(b);
        shares.begin(a);
        assert_eq!((shares.of(a), shares.of(b)), (2, 1));
        shares.end(a);
        shares.end(b);
        assert_eq!((shares.of(a), shares.of(b)), (1, 0));
        assert_eq!(shares.0.len(), 1);
    }
}
