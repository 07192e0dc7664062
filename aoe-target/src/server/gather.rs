//! From the links to the targets, in the order of arrival where a disk has several links.

use std::io;
use std::time::Duration;

use super::Server;
use crate::Link;
use crate::port::{Arrival, Port};

/// Frames that are received from a link before what they ask for is begun.
const MOST_GATHERED: usize = 64;

/// Frames of several links, each with the time that it is sorted by.
pub(super) struct Arrived<F> {
    frames: Vec<(Duration, usize, Arrival, F)>,
    times: Vec<Option<Duration>>,
}

impl<F> Default for Arrived<F> {
    fn default() -> Self {
        Self { frames: Vec::new(), times: Vec::new() }
    }
}

impl<F> Arrived<F> {
    /// Takes over what was received on link number `at`; whether that is anything.
    fn take_from<L: Link<Frame = F>>(&mut self, at: usize, port: &mut Port<L>) -> bool {
        self.times.clear();
        if let Some(link) = &mut port.link {
            link.times(&mut self.times);
        }
        let any = !port.rx.is_empty();
        let mut times = self.times.iter();
        // What came by one link stays in its order, also where the time of some is not known.
        let mut sorted_by = Duration::ZERO;
        for frame in port.rx.drain(..) {
            let arrival = Arrival { link: at, time: times.next().copied().flatten() };
            sorted_by = sorted_by.max(arrival.time.unwrap_or_default());
            self.frames.push((sorted_by, self.frames.len(), arrival, frame));
        }
        any
    }
}

impl<L: Link> Server<L> {
    /// Receives on every link: one burst if it is answered at once, else all there is, so that a disk gets many requests together.
    pub(super) fn gather(&mut self) -> io::Result<usize> {
        for port in &mut self.ports {
            (port.received, port.open) = (0, port.link.is_some());
        }
        if let Some(mut arrived) = self.arrived.take() {
            let result = self.gather_in_order(&mut arrived);
            self.arrived = Some(arrived);
            return result;
        }
        let mut received = 0;
        for at in 0..self.ports.len() {
            while self.ports[at].open {
                let result = self.receive(at);
                let mut rx = std::mem::take(&mut self.ports[at].rx);
                received += rx.len();
                for frame in rx.drain(..) {
                    self.route(Arrival { link: at, time: None }, frame);
                }
                self.ports[at].rx = rx;
                self.ports[at].open &= self.ports[at].tx.is_empty();
                result?;
            }
        }
        Ok(received)
    }

    /// The same, a burst of each link at a time, and of these the frames in the order of their arrival, whichever way they came.
    /// [`Late`](crate::late::Late) is for what waited longer.
    fn gather_in_order(&mut self, arrived: &mut Arrived<L::Frame>) -> io::Result<usize> {
        let mut received = 0;
        loop {
            let (mut bursts, mut result) = (0, Ok(()));
            for at in 0..self.ports.len() {
                if self.ports[at].open {
                    result = result.and(self.receive(at));
                    bursts += usize::from(arrived.take_from(at, &mut self.ports[at]));
                }
            }
            received += arrived.frames.len();
            if bursts > 1 {
                arrived.frames.sort_unstable_by_key(|(time, number, ..)| (*time, *number));
            }
            for (.., arrival, frame) in arrived.frames.drain(..) {
                self.route(arrival, frame);
            }
            for port in &mut self.ports {
                port.open &= port.tx.is_empty();
            }
            result?;
            if self.ports.iter().all(|port| !port.open) {
                return Ok(received);
            }
        }
    }

    /// Receives a burst on a link, unless there is no room, and looks at the link as it then is.
    fn receive(&mut self, at: usize) -> io::Result<()> {
        let listening = self.has_room();
        let port = &mut self.ports[at];
        let mut result = Ok(());
        if listening && let Some(link) = &mut port.link {
            port.sweep.begin(link);
            result = link.recv(&mut port.rx);
            port.sweep.received(port.rx.len());
        }
        port.received += port.rx.len();
        port.open = !port.rx.is_empty() && port.received < MOST_GATHERED;
        self.stats.rx_frames += port.rx.len() as u64;
        if port.refresh() {
            self.advertise(at);
        }
        result
    }
}
