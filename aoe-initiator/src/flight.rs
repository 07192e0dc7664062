//! Requests in the air: which tag stands for what ([`Flights`]).
//!
//! A tag holds the number of a slot and a sequence number of that slot, which grows with every sending. So a reply names the very
//! sending it answers: a repeated request has another tag, a late reply to an earlier sending is known for what it is, and its time is
//! a true round trip.

use std::time::Duration;

use aoe_wire::Tag;

/// Bits of a tag that hold the sequence number; above are twelve for the slot. The top bit stays clear, as Linux keeps it.
const SEQUENCE_BITS: u32 = 19;
const SEQUENCE_MASK: u32 = (1 << SEQUENCE_BITS) - 1;

/// Slots. Number 0 is left out, so that no tag is zero: that is the tag of advertisements.
const SLOTS: u16 = 1 << 12;

/// The last slot is for queries that are not waited for.
const QUERY_SLOT: u16 = SLOTS - 1;

/// Sendings of one request of which the time is remembered.
const REMEMBERED: usize = 4;

/// A slot, and with it a request in the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(u16);

/// A part of a task: sectors `at` to `at + sectors - 1`, counted from the task's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) at: u32,
    pub(crate) sectors: u32,
}

/// One request, sent at least once and not answered yet.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Index of the session.
    pub(crate) session: usize,
    /// Key of the task.
    pub(crate) task: usize,
    pub(crate) piece: Piece,
    /// Index of the path it was last sent by.
    pub(crate) path: usize,
    /// Whether a reply is waited for; else it is to be sent again.
    pub(crate) in_air: bool,
    /// The target has refused it, perhaps because it takes less at once than it said: asked again, then tried once more.
    pub(crate) doubted: bool,
    /// When it was first sent.
    since: Duration,
    tries: u32,
    sent: [Duration; REMEMBERED],
}

impl Flight {
    pub(crate) fn new(session: usize, task: usize, piece: Piece) -> Self {
        let sent = [Duration::ZERO; REMEMBERED];
        Self {
            session,
            task,
            piece,
            path: 0,
            in_air: false,
            doubted: false,
            since: Duration::ZERO,
            tries: 0,
            sent,
        }
    }

    /// When it was first sent.
    pub(crate) fn since(&self) -> Duration {
        self.since
    }

    /// How often it was sent.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// When it was sent `age` sendings before the last, if that is remembered.
    fn sent_before(&self, age: u32) -> Option<Duration> {
        let attempt = self.tries.checked_sub(1 + age)?;
        (age < REMEMBERED as u32).then(|| self.sent[attempt as usize % REMEMBERED])
    }
}

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The sending of a request, this many sendings before its last one, at this time if that is remembered.
    Request { slot: SlotId, age: u32, sent: Option<Duration> },
    /// A query that nobody waits for, sent at this time.
    Query { sent: Duration },
}

/// All requests in the air.
#[derive(Debug)]
pub(crate) struct Flights {
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    queries: [(u32, Duration); 16],
}

#[derive(Debug)]
struct Slot {
    sequence: u32,
    flight: Option<Flight>,
}

impl Flights {
    /// `seed` sets where the sequences begin.
    pub(crate) fn new(seed: u64) -> Self {
        let slots = (0..SLOTS)
            .map(|number| Slot { sequence: scramble(seed, number) & SEQUENCE_MASK, flight: None })
            .collect();
        // Those used last are used next, which keeps few of them warm.
        let free = (1..QUERY_SLOT).rev().map(SlotId).collect();
        Self { slots, free, queries: [(u32::MAX, Duration::ZERO); 16] }
    }

    /// Puts a request into a free slot, not sent yet; gives it back when there is none.
    pub(crate) fn insert(&mut self, flight: Flight) -> Result<SlotId, Flight> {
        let Some(id) = self.free.pop() else { return Err(flight) };
        self.slots[usize::from(id.0)].flight = Some(flight);
        Ok(id)
    }

    /// Ends a request. Replies to it that come later mean nothing.
    pub(crate) fn remove(&mut self, id: SlotId) -> Option<Flight> {
        let flight = self.slots[usize::from(id.0)].flight.take()?;
        self.free.push(id);
        Some(flight)
    }

    pub(crate) fn get(&self, id: SlotId) -> Option<&Flight> {
        self.slots[usize::from(id.0)].flight.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: SlotId) -> Option<&mut Flight> {
        self.slots[usize::from(id.0)].flight.as_mut()
    }

    /// Notes that the request is sent now, by a path, and returns the tag to send it with.
    pub(crate) fn send(&mut self, id: SlotId, path: usize, now: Duration) -> Tag {
        let slot = &mut self.slots[usize::from(id.0)];
        slot.sequence = (slot.sequence + 1) & SEQUENCE_MASK;
        if let Some(flight) = &mut slot.flight {
            if flight.tries == 0 {
                flight.since = now;
            }
            flight.sent[flight.tries as usize % REMEMBERED] = now;
            flight.tries += 1;
            (flight.path, flight.in_air) = (path, true);
        }
        tag(id.0, slot.sequence)
    }

    /// The requests of one session: task, and when first sent. Looks at every slot.
    pub(crate) fn of_session(&self, session: usize) -> impl Iterator<Item = (usize, Duration)> {
        let flights = self.slots.iter().filter_map(|slot| slot.flight.as_ref());
        flights.filter(move |flight| flight.session == session).map(|flight| (flight.task, flight.since))
    }

    /// The requests of one task, and whether each is in the air. Looks at every slot.
    pub(crate) fn of_task(&self, session: usize, task: usize) -> Vec<(SlotId, bool)> {
        let ids = (0..SLOTS).map(SlotId);
        let of_task = |id: SlotId| {
            let flight = self.get(id).filter(|flight| (flight.session, flight.task) == (session, task))?;
            Some((id, flight.in_air))
        };
        ids.filter_map(of_task).collect()
    }

    /// Whether a frame with this tag is still of use: a query, or the last sending of a request that has not ended.
    pub(crate) fn is_current(&self, tag: Tag) -> bool {
        matches!(self.meaning(tag), Some(Meaning::Query { .. } | Meaning::Request { age: 0, .. }))
    }

    /// Whether the request in this slot was last sent with this tag and waits for its reply.
    pub(crate) fn is_awaited(&self, id: SlotId, tag_sent: Tag) -> bool {
        let slot = &self.slots[usize::from(id.0)];
        tag(id.0, slot.sequence) == tag_sent && slot.flight.as_ref().is_some_and(|flight| flight.in_air)
    }

    /// The tag of a query that nobody waits for.
    pub(crate) fn query(&mut self, now: Duration) -> Tag {
        let slot = &mut self.slots[usize::from(QUERY_SLOT)];
        slot.sequence = (slot.sequence + 1) & SEQUENCE_MASK;
        self.queries[slot.sequence as usize % 16] = (slot.sequence, now);
        tag(QUERY_SLOT, slot.sequence)
    }

    /// What was sent with this tag; `None` for the tag of something that has ended, or of somebody else.
    pub(crate) fn meaning(&self, tag: Tag) -> Option<Meaning> {
        let tag = tag.to_u32();
        let (number, sequence) = (u16::try_from(tag >> SEQUENCE_BITS).ok()?, tag & SEQUENCE_MASK);
        if number == QUERY_SLOT {
            let (_, sent) = self.queries.iter().find(|(known, _)| *known == sequence)?;
            return Some(Meaning::Query { sent: *sent });
        }
        let slot = self.slots.get(usize::from(number))?;
        let flight = slot.flight.as_ref()?;
        let age = slot.sequence.wrapping_sub(sequence) & SEQUENCE_MASK;
        (age < flight.tries).then(|| Meaning::Request {
            slot: SlotId(number),
            age,
            sent: flight.sent_before(age),
        })
    }
}

fn tag(slot: u16, sequence: u32) -> Tag {
    Tag::from_u32(u32::from(slot) << SEQUENCE_BITS | sequence)
}

/// Spreads the sequences of slots over their range (the finaliser of MurmurHash3).
fn scramble(seed: u64, slot: u16) -> u32 {
    let mut bits = seed ^ u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ bits >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (bits >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn one() -> (Flights, SlotId) {
        let mut flights = Flights::new(1);
        let id = flights.insert(Flight::new(0, 0, Piece::default())).unwrap();
        (flights, id)
    }

    fn age(flights: &Flights, tag: Tag) -> Option<u32> {
        match flights.meaning(tag)? {
            Meaning::Request { age, .. } => Some(age),
            Meaning::Query { .. } => None,
        }
    }

    #[test]
    fn every_sending_has_a_tag_of_its_own_and_all_are_known() {
        let (mut flights, id) = one();
        let tags: Vec<_> = (0..6).map(|n| flights.send(id, 0, n * MS)).collect();
        let ages: Vec<_> = tags.iter().map(|tag| age(&flights, *tag)).collect();
        assert_eq!(ages, [5, 4, 3, 2, 1, 0].map(Some));
        let Some(Meaning::Request { sent, .. }) = flights.meaning(tags[3]) else { panic!("a request") };
        assert_eq!(sent, Some(3 * MS));
        let Some(Meaning::Request { sent, .. }) = flights.meaning(tags[1]) else { panic!("a request") };
        assert_eq!(sent, None, "too long ago");
    }

    #[test]
    fn a_tag_means_nothing_once_its_request_has_ended_even_if_the_slot_is_used_again() {
        let (mut flights, id) = one();
        let old = flights.send(id, 0, MS);
        flights.remove(id);
        assert_eq!(flights.meaning(old), None);
        let again = flights.insert(Flight::new(0, 0, Piece::default())).unwrap();
        assert_eq!(again, id);
        let new = flights.send(again, 0, MS);
        assert_eq!((age(&flights, old), age(&flights, new)), (None, Some(0)));
    }

    #[test]
    fn no_tag_is_zero_or_has_the_top_bit() {
        let mut flights = Flights::new(7);
        let mut slots = Vec::new();
        while let Ok(id) = flights.insert(Flight::new(0, 0, Piece::default())) {
            slots.push(id);
            let tag = flights.send(id, 0, MS).to_u32();
            assert!(tag != 0 && tag >> 31 == 0, "{tag:08x}");
        }
        assert_eq!(slots.len(), usize::from(SLOTS) - 2);
        for id in slots {
            flights.remove(id).unwrap();
        }
        assert!(flights.insert(Flight::new(0, 0, Piece::default())).is_ok());
    }

    #[test]
    fn another_process_begins_elsewhere() {
        let tag = |seed| {
            let mut flights = Flights::new(seed);
            let id = flights.insert(Flight::new(0, 0, Piece::default())).unwrap();
            flights.send(id, 0, MS)
        };
        assert_ne!(tag(1), tag(2));
    }

    #[test]
    fn a_query_is_known_by_its_tag_until_sixteen_more_were_sent() {
        let mut flights = Flights::new(1);
        let tag = flights.query(5 * MS);
        assert_eq!(flights.meaning(tag), Some(Meaning::Query { sent: 5 * MS }));
        for _ in 0..16 {
            flights.query(6 * MS);
        }
        assert_eq!(flights.meaning(tag), None);
    }
}
