//! What goes out: pieces of tasks, as the window allows, by the paths in turn.

use aoe_l2::Link;
use aoe_wire::{ATA_HEADER_LEN, MacAddr, RequestHeader, SECTOR, max_sectors_fitting};
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
        let stalled = self.send_controls(air) | self.send_blocks(air);
        self.publish();
        stalled
    }

    /// Works out the largest request that every path in use carries, and how many the target queues.
    fn measure<L: Link>(&mut self, ports: &[Port<L>]) {
        let (paths, wanted) = (&self.remote.paths, &self.remote.options);
        let usable = || paths.iter().filter(|path| path.alive && carried(path, ports) > 0);
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

    /// Sends control requests, as many as the target has room for. Those that cannot be sent now, perhaps because their path is not
    /// there, do not keep others. Returns whether one found no room.
    fn send_controls<L: Link>(&mut self, air: &mut Air<'_, L, B>) -> bool {
        let mut stalled = false;
        let room = |session: &Self| {
            let in_air = session.in_air + session.controls_in_air;
            in_air == 0 || in_air < session.window.limit()
        };
        for _ in 0..self.controls_again.len() {
            let Some(slot) = (if room(self) { self.controls_again.pop_front() } else { None }) else { break };
            if self.is_lost(slot, air)
                && let Launch::Later { stall } = self.launch(slot, air)
            {
                self.controls_again.push_back(slot);
                stalled |= stall;
            }
        }
        for _ in 0..self.controls.len() {
            let Some((key, number)) = (if room(self) { self.controls.pop_front() } else { None }) else {
                break;
            };
            let Some(task) = self.tasks.get_mut(key).filter(|task| task.number == number) else { continue };
            let launch = match air.flights.insert(Flight::new(air.id.0, key, Default::default())) {
                Err(_) => Launch::Later { stall: true },
                Ok(slot) => {
                    task.open = 1;
                    let launch = self.launch(slot, air);
                    if matches!(launch, Launch::Later { .. }) {
                        air.flights.remove(slot);
                        self.tasks[key].open = 0;
                    }
                    launch
                }
            };
            if let Launch::Later { stall } = launch {
                self.controls.push_back((key, number));
                stalled |= stall;
            }
        }
        stalled
    }

    /// Sends block requests, as many as the window allows, lost ones first. Returns whether one found no room.
    fn send_blocks<L: Link>(&mut self, air: &mut Air<'_, L, B>) -> bool {
        let room = |session: &Self| {
            session.in_air == 0 || session.in_air + session.controls_in_air < session.window.size()
        };
        while room(self)
            && let Some(slot) = self.again.pop_front()
        {
            if self.is_lost(slot, air)
                && let Launch::Later { stall } = self.launch(slot, air)
            {
                self.again.push_front(slot);
                return stall;
            }
        }
        while room(self)
            && let Some(&key) = self.unsent.front()
        {
            let most = self.remote.sectors_per_frame;
            let Some(task) = self.tasks.get_mut(key).filter(|task| task.has_more()) else {
                self.unsent.pop_front();
                continue;
            };
            let Some(piece) = task.cut(most) else { break };
            let Ok(slot) = air.flights.insert(Flight::new(air.id.0, key, piece)) else {
                task.uncut(piece);
                return true;
            };
            if let Launch::Later { stall } = self.launch(slot, air) {
                air.flights.remove(slot);
                if let Some(task) = self.tasks.get_mut(key) {
                    task.uncut(piece);
                }
                return stall;
            }
        }
        false
    }

    /// Whether a request is to be sent again. The slot may have got another since: one that is in the air, or another session's. And the
    /// task may have failed elsewhere: what was lost is then not needed any more.
    fn is_lost<L: Link>(&mut self, slot: SlotId, air: &mut Air<'_, L, B>) -> bool {
        let lost = air.flights.get(slot).filter(|flight| !flight.in_air && flight.session == air.id.0);
        let Some(key) = lost.map(|flight| flight.task) else { return false };
        if self.tasks.get(key).is_some_and(|task| task.failure.is_none()) {
            return true;
        }
        air.flights.remove(slot);
        self.close(key, air);
        false
    }

    /// Sends a request by the next path, the first time or once more.
    fn launch<L: Link>(&mut self, slot: SlotId, air: &mut Air<'_, L, B>) -> Launch {
        let Some(flight) = air.flights.get_mut(slot) else { return Launch::Over };
        let key = flight.task;
        let Some(task) = self.tasks.get_mut(key) else { return Launch::Over };
        let last = (flight.tries() > 0).then_some(flight.path);
        // Sectors can be sent one by one, if need be.
        let need =
            if task.has_data() { ATA_HEADER_LEN + SECTOR } else { emit::frame_len(task, flight.piece) };
        let choice = Choice { only: task.only, last, need };
        let Some(path) = choice.of(&self.remote.paths, &mut self.next_path, air.ports) else {
            return match choice.longest(&self.remote.paths, air.ports) {
                Some(have) => self.refuse(slot, Failure::TooLong { need, have }, air),
                // A link that comes up has an event of its own.
                None => Launch::Later { stall: false },
            };
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
        let Some(tag) = sent else { return Launch::Later { stall: true } };
        match first {
            true => self.remote.stats.requests += 1,
            false => self.remote.stats.retransmits += 1,
        }
        let kind = task.kind();
        match task.io().is_some() {
            true => {
                self.in_air += 1;
                let since = air.flights.get(slot).map_or(air.now, Flight::since);
                self.frames_due = self.frames_due.min(since.saturating_add(self.remote.options.deadline));
            }
            false => self.controls_in_air += 1,
        }
        self.lanes[kind as usize].sent.push_back(Sent { slot, tag, at: air.now });
        Launch::Over
    }

    /// Ends a request that cannot be sent at all.
    fn refuse<L: Link>(&mut self, slot: SlotId, failure: Failure, air: &mut Air<'_, L, B>) -> Launch {
        if let Some(flight) = air.flights.remove(slot) {
            if let Some(task) = self.tasks.get_mut(flight.task) {
                task.failure.get_or_insert(failure);
            }
            self.close(flight.task, air);
        }
        Launch::Over
    }
}

/// What became of a request that was to be sent.
enum Launch {
    /// It was sent, or has ended.
    Over,
    /// It cannot be sent now: for want of a frame or of room, if that is a stall, else of a path.
    Later { stall: bool },
}

/// What a path must be.
struct Choice {
    /// This one and no other.
    only: Option<(LinkId, MacAddr)>,
    /// Not this one, if there is another.
    last: Option<usize>,
    /// Bytes of the shortest frame that does.
    need: usize,
}

/// Sectors that a path takes at once: what the target offers by it and the link carries.
pub(super) fn sectors<L: Link>(path: &Path, ports: &[Port<L>]) -> u8 {
    let offered = if path.config.sector_count == 0 { DEFAULT_SECTORS } else { path.config.sector_count };
    offered.min(carried(path, ports)).max(1)
}

/// Sectors that fit a frame of the path's link.
fn carried<L: Link>(path: &Path, ports: &[Port<L>]) -> u8 {
    ports.get(path.link.0).map_or(0, |port| max_sectors_fitting(port.info.mtu as usize))
}

impl Choice {
    /// The next path in turn that lives and whose link is up; another than the last, if there is one.
    fn of<L: Link>(&self, paths: &[Path], next: &mut usize, ports: &[Port<L>]) -> Option<usize> {
        let fits = |at: usize| {
            self.admits(&paths[at], ports)
                && ports.get(paths[at].link.0).is_some_and(|port| port.longest() >= self.need)
        };
        let start = *next;
        let turn = || (0..paths.len()).map(|step| (start + step) % paths.len()).filter(|&at| fits(at));
        let other = || turn().filter(|&at| paths[at].alive && Some(at) != self.last);
        let found = match self.last {
            None => other().next(),
            // What was lost by one goes by that which was heard of last.
            Some(_) => other().max_by_key(|&at| paths[at].heard),
        };
        let found = found.or_else(|| turn().find(|&at| paths[at].alive)).or_else(|| turn().next())?;
        if self.only.is_none() {
            *next = found + 1;
        }
        Some(found)
    }

    /// Bytes of the longest frame that any path carries that is up.
    fn longest<L: Link>(&self, paths: &[Path], ports: &[Port<L>]) -> Option<usize> {
        let up = paths.iter().filter(|path| self.admits(path, ports));
        up.filter_map(|path| Some(ports.get(path.link.0)?.longest())).max()
    }

    fn admits<L: Link>(&self, path: &Path, ports: &[Port<L>]) -> bool {
        self.only.is_none_or(|only| only == (path.link, path.mac)) && is_up(path, ports)
    }
}

pub(super) fn is_up<L: Link>(path: &Path, ports: &[Port<L>]) -> bool {
    ports.get(path.link.0).is_some_and(|port| port.info.up)
}
