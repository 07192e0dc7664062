//! What goes out: pieces of tasks, as the window allows, by the paths in turn.

use aoe_l2::Link;
use aoe_wire::{MacAddr, RequestHeader, max_sectors_fitting};
use bdev::IoBuf;

use super::{Air, Sent, Session};
use crate::emit;
use crate::flight::{Flight, SlotId};
use crate::port::Port;
use crate::remote::Path;
use crate::{Failure, LinkId};

/// Sectors of a target that advertises none (AoEr11 §3.2).
const DEFAULT_SECTORS: u8 = 2;

impl<B: IoBuf> Session<B> {
    /// Begins what was taken, and sends what can be sent. Returns whether it had to stop for want of a frame or of room.
    pub(crate) fn pump<L: Link>(&mut self, air: &mut Air<'_, L, B>) -> bool {
        self.admit(air);
        self.seek(air);
        if self.remote.paths.is_empty() {
            return false;
        }
        self.measure(air.ports);
        let all = self.send_controls(air) & self.send_blocks(air);
        self.publish();
        // A link that comes up has an event of its own.
        !all && self.remote.paths.iter().any(|path| is_up(path, air.ports))
    }

    /// Works out the largest request that every path in use carries, and how many the target queues.
    fn measure<L: Link>(&mut self, ports: &[Port<L>]) {
        let (paths, wanted) = (&self.remote.paths, &self.remote.options);
        let usable = || paths.iter().filter(|path| path.alive);
        let least = usable().map(|path| sectors(path, ports)).min().unwrap_or(1);
        let queue = usable().map(|path| path.config.buffer_count.max(1)).min().unwrap_or(1);
        self.window.set_limit(queue.min(wanted.window.max(1)).into());
        self.remote.sectors_per_frame = least.min(wanted.max_sectors.max(1));
    }

    fn publish(&mut self) {
        self.remote.window = self.window.size();
        self.remote.in_flight = self.in_air as usize;
        let [reads, writes, _] = &self.lanes;
        self.remote.rtt = reads.rtt.smoothed().or(writes.rtt.smoothed());
    }

    fn send_controls<L: Link>(&mut self, air: &mut Air<'_, L, B>) -> bool {
        let mut all = true;
        // Those that cannot be sent now, perhaps because their path is not there, do not keep others.
        for _ in 0..self.controls.len() {
            let Some((key, number)) = self.controls.pop_front() else { break };
            let Some(task) = self.tasks.get_mut(key).filter(|task| task.number == number) else { continue };
            task.open = 1;
            let flight = Flight::new(air.id.0, key, Default::default());
            let slot = air.flights.insert(flight).ok().filter(|slot| {
                let sent = self.launch(*slot, air);
                if !sent {
                    air.flights.remove(*slot);
                }
                sent
            });
            if slot.is_none() {
                if let Some(task) = self.tasks.get_mut(key).filter(|task| task.number == number) {
                    task.open = 0;
                }
                self.controls.push_back((key, number));
                all = false;
            }
        }
        all
    }

    fn send_blocks<L: Link>(&mut self, air: &mut Air<'_, L, B>) -> bool {
        for _ in 0..self.again.len() {
            let Some(slot) = self.again.pop_front() else { break };
            // The slot may have got another request since: one that is in the air, or another session's.
            let lost = air.flights.get(slot).filter(|flight| !flight.in_air && flight.session == air.id.0);
            let Some(key) = lost.map(|flight| flight.task) else { continue };
            let Some(task) = self.tasks.get(key).filter(|task| task.failure.is_none()) else {
                // It has failed elsewhere: what was lost is not needed any more.
                air.flights.remove(slot);
                self.close(key, air);
                continue;
            };
            let is_block = task.io().is_some();
            if is_block && self.in_air >= self.window.size() {
                self.again.push_front(slot);
                return true;
            }
            if !self.launch(slot, air) {
                // What may take one path only does not keep the others.
                match is_block {
                    true => self.again.push_front(slot),
                    false => self.again.push_back(slot),
                }
                if is_block {
                    return false;
                }
            }
        }
        while self.in_air < self.window.size() {
            let Some(&key) = self.unsent.front() else { return true };
            let most = self.remote.sectors_per_frame;
            let Some(task) = self.tasks.get_mut(key).filter(|task| task.has_more()) else {
                self.unsent.pop_front();
                continue;
            };
            let Some(piece) = task.cut(most) else { return true };
            let Ok(slot) = air.flights.insert(Flight::new(air.id.0, key, piece)) else {
                task.uncut(piece);
                return false;
            };
            if !self.launch(slot, air) {
                air.flights.remove(slot);
                if let Some(task) = self.tasks.get_mut(key) {
                    task.uncut(piece);
                }
                return false;
            }
        }
        true
    }

    /// Sends a request by the next path, the first time or once more. False when it cannot be sent now.
    fn launch<L: Link>(&mut self, slot: SlotId, air: &mut Air<'_, L, B>) -> bool {
        let Some(flight) = air.flights.get_mut(slot) else { return true };
        let key = flight.task;
        let Some(task) = self.tasks.get_mut(key) else { return true };
        let last = (flight.tries() > 0).then_some(flight.path);
        let Some(path) = choose(&self.remote.paths, task.only, &mut self.next_path, last, air.ports) else {
            return false;
        };
        let Path { link, mac, .. } = self.remote.paths[path];
        let most = sectors(&self.remote.paths[path], air.ports);
        let port = &mut air.ports[link.0];
        // The MTU of either end may have shrunk since the piece was cut.
        if task.has_data() && flight.piece.sectors > most.into() {
            let had_more = task.has_more();
            task.shorten(&mut flight.piece, most);
            if !had_more {
                self.unsent.push_back(key);
            }
        }
        let (need, have) = (emit::frame_len(task, flight.piece), port.longest());
        if need > have {
            return self.refuse(slot, Failure::TooLong { need, have }, air);
        }
        let (piece, first) = (flight.piece, flight.tries() == 0);
        let (src, address, dialect) = (port.info.mac, self.remote.address, self.dialect);
        let (flights, now) = (&mut *air.flights, air.now);
        let mut sent = None;
        let queued = port.queue(|frame| {
            let tag = flights.send(slot, path, now);
            sent = Some(tag);
            emit::write(frame, RequestHeader { dst: mac, src, address, tag }, task, piece, dialect)
        });
        if let Err(error) = queued {
            return self.refuse(slot, Failure::Request(error), air);
        }
        let Some(tag) = sent else { return false };
        match first {
            true => self.remote.stats.requests += 1,
            false => self.remote.stats.retransmits += 1,
        }
        let kind = task.kind();
        if task.io().is_some() {
            self.in_air += 1;
        }
        self.lanes[kind as usize].sent.push_back(Sent { slot, tag, at: air.now });
        true
    }

    /// Ends a request that cannot be sent at all. True, as for one that was sent.
    fn refuse<L: Link>(&mut self, slot: SlotId, failure: Failure, air: &mut Air<'_, L, B>) -> bool {
        if let Some(flight) = air.flights.remove(slot) {
            if let Some(task) = self.tasks.get_mut(flight.task) {
                task.failure.get_or_insert(failure);
            }
            self.close(flight.task, air);
        }
        true
    }
}

/// Sectors that a path takes at once: what the target offers by it and the link carries.
pub(super) fn sectors<L: Link>(path: &Path, ports: &[Port<L>]) -> u8 {
    let offered = if path.config.sector_count == 0 { DEFAULT_SECTORS } else { path.config.sector_count };
    let carried = ports.get(path.link.0).map_or(1, |port| max_sectors_fitting(port.info.mtu as usize));
    offered.min(carried).max(1)
}

/// The next path in turn: one that was not just tried, if there is another, that lives and whose link is up.
fn choose<L: Link>(
    paths: &[Path],
    only: Option<(LinkId, MacAddr)>,
    next: &mut usize,
    last: Option<usize>,
    ports: &[Port<L>],
) -> Option<usize> {
    let up = |path: &Path| is_up(path, ports);
    if let Some(only) = only {
        return paths.iter().position(|path| (path.link, path.mac) == only && up(path));
    }
    let start = *next;
    let turn = || (0..paths.len()).map(|step| (start + step) % paths.len());
    let found = turn()
        .find(|&at| paths[at].alive && up(&paths[at]) && Some(at) != last)
        .or_else(|| turn().find(|&at| paths[at].alive && up(&paths[at])))
        .or_else(|| turn().find(|&at| up(&paths[at])))?;
    *next = found + 1;
    Some(found)
}

pub(super) fn is_up<L: Link>(path: &Path, ports: &[Port<L>]) -> bool {
    ports.get(path.link.0).is_some_and(|port| port.info.up)
}
