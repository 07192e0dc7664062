//! One attached target at work: tasks become frames, replies end them ([`Session`]).
//!
//! `send.rs` says what goes out and by which path, `reply.rs` judges what comes back, `timing.rs` what does not.

mod reply;
mod send;
mod timing;

use std::collections::VecDeque;
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{AFlags, Address, AtaArg, AtaCommand, ConfigInfo, Lba, MacAddr, SECTOR, Tag};
use bdev::{IoBuf, Op};
use slab::Slab;

use crate::emit::Dialect;
use crate::flight::{Flights, SlotId};
use crate::port::Port;
use crate::remote::Path;
use crate::rtt::Rtt;
use crate::task::{Origin, Task, Work};
pub(crate) use reply::Arrival;
pub(crate) use timing::query;

use crate::window::Window;
use crate::{AttachOptions, Completion, Control, Event, Failure, LinkId, Remote, RemoteId};

/// The shortest times until reads, writes and the rest are sent again: when nothing was answered, and when something later was.
///
/// A write is never hasty. Were it repeated, answered, and overwritten while the first sending is still on its way, by another path or a
/// long queue, that would undo the newer one. Other initiators wait as long (9front 20 ms, Linux 100 ms), and a target that knows
/// receive times counts on 10 ms.
const FLOORS: [(Duration, Duration); 3] = [
    (Duration::from_millis(20), Duration::from_millis(1)),
    (Duration::from_millis(20), Duration::from_millis(20)),
    (Duration::from_millis(250), Duration::from_millis(250)),
];

/// Paths that are remembered of one target.
const MAX_PATHS: usize = 32;

/// What a session works with, besides itself.
pub(crate) struct Air<'a, L: Link, B> {
    pub(crate) id: RemoteId,
    pub(crate) ports: &'a mut [Port<L>],
    pub(crate) flights: &'a mut Flights,
    pub(crate) events: &'a mut VecDeque<Event<B>>,
    pub(crate) now: Duration,
}

/// How far a target is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looked for until then.
    Seeking { until: Option<Duration> },
    /// Asked what its disk is.
    Identifying,
    /// Ready, or asked for nothing more.
    Settled,
    /// Not found, or not identified.
    Failed,
}

pub(crate) struct Session<B> {
    pub(crate) remote: Remote,
    pub(crate) stage: Stage,
    dialect: Dialect,
    window: Window,
    lanes: [Lane; 3],
    tasks: Slab<Task<B>>,
    /// Taken since the last turn.
    incoming: VecDeque<Task<B>>,
    /// Block requests that have pieces to be sent; also some that have none any more.
    unsent: VecDeque<usize>,
    /// Control requests to be sent, some of which may have ended: key and number.
    controls: VecDeque<(usize, u64)>,
    /// Block and control requests to be sent again; some have ended.
    again: VecDeque<SlotId>,
    controls_again: VecDeque<SlotId>,
    /// Block requests that the target refused, while it is asked what it takes.
    doubtful: Vec<(SlotId, Failure)>,
    /// Block requests in the order in which they were taken, some of which may have ended: key and number.
    order: VecDeque<(usize, u64)>,
    next_number: u64,
    /// Block requests in the air, and control requests.
    in_air: u32,
    controls_in_air: u32,
    next_path: usize,
    /// When something last came back.
    heard: Duration,
    /// No frame of a block request, no block request, and no control request is late before these.
    frames_due: Duration,
    waiting_due: Duration,
    controls_due: Duration,
    /// When to look for the target, or for more ways to it, by broadcast.
    seek_at: Option<Duration>,
    seek_pause: Duration,
    /// When to see whether dead paths live.
    probe_at: Option<Duration>,
}

/// Requests of one kind in the air, oldest first, and how long they take.
struct Lane {
    rtt: Rtt,
    sent: VecDeque<Sent>,
    /// The latest sending that was answered.
    newest: Duration,
    /// Sendings before it have been counted as a reason to wait longer.
    backed_off: Duration,
}

#[derive(Clone, Copy)]
struct Sent {
    slot: SlotId,
    tag: Tag,
    at: Duration,
}

impl<B: IoBuf> Session<B> {
    pub(crate) fn new(address: Address, options: AttachOptions) -> Self {
        let window = Window::new(options.window.max(1).into());
        let lane = |(floor, overtaken)| Lane {
            rtt: Rtt::new(floor, overtaken),
            sent: VecDeque::new(),
            newest: Duration::ZERO,
            backed_off: Duration::ZERO,
        };
        Self {
            remote: Remote::new(address, options),
            stage: Stage::Seeking { until: None },
            dialect: Dialect::default(),
            window,
            lanes: FLOORS.map(lane),
            tasks: Slab::new(),
            incoming: VecDeque::new(),
            unsent: VecDeque::new(),
            controls: VecDeque::new(),
            again: VecDeque::new(),
            controls_again: VecDeque::new(),
            doubtful: Vec::new(),
            order: VecDeque::new(),
            next_number: 0,
            in_air: 0,
            controls_in_air: 0,
            next_path: 0,
            heard: Duration::ZERO,
            frames_due: Duration::MAX,
            waiting_due: Duration::MAX,
            controls_due: Duration::MAX,
            seek_at: Some(Duration::ZERO),
            seek_pause: timing::FIRST_PAUSE,
            probe_at: None,
        }
    }

    /// Takes a request, which begins with the next turn.
    pub(crate) fn take(&mut self, task: Task<B>) {
        self.incoming.push_back(task);
    }

    /// Whether the next turn begins a request.
    pub(crate) fn has_work(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Requests that have not ended.
    pub(crate) fn load(&self) -> usize {
        self.tasks.len() + self.incoming.len()
    }

    fn admit<L: Link>(&mut self, air: &mut Air<'_, L, B>) {
        while let Some(mut task) = self.incoming.pop_front() {
            self.next_number += 1;
            (task.number, task.taken) = (self.next_number, air.now);
            let is_block = task.io().is_some();
            if !is_block {
                let deadline = air.now.saturating_add(task.deadline.unwrap_or(self.remote.options.deadline));
                task.deadline = Some(deadline);
                self.controls_due = self.controls_due.min(deadline);
            }
            let (number, idle, is_flush) = (task.number, task.is_over() && is_block, task.is_flush());
            let key = self.tasks.insert(task);
            match is_block {
                true => {
                    self.order.push_back((key, number));
                    self.waiting_due =
                        self.waiting_due.min(air.now.saturating_add(self.remote.options.deadline));
                    match idle {
                        true => self.end(key, air),
                        // What it is to make durable has been done already.
                        false if is_flush => self.unsent.push_front(key),
                        false => self.unsent.push_back(key),
                    }
                }
                false => self.controls.push_back((key, number)),
            }
        }
        // Those that ended out of order are left in the list; they must not make it long.
        if self.order.len() > 64 + 2 * self.tasks.len() {
            let tasks = &self.tasks;
            self.order.retain(|(key, number)| tasks.get(*key).is_some_and(|task| task.number == *number));
        }
        if self.controls.len() > 64 + 2 * self.tasks.len() {
            let tasks = &self.tasks;
            self.controls.retain(|(key, number)| tasks.get(*key).is_some_and(|task| task.number == *number));
        }
    }

    /// A piece of a task has ended.
    fn close<L: Link>(&mut self, key: usize, air: &mut Air<'_, L, B>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.open = task.open.saturating_sub(1);
        if !task.is_over() {
            return;
        }
        let durable =
            matches!(task.io().map(bdev::Io::op), Some(Op::Write { fua: true })) && !self.dialect.fua;
        if durable && self.dialect.flush && task.failure.is_none() && !task.is_flush() {
            task.flush_behind();
            return self.unsent.push_front(key);
        }
        self.end(key, air);
    }

    /// A task has ended: tells the caller, in order if that was asked for.
    fn end<L: Link>(&mut self, key: usize, air: &mut Air<'_, L, B>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.io().is_none() || !self.remote.options.in_order {
            return self.tell(key, air.now, air);
        }
        task.ended = Some(air.now);
        while let Some(&(key, number)) = self.order.front() {
            let ended = match self.tasks.get(key) {
                Some(task) if task.number == number => task.ended,
                _ => {
                    self.order.pop_front();
                    continue;
                }
            };
            let Some(ended) = ended else { return };
            self.order.pop_front();
            self.tell(key, ended, air);
        }
    }

    fn tell<L: Link>(&mut self, key: usize, ended: Duration, air: &mut Air<'_, L, B>) {
        let mut task = self.tasks.remove(key);
        let (status, latency) = (task.status(), ended.saturating_sub(task.taken));
        let failure = task.failure.take();
        match &mut task.work {
            Work::Io(io) => {
                let Some(io) = io.take() else { return };
                let completion = Completion { done: io.done(status), failure, latency };
                air.events.push_back(Event::Done(air.id, completion));
            }
            &mut Work::Control(_, origin) => {
                self.answered(origin, Err(failure.unwrap_or(Failure::Detached)), air);
            }
        }
    }

    /// Ends everything that has not ended, as `failure`.
    pub(crate) fn fail_all<L: Link>(&mut self, failure: &Failure, air: &mut Air<'_, L, B>) {
        self.admit(air);
        let keys: Vec<usize> = self.tasks.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.fail(key, failure.clone(), air);
        }
    }

    /// Ends a task now, whatever is in the air.
    fn fail<L: Link>(&mut self, key: usize, failure: Failure, air: &mut Air<'_, L, B>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.ended.is_some() {
            return;
        }
        task.failure.get_or_insert(failure);
        let (is_block, open) = (task.io().is_some(), std::mem::take(&mut task.open));
        let flights = if open > 0 { air.flights.of_task(air.id.0, key) } else { Vec::new() };
        for (slot, in_air) in flights {
            air.flights.remove(slot);
            if in_air {
                self.landed(is_block);
            }
        }
        self.end(key, air);
    }

    /// A request is not in the air any more.
    fn landed(&mut self, is_block: bool) {
        match is_block {
            true => self.in_air -= 1,
            false => self.controls_in_air -= 1,
        }
    }

    /// Asks the disk what it is, unless that was just asked.
    fn identify(&mut self) {
        let is_asked = |task: &Task<B>| matches!(task.work, Work::Control(_, Origin::Identify));
        if !self.incoming.iter().any(is_asked) && !self.tasks.iter().any(|(_, task)| is_asked(task)) {
            let arg = AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags(0), Lba::ZERO, 1);
            let control = Control::Ata { arg, data: Vec::new(), expect: SECTOR };
            self.take(Task::new(Work::Control(control, Origin::Identify), None, None));
        }
    }

    /// A config reply of this target: a path, new or known, works.
    pub(crate) fn met(&mut self, link: LinkId, mac: MacAddr, config: ConfigInfo, asked: bool, now: Duration) {
        let paths = &mut self.remote.paths;
        let known = paths.iter_mut().find(|path| (path.link, path.mac) == (link, mac));
        let news = known.is_none();
        let path = Path { link, mac, alive: true, config, lost: 0, heard: now };
        if let Some(known) = known {
            (known.config, known.heard) = (config, now);
            // A dead one may carry short frames only, so it is probed with long ones, unless there is no other.
            if !paths.iter().any(|path| path.alive) {
                paths
                    .iter_mut()
                    .filter(|path| (path.link, path.mac) == (link, mac))
                    .for_each(|path| path.alive = true);
            }
        } else if paths.len() < MAX_PATHS {
            paths.push(path);
        } else if let Some(worst) = paths.iter_mut().max_by_key(|path| (!path.alive, path.lost)) {
            // Requests know their path by its place.
            *worst = path;
        }
        match self.stage {
            Stage::Seeking { .. } | Stage::Failed if self.remote.options.identify => {
                self.stage = Stage::Identifying;
                self.identify();
            }
            Stage::Seeking { .. } => self.stage = Stage::Settled,
            // It has started anew, or its disk has changed.
            Stage::Settled if self.remote.options.identify && (news || !asked) => self.identify(),
            _ => {}
        }
    }
}
