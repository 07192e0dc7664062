//! Requests of one disk that wait for its queue, and whose turn it is: the initiators take turns, so that one with very many
//! requests does not keep another's single one waiting for all of them.

use std::collections::VecDeque;

use aoe_wire::MacAddr;

/// What waits, by initiator, of each in order.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    lanes: Vec<Lane<T>>,
    /// Whose turn it is.
    next: usize,
    len: usize,
}

#[derive(Debug)]
struct Lane<T> {
    source: MacAddr,
    waiting: VecDeque<T>,
}

impl<T> Lanes<T> {
    pub(crate) fn new() -> Self {
        Self { lanes: Vec::new(), next: 0, len: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `item` behind those of its initiator.
    pub(crate) fn push(&mut self, source: MacAddr, item: T) {
        self.lane(source).push_back(item);
        self.len += 1;
    }

    /// Puts `item` before those of its initiator, whose turn it is now: it had begun.
    pub(crate) fn put_back(&mut self, source: MacAddr, item: T) {
        self.lane(source).push_front(item);
        self.len += 1;
        self.next = self.lanes.iter().position(|lane| lane.source == source).unwrap_or(0);
    }

    /// The next in turn.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let count = self.lanes.len();
        let turn =
            (self.next..count).chain(0..self.next).find(|lane| !self.lanes[*lane].waiting.is_empty())?;
        self.next = if turn + 1 < count { turn + 1 } else { 0 };
        self.len -= 1;
        self.lanes[turn].waiting.pop_front()
    }

    /// Everything, in any order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.len = 0;
        self.lanes.iter_mut().flat_map(|lane| lane.waiting.drain(..))
    }

    /// The lane of an initiator: its own, or one that is free.
    fn lane(&mut self, source: MacAddr) -> &mut VecDeque<T> {
        let own = self.lanes.iter().position(|lane| lane.source == source);
        let lane = own.or_else(|| self.lanes.iter().position(|lane| lane.waiting.is_empty()));
        let lane = lane.unwrap_or_else(|| {
            self.lanes.push(Lane { source, waiting: VecDeque::new() });
            self.lanes.len() - 1
        });
        self.lanes[lane].source = source;
        &mut self.lanes[lane].waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
    const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
    const C: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xc]);

    #[test]
    fn initiators_take_turns_and_each_is_served_in_order() {
        let mut lanes = Lanes::new();
        (0..4).for_each(|n| lanes.push(A, n));
        lanes.push(B, 10);
        lanes.push(C, 20);
        lanes.push(C, 21);
        let order: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!(order, [0, 10, 20, 1, 21, 2, 3]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn what_was_put_back_is_the_next() {
        let mut lanes = Lanes::new();
        lanes.push(A, 1);
        lanes.push(A, 2);
        lanes.push(B, 10);
        let first = lanes.pop().unwrap();
        lanes.put_back(A, first);
        assert_eq!(std::iter::from_fn(|| lanes.pop()).collect::<Vec<_>>(), [1, 10, 2]);
    }

    #[test]
    fn there_are_no_more_lanes_than_initiators_that_wait_at_a_time() {
        let mut lanes = Lanes::new();
        for n in 0..100 {
            lanes.push(MacAddr([2, 0, 0, 0, 1, n]), n);
            assert_eq!(lanes.pop(), Some(n));
        }
        assert_eq!(lanes.lanes.len(), 1);
    }
}
