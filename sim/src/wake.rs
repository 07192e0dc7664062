//! When a process has a reason to turn: [`Wake`].

use std::time::Duration;

use crate::{Network, StationId};

/// The reasons of one process, as its events and its timer would give them: it is turned for these and not otherwise, so that a
/// process that forgets to ask for a timer is found out.
#[derive(Debug)]
pub(crate) struct Wake {
    /// The stations it has open, each with the generation that it has seen.
    stations: Vec<(StationId, u64)>,
    /// When its timer ends.
    at: Option<Duration>,
    /// Something was asked of it.
    poked: bool,
    /// It has left frames lying, and will ask for its timer.
    backlog: bool,
}

impl Wake {
    pub(crate) fn new(stations: &[StationId]) -> Self {
        let stations = stations.iter().map(|station| (*station, 0)).collect();
        Self { stations, at: None, poked: true, backlog: false }
    }

    pub(crate) fn stations(&self) -> impl Iterator<Item = StationId> {
        self.stations.iter().map(|(station, _)| *station)
    }

    pub(crate) fn poke(&mut self) {
        self.poked = true;
    }

    /// When to turn, now or later; `None` while nothing happens.
    pub(crate) fn next(&self, net: &Network) -> Option<Duration> {
        let changed = self.stations.iter().any(|(id, seen)| net.info(*id).generation != *seen);
        let arrived = !self.backlog && self.stations().any(|id| net.has_arrived(id));
        if self.poked || changed || arrived { Some(net.now()) } else { self.at.map(|at| at.max(net.now())) }
    }

    /// It has turned until idle, and wants to at a time.
    pub(crate) fn slept(&mut self, net: &Network, until: Option<Duration>) {
        for (id, seen) in &mut self.stations {
            *seen = net.info(*id).generation;
        }
        let backlog = self.stations().any(|id| net.has_arrived(id));
        (self.at, self.poked, self.backlog) = (until, false, backlog);
    }
}
