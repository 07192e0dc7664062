//! Segments and stations: [`Network`], and a process's hold on a station, [`SimLink`].

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use aoe_l2::{Link, LinkInfo};
use aoe_wire::MacAddr;
use bytes::BytesMut;

use crate::air::Air;
use crate::station::{SegmentId, Station, StationId, Tap, Way};
use crate::watch::{Note, Passed, Power};
use crate::{Clock, NetStats, Weather};

/// Frames that one call of `recv` delivers at most.
const BURST: usize = 64;

/// A network of any number of segments, each a hub by destination address, on a clock of its own. Clones are the same network.
///
/// What it does follows from its seed and from what is done to it, and from nothing else.
#[derive(Clone)]
pub struct Network(Rc<RefCell<Air>>);

impl Network {
    /// A network without segments.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Air::new(seed))))
    }

    /// Adds a segment, with the weather of a good local network.
    #[must_use]
    pub fn add_segment(&self) -> SegmentId {
        self.air_mut().add_segment(Weather::LAN)
    }

    /// Adds a station, up, with an address of its own and an MTU of `mtu` bytes.
    #[must_use]
    pub fn add_station(&self, segment: SegmentId, mtu: u32) -> StationId {
        self.air_mut().add_station(segment, mtu)
    }

    /// A process opens a station. Frames that arrive while nobody has it open are lost.
    #[must_use]
    pub fn open(&self, id: StationId) -> SimLink {
        let mut air = self.air_mut();
        let station = &mut air.stations[id.0];
        station.listeners += 1;
        let info = station.info;
        SimLink {
            network: self.clone(),
            station: id,
            info,
            times: Vec::new(),
            power: Power::default(),
            round: (0, 0),
        }
    }

    /// The same for a process that ends in the midst of what it does when `power` fails: nothing that it sends then leaves it.
    #[must_use]
    pub fn open_powered(&self, id: StationId, power: &Power) -> SimLink {
        let mut link = self.open(id);
        link.power = power.clone();
        link
    }

    /// Lets what has arrived at a station lie, or shows it to the process again: a receive queue that is read late.
    pub fn set_unread(&self, id: StationId, unread: bool) {
        self.station(id).unread = unread;
    }

    /// Notes from now on what the process at a station takes and sends, for [`take_notes`](Self::take_notes).
    pub fn watch(&self, id: StationId) {
        self.station(id).watched = true;
    }

    /// What was noted at watched stations since this was last asked, in the order of its happening.
    #[must_use]
    pub fn take_notes(&self) -> Vec<Note> {
        self.air_mut().watch.take()
    }

    /// A process begins a turn, by which its notes are told from those of the turn before.
    pub(crate) fn begin_turn(&self) {
        self.air_mut().watch.turn += 1;
    }

    /// Changes the weather of a segment.
    pub fn set_weather(&self, segment: SegmentId, weather: Weather) {
        self.air_mut().segments[segment.0] = weather;
    }

    /// Changes the weather of one way through a station, which is [none](Weather::NONE) at first.
    pub fn set_station_weather(&self, id: StationId, way: Way, weather: Weather) {
        self.station(id).weather[way as usize] = weather;
    }

    /// Has every frame that a station sends judged, and changed if need be, by `tap`, which must leave the network alone. It comes
    /// before the weather and after the MTU, so it may also make frames longer.
    pub fn tap(&self, id: StationId, tap: impl FnMut(Duration, &mut BytesMut) -> crate::Verdict + 'static) {
        let tap: Tap = Box::new(tap);
        self.station(id).tap = Some(tap);
    }

    /// Removes the tap of a station.
    pub fn untap(&self, id: StationId) {
        self.station(id).tap = None;
    }

    /// Plugs the cable of a station in or out. Frames sent from or arriving at a station that is down are lost.
    pub fn set_up(&self, id: StationId, up: bool) {
        self.station(id).change(|info| info.up = up);
    }

    /// Changes the MTU of a station, in bytes.
    pub fn set_mtu(&self, id: StationId, mtu: u32) {
        self.station(id).change(|info| info.mtu = mtu);
    }

    /// Changes the address of a station.
    pub fn set_mac(&self, id: StationId, mac: MacAddr) {
        self.station(id).change(|info| info.mac = mac);
    }

    /// Makes a station take no frame to send, as a device with a full transmit queue, or take them again.
    pub fn set_blocked(&self, id: StationId, blocked: bool) {
        self.station(id).blocked = blocked;
    }

    /// A station as it is.
    #[must_use]
    pub fn info(&self, id: StationId) -> LinkInfo {
        self.air().stations[id.0].info
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.air().now
    }

    /// The time, for what is to know it without the network.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.air().clock.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.air().stats
    }

    /// Two runs with equal digests had the same frames at the same times with the same fates.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.air().trace.digest()
    }

    /// What happened to the last frames, a line for each.
    #[must_use]
    pub fn trace(&self) -> String {
        self.air().trace.to_string()
    }

    /// When the next frame arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Duration> {
        self.air().next_arrival()
    }

    /// Lets the time become `now`, if that is later, and frames arrive that are due.
    pub fn advance(&self, now: Duration) {
        self.air_mut().advance(now);
    }

    /// Whether frames wait for the process at a station.
    pub(crate) fn has_arrived(&self, id: StationId) -> bool {
        let air = self.air();
        let station = &air.stations[id.0];
        !station.unread && !station.arriving.is_empty()
    }

    fn station(&self, id: StationId) -> RefMut<'_, Station> {
        RefMut::map(self.air_mut(), |air| &mut air.stations[id.0])
    }

    fn air(&self) -> Ref<'_, Air> {
        self.0.borrow()
    }

    fn air_mut(&self) -> RefMut<'_, Air> {
        self.0.borrow_mut()
    }
}

/// A process's hold on a station. Dropped, what has arrived is lost.
pub struct SimLink {
    network: Network,
    station: StationId,
    info: LinkInfo,
    /// When the frames of the last burst arrived.
    times: Vec<Duration>,
    power: Power,
    /// The turn, and how often this was read in it.
    round: (u64, u64),
}

impl SimLink {
    /// The station.
    #[must_use]
    pub fn station(&self) -> StationId {
        self.station
    }
}

impl Link for SimLink {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        self.info
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        Some(BytesMut::with_capacity(self.network.station(self.station).capacity()))
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        let mut air = self.network.air_mut();
        let Air { stations, watch, .. } = &mut *air;
        let station = &mut stations[self.station.0];
        self.info = station.info;
        self.times.clear();
        self.round =
            if self.round.0 == watch.turn { (watch.turn, self.round.1 + 1) } else { (watch.turn, 0) };
        let burst = if station.unread { 0 } else { station.arriving.len().min(BURST) };
        for (time, frame) in station.arriving.drain(..burst) {
            if station.watched {
                watch.push(self.station, Passed::Taken { round: self.round.1, arrived: time }, &frame);
            }
            self.times.push(time);
            rx.push(frame);
        }
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        times.extend(self.times.drain(..).map(Some));
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        let mut air = self.network.air_mut();
        while !air.stations[self.station.0].blocked
            && let Some(frame) = tx.pop_front()
        {
            if self.power.is_off() {
                continue;
            }
            if air.stations[self.station.0].watched {
                air.watch.push(self.station, Passed::Sent, &frame);
            }
            air.transmit(self.station, frame);
        }
        Ok(())
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        let mut station = self.network.station(self.station);
        station.listeners -= 1;
        station.arriving.clear();
    }
}
