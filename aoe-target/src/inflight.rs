//! Order among requests in flight, per disk and over all of its links.
//!
//! AoE repeats requests, by any path and under any tag, so a target that runs requests side by side must keep what arrived first
//! first. The rules:
//!
//! 1. two requests with a sector in common, one of them a write, run in order of arrival: the second starts only when the first has
//!    *ended* at the disk;
//! 2. a flush starts when every write that arrived before it has ended; later writes may run beside it;
//! 3. everything else runs freely, and repeated requests are run again, each with a reply of its own.
//!
//! A request waits for a *number* of earlier ones, counted down as they end; nothing is sorted and nothing starves.

use std::collections::VecDeque;
use std::ops::Range;

use aoe_wire::MacAddr;
use bdev::{Io, Op};

/// Names a request in flight; travels as the [`Io`]'s tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

impl Key {
    pub(crate) fn tag(self) -> u64 {
        self.0.into()
    }

    pub(crate) fn from_tag(tag: u64) -> Option<Self> {
        u32::try_from(tag).ok().map(Self)
    }
}

/// Whence a request came, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The number of the link.
    pub(crate) link: usize,
    pub(crate) source: MacAddr,
    /// The time of the turn that took it, in nanoseconds.
    pub(crate) taken: u64,
}

/// What has become of a request that began.
#[derive(Debug)]
#[must_use]
pub(crate) struct Begun<F> {
    /// The request, tagged, when it may start now; else it is kept until [`Inflight::end`] hands it out.
    pub(crate) start: Option<Io<F>>,
    /// Whether its initiator has the same in flight already.
    pub(crate) repeats: bool,
}

/// The requests of one disk that have begun and not ended.
#[derive(Debug)]
pub(crate) struct Inflight<F> {
    slots: Vec<Option<Slot<F>>>,
    free: Vec<u32>,
    arrivals: u64,
    writes: usize,
    waiting: usize,
    #[cfg(feature = "sabotage")]
    sabotage: crate::Sabotage,
}

#[derive(Debug)]
struct Slot<F> {
    arrival: u64,
    kind: Kind,
    reach: Range<u64>,
    origin: Origin,
    /// Earlier requests that must end first.
    blockers: usize,
    parked: Option<Io<F>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
}

impl<F> Inflight<F> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            arrivals: 0,
            writes: 0,
            waiting: 0,
            #[cfg(feature = "sabotage")]
            sabotage: crate::Sabotage::default(),
        }
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, sabotage: crate::Sabotage) {
        self.sabotage = sabotage;
    }

    /// Requests that have begun and not ended, waiting ones included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether a write has begun and not ended.
    pub(crate) fn has_writes(&self) -> bool {
        self.writes != 0
    }

    /// Takes note of a request that may touch the sectors of `reach`. `known` says that it may repeat one that it does not wait for.
    pub(crate) fn begin(&mut self, origin: Origin, io: Io<F>, reach: Range<u64>, known: bool) -> Begun<F> {
        let kind = match io.op() {
            Op::Flush => Kind::Flush,
            op if op.is_write() => Kind::Write,
            _ => Kind::Read,
        };
        #[cfg(feature = "sabotage")]
        let (kind, reach) = match self.sabotage.order(&io, reach) {
            (false, reach) if kind == Kind::Flush => (Kind::Read, reach),
            (_, reach) => (kind, reach),
        };
        self.arrivals += 1;
        let mut slot = Slot { arrival: self.arrivals, kind, reach, origin, blockers: 0, parked: None };
        if self.len() != 0 {
            slot.blockers = self.slots.iter().flatten().filter(|earlier| earlier.blocks(&slot)).count();
        }
        let known = known || slot.blockers != 0;
        let repeats = known && self.slots.iter().flatten().any(|earlier| earlier.is_like(&slot));
        self.writes += usize::from(kind == Kind::Write);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1)
                .expect("fewer requests in flight than there are bytes of memory")
        });
        let io = io.with_tag(Key(index).tag());
        let start = if slot.blockers == 0 {
            Some(io)
        } else {
            self.waiting += 1;
            slot.parked = Some(io);
            None
        };
        self.slots[index as usize] = Some(slot);
        Begun { start, repeats }
    }

    /// Whence a request in flight came.
    pub(crate) fn origin(&self, key: Key) -> Option<Origin> {
        self.slots.get(key.0 as usize)?.as_ref().map(|slot| slot.origin)
    }

    /// Whether a request in flight came from link number `link`.
    pub(crate) fn has_from(&self, link: usize) -> bool {
        self.slots.iter().flatten().any(|slot| slot.origin.link == link)
    }

    /// Takes note that a request has ended, and appends those that may start now to `ready`, in order of arrival.
    pub(crate) fn end(&mut self, key: Key, ready: &mut VecDeque<Io<F>>) {
        let Some(ended) = self.slots.get_mut(key.0 as usize).and_then(Option::take) else { return };
        self.free.push(key.0);
        self.writes -= usize::from(ended.kind == Kind::Write);
        if self.waiting == 0 {
            return;
        }
        let first = ready.len();
        for slot in self.slots.iter_mut().flatten() {
            if slot.parked.is_none() || slot.arrival < ended.arrival || !ended.blocks(slot) {
                continue;
            }
            slot.blockers -= 1;
            if slot.blockers == 0 {
                self.waiting -= 1;
                ready.extend(slot.parked.take());
            }
        }
        let slots = &self.slots;
        ready.make_contiguous()[first..].sort_unstable_by_key(|io| {
            usize::try_from(io.tag())
                .ok()
                .and_then(|index| slots.get(index)?.as_ref())
                .map(|slot| slot.arrival)
        });
    }

    /// Every request that still waits, which then has not begun; for a target that is taken down.
    pub(crate) fn drain_waiting(&mut self) -> impl Iterator<Item = Io<F>> {
        self.waiting = 0;
        self.slots.iter_mut().flatten().filter_map(|slot| slot.parked.take())
    }
}

impl<F> Slot<F> {
    /// Whether `later` wants the same as this, sectors and not a flush, for the same initiator.
    fn is_like(&self, later: &Self) -> bool {
        self.reach.start == later.reach.start
            && self.reach.end == later.reach.end
            && !self.reach.is_empty()
            && self.kind == later.kind
            && self.origin.source == later.origin.source
    }

    /// Whether `later`, which arrived after this, must wait for this to end.
    fn blocks(&self, later: &Self) -> bool {
        match (self.kind, later.kind) {
            (Kind::Flush, _) | (Kind::Read, Kind::Flush | Kind::Read) => false,
            (Kind::Write, Kind::Flush) => true,
            (Kind::Write, _) | (_, Kind::Write) => {
                self.reach.start < later.reach.end && later.reach.start < self.reach.end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bdev::Extent;
    use proptest::prelude::*;

    use super::*;

    type Flight = Inflight<Vec<u8>>;

    const ORIGIN: Origin = Origin { link: 0, source: MacAddr::ZERO, taken: 0 };

    fn io(op: Op, lba: u64, sectors: u32) -> (Io<Vec<u8>>, Range<u64>) {
        (Io::new(op, Extent::new(lba, sectors), vec![], 0), lba..lba + u64::from(sectors))
    }

    /// Begins a request; the key, and whether it may start.
    fn begin(flight: &mut Flight, op: Op, lba: u64, sectors: u32) -> (Key, bool) {
        let (io, reach) = io(op, lba, sectors);
        match flight.begin(ORIGIN, io, reach, false).start {
            Some(io) => (Key::from_tag(io.abandon().tag()).unwrap(), true),
            None => {
                let newest = flight.slots.iter().flatten().map(|slot| slot.arrival).max().unwrap();
                let at = flight.slots.iter().position(|s| s.as_ref().is_some_and(|s| s.arrival == newest));
                (Key(u32::try_from(at.unwrap()).unwrap()), false)
            }
        }
    }

    fn end(flight: &mut Flight, key: Key) -> Vec<Key> {
        let mut ready = VecDeque::new();
        flight.end(key, &mut ready);
        ready.into_iter().map(|io| Key::from_tag(io.abandon().tag()).unwrap()).collect()
    }

    const WRITE: Op = Op::Write { fua: false };

    #[test]
    fn overlapping_writes_run_in_order_of_arrival_and_others_run_beside_them() {
        let mut flight = Flight::new();
        let (first, started) = begin(&mut flight, WRITE, 10, 4);
        assert!(started);
        let (second, started) = begin(&mut flight, WRITE, 13, 4);
        assert!(!started);
        let (third, started) = begin(&mut flight, WRITE, 12, 2);
        assert!(!started);
        assert!(begin(&mut flight, WRITE, 30, 2).1);
        assert!(begin(&mut flight, Op::Read, 17, 1).1);
        assert_eq!(end(&mut flight, first), [second], "the third overlaps the second too");
        assert_eq!(end(&mut flight, second), [third]);
    }

    #[test]
    fn reads_run_beside_reads_and_wait_for_writes() {
        let mut flight = Flight::new();
        assert!(begin(&mut flight, Op::Read, 0, 8).1);
        assert!(begin(&mut flight, Op::Read, 0, 8).1);
        let (write, started) = begin(&mut flight, WRITE, 7, 1);
        assert!(!started);
        assert!(!begin(&mut flight, Op::Read, 7, 1).1, "a read that arrives after a write must see it");
        assert!(end(&mut flight, Key(0)).is_empty());
        assert_eq!(end(&mut flight, Key(1)), [write]);
        assert_eq!(end(&mut flight, write).len(), 1);
    }

    #[test]
    fn a_flush_waits_for_every_earlier_write_and_holds_nobody_up() {
        let mut flight = Flight::new();
        let (one, _) = begin(&mut flight, WRITE, 0, 1);
        let (two, started) = begin(&mut flight, WRITE, 0, 1);
        assert!(!started);
        let (flush, started) = begin(&mut flight, Op::Flush, 0, 0);
        assert!(!started, "a write that waits is a write that arrived earlier");
        assert!(begin(&mut flight, WRITE, 50, 1).1, "later writes run beside a flush");
        assert_eq!(end(&mut flight, one), [two]);
        assert_eq!(end(&mut flight, two), [flush]);
    }

    #[test]
    fn a_repeat_is_the_same_of_the_same_initiator_while_it_is_in_flight() {
        let mut flight = Flight::new();
        let mut repeats = |op, lba, sectors, source| {
            let (io, reach) = io(op, lba, sectors);
            let begun = flight.begin(Origin { source, ..ORIGIN }, io, reach, true);
            if let Some(io) = begun.start {
                drop(io.abandon());
            }
            begun.repeats
        };
        let other = MacAddr([2, 0, 0, 0, 0, 2]);
        assert!(!repeats(Op::Read, 8, 2, ORIGIN.source));
        assert!(!repeats(Op::Read, 8, 2, other));
        assert!(!repeats(Op::Read, 8, 1, ORIGIN.source));
        assert!(!repeats(WRITE, 8, 2, ORIGIN.source));
        assert!(repeats(Op::Read, 8, 2, other));
        assert!(repeats(WRITE, 8, 2, ORIGIN.source), "also while the first waits");
        assert!(!repeats(Op::Flush, 0, 0, other) && !repeats(Op::Flush, 0, 0, other));
        flight.end(Key(0), &mut VecDeque::new());
        let (io, reach) = io(Op::Read, 8, 2);
        let begun = flight.begin(ORIGIN, io, reach, true);
        assert!(!begun.repeats, "the first has ended");
        flight.drain_waiting().for_each(|io| drop(io.abandon()));
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_ends_overlaps_never_run_together_and_all_run(
            requests in prop::collection::vec((0..3u8, 0..40u64, 1..9u32), 1..60),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let mut flight = Flight::new();
            let mut running: Vec<(usize, Key)> = vec![];
            let mut keys = vec![];
            let mut order = vec![];
            let mut picks = picks.into_iter();
            for (number, (op, lba, sectors)) in requests.iter().copied().enumerate() {
                let op = [Op::Read, WRITE, Op::Flush][usize::from(op)];
                let (key, started) = begin(&mut flight, op, lba, sectors);
                keys.push((key, number));
                if started { running.push((number, key)); order.push(number); }
                if number % 3 == 2 && !running.is_empty() {
                    finish_one(&mut flight, &mut running, &mut keys, &mut order, picks.next().unwrap());
                }
            }
            while !running.is_empty() {
                finish_one(&mut flight, &mut running, &mut keys, &mut order, picks.next().unwrap());
            }
            prop_assert_eq!(flight.len(), 0);
            prop_assert_eq!(flight.waiting, 0);
            prop_assert!(!flight.has_writes());
            prop_assert_eq!(order.len(), requests.len());
            // Whatever conflicts started in order of arrival.
            let place = |number| order.iter().position(|n| *n == number).unwrap();
            for (later, (op_b, lba_b, n_b)) in requests.iter().enumerate() {
                for (earlier, (op_a, lba_a, n_a)) in requests[..later].iter().enumerate() {
                    let overlap = lba_a < &(lba_b + u64::from(*n_b)) && lba_b < &(lba_a + u64::from(*n_a));
                    let data = *op_a != 2 && *op_b != 2 && overlap && (*op_a == 1 || *op_b == 1);
                    if data || (*op_a == 1 && *op_b == 2) {
                        prop_assert!(place(earlier) < place(later));
                    }
                }
            }
        }
    }

    fn finish_one(
        flight: &mut Flight,
        running: &mut Vec<(usize, Key)>,
        keys: &mut Vec<(Key, usize)>,
        order: &mut Vec<usize>,
        pick: prop::sample::Index,
    ) {
        let (number, key) = running.swap_remove(pick.index(running.len()));
        keys.retain(|(_, n)| *n != number);
        for ready in end(flight, key) {
            let number = keys.iter().find(|(k, _)| *k == ready).unwrap().1;
            running.push((number, ready));
            order.push(number);
        }
    }
}
