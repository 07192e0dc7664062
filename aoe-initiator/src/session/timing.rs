//! What does not come back: requests to be sent again, deadlines, targets and paths to be looked for.

use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{
    AFlags, Address, AtaArg, AtaCommand, ConfigCommand, Lba, MacAddr, RequestHeader, SECTOR, Tag,
    build_config,
};
use bdev::IoBuf;

use super::send::is_up;
use super::{Air, Lane, Session, Stage};
use crate::port::Port;
use crate::task::{Kind, Origin, Task, Work};
use crate::{AttachOptions, Control, Event, Failure};

/// Between the first two queries for a target; each later pause is twice as long.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a dead path is tried.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// Losses in a row after which a path counts as dead, if there is another.
const DEAD: u32 = 3;

/// Timeouts in a row after which the target is looked for by broadcast: it may have moved.
const TROUBLE: u32 = 2;

impl Lane {
    /// When the oldest request counts as lost, and whether a later one has been answered.
    fn expiry(&self) -> Option<(Duration, bool)> {
        let oldest = self.sent.front()?;
        let overtaken = self.newest > oldest.at;
        let patience = if overtaken { self.rtt.overtaken() } else { self.rtt.timeout() };
        Some((oldest.at + patience, overtaken))
    }
}

impl<B: IoBuf> Session<B> {
    /// Notes what was lost and ends what is late. To be called when everything that arrived has been looked at.
    pub(crate) fn expire<L: Link>(&mut self, air: &mut Air<'_, L, B>) {
        for kind in 0..self.lanes.len() {
            self.drop_answered(kind, air);
            while let Some((at, overtaken)) = self.lanes[kind].expiry()
                && at <= air.now
            {
                self.lose(kind, overtaken, air);
                self.drop_answered(kind, air);
            }
        }
        self.end_late(air);
        if let Stage::Seeking { until: Some(until) } = self.stage
            && until <= air.now
        {
            self.give_up(&Failure::NotFound, air);
        }
        self.probe(air);
    }

    /// When to look again though nothing arrives.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let lanes = self.lanes.iter().filter_map(|lane| Some(lane.expiry()?.0));
        let seeking = match self.stage {
            Stage::Seeking { until } => until,
            _ => None,
        };
        // Lower bounds, so that it may be looked in vain.
        let due = [self.frames_due, self.waiting_due, self.controls_due];
        let due = due.into_iter().filter(|due| *due < Duration::MAX);
        lanes.chain(due).chain(seeking).chain(self.seek_due()).chain(self.probe_at).min()
    }

    /// Drops from the front of a lane what is not waited for any more.
    fn drop_answered<L: Link>(&mut self, kind: usize, air: &Air<'_, L, B>) {
        let sent = &mut self.lanes[kind].sent;
        while sent.front().is_some_and(|front| !air.flights.is_awaited(front.slot, front.tag)) {
            sent.pop_front();
        }
    }

    /// The oldest request of a lane counts as lost: it is to be sent again, and the network spared.
    fn lose<L: Link>(&mut self, kind: usize, overtaken: bool, air: &mut Air<'_, L, B>) {
        let lane = &mut self.lanes[kind];
        let Some(lost) = lane.sent.pop_front() else { return };
        let Some(flight) = air.flights.get_mut(lost.slot) else { return };
        flight.in_air = false;
        let (path, is_block) =
            (flight.path, self.tasks.get(flight.task).is_some_and(|task| task.io().is_some()));
        if !overtaken && lost.at >= lane.backed_off {
            lane.rtt.back_off();
            lane.backed_off = air.now;
            self.remote.stats.timeouts += 1;
        }
        self.landed(is_block);
        match is_block {
            true => self.again.push_back(lost.slot),
            false => self.controls_again.push_back(lost.slot),
        }
        if is_block {
            // A flush or a trim may take any time; that says nothing of the network.
            if kind == Kind::Other as usize {
                return;
            }
            match overtaken {
                true => self.window.halve(lost.at, air.now),
                false => self.window.collapse(lost.at, air.now),
            }
        }
        self.blame(path, air.ports);
    }

    /// Counts a loss on a path, which is given up when there are many and another is left.
    fn blame<L: Link>(&mut self, at: usize, ports: &[Port<L>]) {
        let paths = &mut self.remote.paths;
        let others =
            paths.iter().enumerate().any(|(other, path)| other != at && path.alive && is_up(path, ports));
        if let Some(path) = paths.get_mut(at) {
            path.lost += 1;
            if path.lost >= DEAD && path.alive && others {
                path.alive = false;
                self.remote.stats.failovers += 1;
            }
        }
    }

    /// Ends block requests of which a frame has had no answer for the deadline, those that were taken when nothing at all has been
    /// answered for as long, and control requests that are late.
    fn end_late<L: Link>(&mut self, air: &mut Air<'_, L, B>) {
        let deadline = self.remote.options.deadline;
        let mut late = Vec::new();
        if self.frames_due <= air.now {
            self.frames_due = Duration::MAX;
            for (key, since) in air.flights.of_session(air.id.0) {
                let due = since.saturating_add(deadline);
                match self.tasks.get(key).is_some_and(|task| task.io().is_some()) {
                    true if due <= air.now => late.push(key),
                    true => self.frames_due = self.frames_due.min(due),
                    false => {}
                }
            }
        }
        if self.waiting_due <= air.now {
            self.waiting_due = Duration::MAX;
            for (key, number) in &self.order {
                let live = self.tasks.get(*key).filter(|task| task.number == *number && task.ended.is_none());
                let Some(task) = live else { continue };
                let due = task.taken.max(self.heard).saturating_add(deadline);
                if due > air.now {
                    // Those behind were taken later.
                    self.waiting_due = due;
                    break;
                }
                late.push(*key);
            }
        }
        if self.controls_due <= air.now {
            self.controls_due = Duration::MAX;
            for (key, task) in self.tasks.iter().filter(|(_, task)| task.io().is_none()) {
                match task.deadline {
                    Some(due) if due <= air.now => late.push(key),
                    Some(due) => self.controls_due = self.controls_due.min(due),
                    None => {}
                }
            }
        }
        for key in late {
            let failure = self.lateness(key, air);
            self.fail(key, failure, air);
        }
    }

    /// Why a task that is late has not been done.
    fn lateness<L: Link>(&self, key: usize, air: &Air<'_, L, B>) -> Failure {
        let Some(task) = self.tasks.get(key) else { return Failure::Detached };
        if let Some(code) = task.refused {
            return Failure::Aoe { code, holders: Vec::new(), string: Vec::new() };
        }
        if self.remote.paths.is_empty() {
            return Failure::NotFound;
        }
        let flights = air.flights.of_task(air.id.0, key);
        let mut waited = air.now.saturating_sub(task.taken.max(self.heard));
        let mut sent = 0;
        for flight in flights.iter().filter_map(|(slot, _)| air.flights.get(*slot)) {
            waited = waited.max(air.now.saturating_sub(flight.since()));
            sent = sent.max(flight.tries());
        }
        Failure::Timeout { waited, sent }
    }

    pub(super) fn give_up<L: Link>(&mut self, failure: &Failure, air: &mut Air<'_, L, B>) {
        self.stage = Stage::Failed;
        air.events.push_back(Event::Failed(air.id, failure.clone()));
        self.fail_all(failure, air);
    }

    /// When to ask for the target by broadcast, if that is needed.
    fn seek_due(&self) -> Option<Duration> {
        let wanted = match self.stage {
            Stage::Seeking { .. } => true,
            Stage::Failed => false,
            _ => self.load() > 0 && self.lanes.iter().any(|lane| lane.rtt.doubled() >= TROUBLE),
        };
        self.seek_at.filter(|_| wanted)
    }

    pub(super) fn seek<L: Link>(&mut self, air: &mut Air<'_, L, B>) {
        if let Stage::Seeking { until: until @ None } = &mut self.stage {
            let AttachOptions { seek, deadline, .. } = self.remote.options;
            *until = Some(air.now.saturating_add(seek.unwrap_or(deadline)));
        }
        if self.seek_due().is_some_and(|at| at <= air.now) {
            let tag = air.flights.query(air.now);
            for port in air.ports.iter_mut().filter(|port| port.info.up) {
                query(port, self.remote.address, ConfigCommand::READ, &[], tag);
            }
            self.seek_at = Some(air.now + self.seek_pause);
            self.seek_pause = (self.seek_pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks dead paths whether they live, now and then.
    fn probe<L: Link>(&mut self, air: &Air<'_, L, B>) {
        if self.remote.paths.iter().all(|path| path.alive) {
            self.probe_at = None;
            return;
        }
        if *self.probe_at.get_or_insert(air.now) > air.now {
            return;
        }
        self.probe_at = Some(air.now + PROBE_PAUSE);
        let dead = self.remote.paths.iter().filter(|path| !path.alive && is_up(path, air.ports));
        for only in dead.map(|path| (path.link, path.mac)).collect::<Vec<_>>() {
            let work = Work::Control(self.probe_control(), Origin::Probe);
            self.take(Task::new(work, Some(PROBE_PAUSE), Some(only)));
        }
    }

    /// A request that shows that a path works: with frames as long as any, both ways, once the disk is known. A read may carry data,
    /// which means nothing.
    fn probe_control(&self) -> Control {
        let lba = Lba::from_lba48(0).filter(|_| self.remote.disk.is_some() && self.dialect.lba48);
        let Some(lba) = lba else { return Control::query() };
        let sectors = self.remote.sectors_per_frame;
        let bytes = usize::from(sectors) * SECTOR;
        let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, lba, sectors);
        Control::Ata { arg, data: vec![0; bytes], expect: bytes }
    }
}

/// Queues a query to everybody for `address`.
pub(crate) fn query<L: Link>(
    port: &mut Port<L>,
    address: Address,
    command: ConfigCommand,
    string: &[u8],
    tag: Tag,
) {
    let header = RequestHeader { dst: MacAddr::BROADCAST, src: port.info.mac, address, tag };
    // One that is too long for the link finds nobody there, and one that the link has no frame for is repeated by who asks.
    let _ = port.queue(|frame: &mut L::Frame| build_config(frame.bytes_mut(), header, command, string));
}
