//! Where frames are between stations: [`Air`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use aoe_wire::{ETH_HEADER_LEN, MacAddr, Packet};
use bytes::BytesMut;

use crate::Weather;
use crate::chance::Chance;
use crate::lag::Clock;
use crate::station::{SegmentId, Station, StationId, Verdict, Way};
use crate::trace::{Fate, Trace};
use crate::watch::Watch;

/// What a network did to frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetStats {
    /// Frames that stations sent.
    pub sent: u64,
    /// Frames that arrived at a process, copies included.
    pub delivered: u64,
    /// Frames that the weather or the test lost.
    pub lost: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Frames that were held back while others passed.
    pub reordered: u64,
    /// Frames of which a bit was turned.
    pub corrupted: u64,
    /// Frames lost at a station: down, no process, too long for it, no room; or that no station has the address of.
    pub undeliverable: u64,
}

pub(crate) struct Air {
    pub(crate) now: Duration,
    /// Shows `now` to others.
    pub(crate) clock: Clock,
    pub(crate) segments: Vec<Weather>,
    pub(crate) stations: Vec<Station>,
    pub(crate) stats: NetStats,
    pub(crate) trace: Trace,
    pub(crate) watch: Watch,
    chance: Chance,
    /// Frames on their way, the next to arrive on top.
    flights: BinaryHeap<Reverse<Flight>>,
    /// Frames that ever were on their way: decides between those due at the same time.
    flown: u64,
    /// When the last frame from one station to another is due that was not held back: none that follows it comes earlier.
    last: BTreeMap<(StationId, StationId), Duration>,
}

/// Compared by due time, then by number, which no two have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: Duration,
    number: u64,
    from: StationId,
    to: StationId,
    frame: BytesMut,
}

impl Air {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            clock: Clock::default(),
            segments: Vec::new(),
            stations: Vec::new(),
            stats: NetStats::default(),
            trace: Trace::default(),
            watch: Watch::default(),
            chance: Chance::new(seed),
            flights: BinaryHeap::new(),
            flown: 0,
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn add_segment(&mut self, weather: Weather) -> SegmentId {
        self.segments.push(weather);
        SegmentId(self.segments.len() - 1)
    }

    pub(crate) fn add_station(&mut self, segment: SegmentId, mtu: u32) -> StationId {
        let number = self.stations.len();
        let [.., high, low] = (number as u64 + 1).to_be_bytes();
        self.stations.push(Station::new(segment, MacAddr([2, 0, 0, segment.0 as u8, high, low]), mtu));
        StationId(number)
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.flights.peek().map(|Reverse(flight)| flight.due)
    }

    /// A station sends a frame. It is never given back.
    pub(crate) fn transmit(&mut self, from: StationId, mut frame: BytesMut) {
        self.stats.sent += 1;
        let sender = &mut self.stations[from.0];
        if !sender.info.up {
            return self.undeliverable(from, Fate::Down(from), &frame);
        }
        if !sender.carries(&frame) {
            return self.undeliverable(from, Fate::TooLong(from), &frame);
        }
        let verdict = sender.tap.as_mut().map_or(Verdict::Pass, |tap| tap(self.now, &mut frame));
        let Ok(Packet { eth, .. }) = Packet::parse_headers(&frame) else {
            return self.undeliverable(from, Fate::NoStation, &frame);
        };
        let (destination, segment) = (eth.dst, self.stations[from.0].segment);
        if verdict == Verdict::Drop {
            self.stats.lost += 1;
            return self.trace.push(self.now, from, Fate::Dropped, &frame);
        }
        let mut heard = false;
        for to in (0..self.stations.len()).map(StationId) {
            let station = &self.stations[to.0];
            if to == from || station.segment != segment || !station.accepts(destination) {
                continue;
            }
            heard = true;
            match verdict {
                Verdict::Pass | Verdict::Drop => self.carry(from, to, &frame, None),
                Verdict::Hold(time) => self.carry(from, to, &frame, Some(time)),
                Verdict::Twice(time) => {
                    self.carry(from, to, &frame, None);
                    self.stats.duplicated += 1;
                    self.carry(from, to, &frame, Some(time));
                }
            }
        }
        if !heard {
            self.undeliverable(from, Fate::NoStation, &frame);
        }
    }

    pub(crate) fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.clock.set(self.now);
        while let Some(Reverse(flight)) = self.flights.peek()
            && flight.due <= self.now
        {
            let Some(Reverse(flight)) = self.flights.pop() else { return };
            self.arrive(flight);
        }
    }

    /// Takes a frame through the weather between two stations; `held` for a time before that, if the test wants it.
    fn carry(&mut self, from: StationId, to: StationId, frame: &BytesMut, held: Option<Duration>) {
        let (sender, receiver) = (&self.stations[from.0], &self.stations[to.0]);
        let way = [
            sender.weather[Way::Out as usize],
            self.segments[sender.segment.0],
            receiver.weather[Way::In as usize],
        ];
        let mut copies = 1;
        for weather in &way {
            if self.chance.happens(weather.loss) {
                self.stats.lost += 1;
                return self.trace.push(self.now, from, Fate::Lost(to), frame);
            }
            copies += u64::from(self.chance.happens(weather.duplicate));
        }
        self.stats.duplicated += copies - 1;
        for _ in 0..copies {
            self.fly(from, to, frame.clone(), &way, held);
        }
    }

    /// Puts one copy of a frame on its way.
    fn fly(
        &mut self,
        from: StationId,
        to: StationId,
        mut frame: BytesMut,
        way: &[Weather],
        held: Option<Duration>,
    ) {
        let mut due = self.now + held.unwrap_or_default();
        let mut passed = held.is_some();
        for weather in way {
            due += self.chance.time(weather.delay.0, weather.delay.1);
            if self.chance.happens(weather.reorder) {
                due += self.chance.time(Duration::ZERO, weather.held);
                passed = true;
                self.stats.reordered += 1;
            }
            if self.chance.happens(weather.corrupt) {
                self.corrupt(&mut frame);
            }
        }
        if !passed {
            let last = self.last.entry((from, to)).or_default();
            due = due.max(*last);
            *last = due;
        }
        self.trace.push(self.now, from, Fate::Due(due, to), &frame);
        self.flights.push(Reverse(Flight { due, number: self.flown, from, to, frame }));
        self.flown += 1;
    }

    fn corrupt(&mut self, frame: &mut BytesMut) {
        let bits = frame.len().saturating_sub(ETH_HEADER_LEN) as u64 * 8;
        let bit = self.chance.below(bits) as usize;
        if let Some(byte) = frame.get_mut(ETH_HEADER_LEN + bit / 8) {
            *byte ^= 1 << (bit % 8);
            self.stats.corrupted += 1;
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { from, to, frame, .. } = flight;
        let station = &mut self.stations[to.0];
        let destination = frame.first_chunk().map_or(MacAddr::BROADCAST, |mac| MacAddr(*mac));
        let fate = if !station.info.up {
            Fate::Down(to)
        } else if !station.accepts(destination) {
            Fate::NoStation
        } else if !station.carries(&frame) {
            Fate::TooLong(to)
        } else if station.is_deaf() {
            Fate::Unheard(to)
        } else {
            station.take(self.now, frame);
            self.stats.delivered += 1;
            return;
        };
        self.undeliverable(from, fate, &frame);
    }

    fn undeliverable(&mut self, from: StationId, fate: Fate, frame: &[u8]) {
        self.stats.undeliverable += 1;
        self.trace.push(self.now, from, fate, frame);
    }
}
