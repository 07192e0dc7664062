//! From a frame that has arrived to the targets that it is for.

use aoe_wire::{Address, Packet};
use bdev::IoBuf;

use super::{CROWDED, PARTED, Server, book};
use crate::port::{Arrival, Port};
use crate::{Frame, Link, head};

impl<L: Link> Server<L> {
    /// Gives a frame to its target, or a copy to each target that a wildcard matches.
    pub(super) fn route(&mut self, arrival: Arrival, frame: L::Frame) {
        let port = &mut self.ports[arrival.link];
        let Ok(Packet { eth, aoe, .. }) = Packet::parse_headers(frame.bytes()) else {
            return port.recycle(frame);
        };
        let address = aoe.address();
        if aoe.ver_flags.is_response() {
            let (ours, from) = (port.routes.find(address).is_some(), eth.src);
            port.recycle(frame);
            // Two links on one segment hear each other's advertisements.
            if ours && self.ports.iter().all(|port| port.link.is_none() || port.info.mac != from) {
                self.stats.address_conflicts += 1;
                self.conflict = Some((address, from));
            }
        } else if address.is_wildcard() {
            self.route_wildcard(arrival, address, frame);
        } else if let Some(number) = port.routes.find(address) {
            self.deliver(arrival, number, frame);
        } else {
            port.recycle(frame);
        }
    }

    fn route_wildcard(&mut self, arrival: Arrival, address: Address, frame: L::Frame) {
        let at = arrival.link;
        if !self.wildcards.has_any() {
            self.stats.wildcards_dropped += 1;
            return self.ports[at].recycle(frame);
        }
        let replies = self.ports[at].tx.len();
        let mut frame = Some(frame);
        let mut next = self.ports[at].routes.matching(address, 0);
        while let Some((place, number)) = next {
            let port = &mut self.ports[at];
            next = port.routes.matching(address, place + 1);
            let one = match next {
                None => frame.take(),
                Some(_) => frame.as_ref().and_then(|frame| copy(frame, port)),
            };
            match one {
                Some(one) => self.deliver(arrival, number, one),
                None => self.stats.no_frame += 1,
            }
        }
        if let Some(frame) = frame {
            self.ports[at].recycle(frame);
        }
        self.wildcards.spend(self.ports[at].tx.len() - replies);
    }

    /// Gives a frame to export number `number`.
    fn deliver(&mut self, arrival: Arrival, number: usize, frame: L::Frame) {
        let Self { ports, exports, busy, in_flight, stats, now, .. } = self;
        let port = &mut ports[arrival.link];
        let crowded = *in_flight >= CROWDED;
        let parted = crowded && exports.iter().nth(1).is_some();
        let Some(export) = exports.get_mut(number) else { return port.recycle(frame) };
        let refused = crowded && export.has_its_share(&frame)
            || parted && export.has_its_part(PARTED, busy.len())
            || port.sweep.refuses(number, export.share(), &frame);
        if refused {
            stats.over_share += 1;
            return port.recycle(frame);
        }
        let (before, dropped) = (export.load(), export.target.stats().late_writes);
        export.receive(arrival, *now, frame, ports, stats);
        let is_late = export.target.stats().late_writes != dropped;
        book(export, number, before, in_flight, busy);
        if is_late {
            self.late = Some(self.id(number));
        }
    }
}

/// A copy of a wildcard request: its beginning, which holds all that such a request can mean.
fn copy<L: Link>(frame: &L::Frame, port: &mut Port<L>) -> Option<L::Frame> {
    let mut copy = port.link.as_mut()?.alloc()?;
    let copied = head::view(frame, |bytes| {
        let fits = bytes.len() <= copy.capacity();
        if fits {
            copy.set_len(bytes.len());
            head::scatter(&mut copy, bytes);
        }
        fits
    });
    if copied {
        return Some(copy);
    }
    port.recycle(copy);
    None
}
