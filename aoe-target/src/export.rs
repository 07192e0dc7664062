//! One disk at work: a target, its queue, and what is in flight between them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use bdev::{DeviceInfo, Done, Io, IoQueue, Status, Submit};

use crate::change::{Change, EditState, Edited, SaveState};
use crate::inflight::{Inflight, Key, Origin};
use crate::initiators::{self, Initiator, Initiators, source};
use crate::lanes::Lanes;
use crate::late::Late;
use crate::limit::Limit;
use crate::port::{Arrival, Port};
use crate::recent::{Recent, Seen};
use crate::tap::{self, Direction, Tap};
use crate::{Frame, Link, ServerStats, Step, Target};

/// A queue, and what its disk is.
pub type OpenDisk<F> = (Box<dyn IoQueue<F>>, DeviceInfo);

/// Ended requests that are answered before the links are looked after again: while many were answered, the initiators' next requests
/// would wait, and the disk would have nothing to do.
const AT_A_TIME: usize = 8;

pub(crate) struct Export<F> {
    pub(crate) target: Target,
    /// Whether the server's list of busy exports has this one.
    pub(crate) busy: bool,
    /// Whether it gets no more frames, and is dropped when those that it has are answered.
    pub(crate) leaving: bool,
    /// `None` while the disk is gone.
    queue: Option<Box<dyn IoQueue<F>>>,
    /// Queues before it, until what they were given has ended.
    retired: Vec<Box<dyn IoQueue<F>>>,
    save: SaveState,
    inflight: Inflight<F>,
    /// Requests that may start, when they are within what initiators may use.
    limit: Option<Limit<F>>,
    /// Requests that may start, when the queue has room.
    ready: Lanes<Io<F>>,
    /// Those among them that no earlier one keeps any more, on their way there.
    freed: VecDeque<Io<F>>,
    initiators: Initiators,
    recent: Recent,
    pub(crate) tap: Option<Tap>,
    /// The time of the turn, in nanoseconds.
    now: u64,
    done: Vec<Done<F>>,
    /// A change of state that waits for the writes in flight, and the frames that arrived after it.
    change: Option<Change<F>>,
    /// Changes that come after it, and before those frames.
    edits: VecDeque<Change<F>>,
    /// Each with the time of the turn that took it.
    held: VecDeque<(Arrival, u64, F)>,
    /// Where a disk has one link only, nothing overtakes.
    late: Option<Late>,
    #[cfg(feature = "sabotage")]
    sabotage: crate::Sabotage,
}

impl<F: Frame> Export<F> {
    pub(crate) fn new(target: Target, queue: Box<dyn IoQueue<F>>, save: SaveState) -> Self {
        Self {
            limit: Limit::new(target.options()),
            target,
            busy: false,
            leaving: false,
            queue: Some(queue),
            retired: Vec::new(),
            save,
            inflight: Inflight::new(),
            ready: Lanes::new(),
            freed: VecDeque::new(),
            initiators: Initiators::default(),
            recent: Recent::new(),
            tap: None,
            now: 0,
            done: Vec::new(),
            change: None,
            edits: VecDeque::new(),
            held: VecDeque::new(),
            late: None,
            #[cfg(feature = "sabotage")]
            sabotage: crate::Sabotage::default(),
        }
    }

    /// Requests that were taken and not answered.
    pub(crate) fn load(&self) -> usize {
        self.inflight.len() + self.held.len() + usize::from(self.change.is_some())
    }

    /// Whether a request waits for its limit, for room in the queue, or to be answered.
    pub(crate) fn is_stalled(&self) -> bool {
        self.limit.as_ref().is_some_and(Limit::is_stalled) || !self.ready.is_empty() || !self.done.is_empty()
    }

    /// The initiators that have used it lately.
    pub(crate) fn initiators(&self) -> impl Iterator<Item = &Initiator> {
        self.initiators.iter()
    }

    /// Advertises the target on link number `at`.
    pub(crate) fn advertise<L: Link<Frame = F>>(
        &mut self,
        port: &mut Port<L>,
        at: usize,
        stats: &mut ServerStats,
    ) {
        for to in self.target.audience() {
            match port.link.as_mut().and_then(Link::alloc) {
                Some(frame) => {
                    stats.advertisements += 1;
                    let frame = self.target.advertise(&port.info, frame, to);
                    send(&mut self.tap, port, at, frame);
                }
                None => stats.no_frame += 1,
            }
        }
    }

    /// Limits what is used of it as the target's options say now. What waited for the limit before waits for this one, or for none.
    pub(crate) fn set_limit(&mut self) {
        let mut before = std::mem::replace(&mut self.limit, Limit::new(self.target.options()));
        self.freed.extend(before.iter_mut().flat_map(Limit::drain));
        self.start_freed();
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.queue.iter().chain(&self.retired).filter_map(IoQueue::event)
    }

    /// Requests go to `queue` from now on; to none where the disk is gone. What the queue before it was given ends there, and what
    /// overlaps with that waits, as ever.
    pub(crate) fn set_queue(&mut self, queue: Option<Box<dyn IoQueue<F>>>) {
        let before = std::mem::replace(&mut self.queue, queue);
        self.retired.extend(before.filter(|before| before.in_flight() != 0));
    }

    /// Requests that an initiator may have here where others need the room.
    pub(crate) fn share(&self) -> usize {
        initiators::LEAST.max(self.target.options().buffer_count.into())
    }

    /// Whether the initiator that sent `frame` has so many.
    pub(crate) fn has_its_share(&self, frame: &F) -> bool {
        self.initiators.in_flight(source(frame)) >= self.share()
    }

    /// A frame for this target has arrived, and is taken in the turn of the time `now`, in nanoseconds.
    pub(crate) fn receive<L: Link<Frame = F>>(
        &mut self,
        arrival: Arrival,
        now: u64,
        frame: F,
        ports: &mut [Port<L>],
        stats: &mut ServerStats,
    ) {
        self.now = now;
        if let Some(tap) = &mut self.tap {
            tap::show(tap, &ports[arrival.link], arrival.link, Direction::Received, &frame);
        }
        self.take(arrival, now, frame, ports, stats);
        self.target.stats_mut().in_flight = self.load();
    }

    /// Takes up a frame that was `taken` in this turn or, while a change had to wait, in an earlier one.
    fn take<L: Link<Frame = F>>(
        &mut self,
        arrival: Arrival,
        taken: u64,
        frame: F,
        ports: &mut [Port<L>],
        stats: &mut ServerStats,
    ) {
        let at = arrival.link;
        let origin = Origin { link: at, source: source(&frame), taken };
        if self.change.is_some() {
            self.initiators.seen(origin.source, self.now).in_flight += 1;
            self.held.push_back((arrival, taken, frame));
            return self.count_depth();
        }
        let errors = self.target.stats().errors();
        match self.target.handle(&ports[at].info, frame) {
            Step::Ignore(frame) => ports[at].recycle(frame),
            Step::Reply(frame) => {
                let initiator = self.initiators.seen(origin.source, self.now);
                initiator.requests += 1;
                initiator.errors += self.target.stats().errors() - errors;
                self.count_other(origin);
                send(&mut self.tap, &mut ports[at], at, frame);
            }
            Step::Submit { io, reach } if self.is_late(arrival, &io, &reach) => {
                ports[at].recycle(self.target.drop_late(io));
            }
            Step::Submit { io, reach } => match self.begin(origin, io, reach) {
                Some(io) => {
                    self.start(io);
                    self.submit(ports, stats);
                }
                None => stats.overlaps += 1,
            },
            Step::Change(frame) => {
                self.initiators.seen(origin.source, self.now).in_flight += 1;
                self.change = Some(Change::Asked(origin, frame));
                self.count_depth();
                self.settle(ports, stats);
            }
        }
    }

    /// Begins a request of the disk, and counts it. Returns it when it may start now.
    fn begin(&mut self, origin: Origin, io: Io<F>, reach: Range<u64>) -> Option<Io<F>> {
        let (op, sectors) = (io.op(), io.extent().sectors);
        let seen = self.recent.look(&io, &reach, origin.source, self.now);
        let begun = self.inflight.begin(origin, io, reach, seen == Seen::Again);
        let repeats = u64::from(seen == Seen::Repeat || begun.repeats);
        let initiator = self.initiators.seen(origin.source, self.now);
        initiator.count(op, sectors);
        initiator.in_flight += 1;
        initiator.retransmits += repeats;
        self.target.stats_mut().retransmits += repeats;
        self.count_depth();
        begun.start
    }

    /// Has a request that no earlier one keeps wait for room in the queue, or first for its limit.
    fn start(&mut self, io: Io<F>) {
        let io = match &mut self.limit {
            None => Some(io),
            Some(limit) => limit.pass(io, self.now),
        };
        match io {
            Some(io) => self.ready.push(source(io.buf()), io),
            None => self.target.stats_mut().limited += 1,
        }
    }

    fn start_freed(&mut self) {
        while let Some(io) = self.freed.pop_front() {
            self.start(io);
        }
    }

    /// Counts a request that is answered without the disk.
    fn count_other(&mut self, origin: Origin) {
        let latency = self.now.saturating_sub(origin.taken);
        self.target.stats_mut().other_latency.record(latency);
    }

    /// Counts the requests that there are, now that there is one more.
    fn count_depth(&mut self) {
        let load = self.load();
        let stats = self.target.stats_mut();
        stats.max_in_flight = stats.max_in_flight.max(load);
        stats.initiators_forgotten = self.initiators.forgotten();
    }

    /// It is served on several links from now on, so that a frame may be overtaken.
    pub(crate) fn watch_for_late(&mut self) {
        self.late.get_or_insert_default();
    }

    /// Whether a request that came by link number `at` was taken and not answered.
    pub(crate) fn has_from(&self, at: usize) -> bool {
        let held = self.held.iter().any(|(arrival, ..)| arrival.link == at);
        held || self.change.as_ref().is_some_and(|change| change.is_from(at)) || self.inflight.has_from(at)
    }

    /// Gives those frames of link number `at` back to it that wait to be judged.
    pub(crate) fn give_back<L: Link<Frame = F>>(&mut self, at: usize, link: &mut L) {
        for _ in 0..self.held.len() {
            match self.held.pop_front() {
                Some((arrival, _, frame)) if arrival.link == at => {
                    self.initiators.end(source(&frame), |_| {});
                    link.recycle(frame);
                }
                other => self.held.extend(other),
            }
        }
    }

    /// Changes the state when no write is in flight, and before any later frame is judged.
    pub(crate) fn edit<L: Link<Frame = F>>(
        &mut self,
        edit: EditState,
        edited: Edited,
        ports: &mut [Port<L>],
        stats: &mut ServerStats,
    ) {
        let change = Change::Edit(edit, edited);
        if self.change.is_some() {
            self.edits.push_back(change);
        } else {
            self.change = Some(change);
            self.settle(ports, stats);
        }
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, sabotage: crate::Sabotage) {
        self.sabotage = sabotage;
        self.target.sabotage(sabotage);
        self.inflight.sabotage(sabotage);
        if let Some(late) = &mut self.late {
            late.sabotage(sabotage);
        }
    }

    fn is_late(&mut self, arrival: Arrival, io: &Io<F>, reach: &Range<u64>) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotage.late_frames {
            return false;
        }
        self.late.as_mut().is_some_and(|late| late.refuses(arrival, io, reach))
    }

    /// Whether a change must wait.
    fn waits_for_writes(&self) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotage.change_order {
            return false;
        }
        self.inflight.has_writes()
    }

    /// Starts what was submitted since the last call, and answers what has ended, in the turn of the time `now`, in nanoseconds.
    pub(crate) fn run<L: Link<Frame = F>>(
        &mut self,
        now: u64,
        ports: &mut [Port<L>],
        stats: &mut ServerStats,
    ) -> io::Result<()> {
        self.now = now;
        self.submit(ports, stats);
        if let Some(queue) = &mut self.queue {
            queue.kick()?;
        }
        let mut done = std::mem::take(&mut self.done);
        if let Some(queue) = &mut self.queue {
            queue.reap(&mut done);
        }
        if !self.retired.is_empty() {
            self.reap_retired(&mut done);
        }
        let ended = !done.is_empty();
        for done in done.drain(..done.len().min(AT_A_TIME)) {
            self.end(done, ports);
        }
        self.done = done;
        if ended {
            self.submit(ports, stats);
            if let Some(queue) = &mut self.queue {
                queue.kick()?;
            }
            self.settle(ports, stats);
        }
        self.target.stats_mut().in_flight = self.load();
        Ok(())
    }

    /// Takes up what has ended at queues that are no longer used, and closes those that have nothing more.
    #[cold]
    fn reap_retired(&mut self, done: &mut Vec<Done<F>>) {
        self.retired.retain_mut(|queue| {
            // Where that fails, what is in flight ends all the same.
            let _ = queue.kick();
            queue.reap(done);
            queue.in_flight() != 0
        });
    }

    fn submit<L: Link<Frame = F>>(&mut self, ports: &mut [Port<L>], stats: &mut ServerStats) {
        if let Some(limit) = &mut self.limit {
            while let Some(io) = limit.next(self.now) {
                self.ready.push(source(io.buf()), io);
            }
        }
        while let Some(io) = self.ready.pop() {
            let Some(queue) = &mut self.queue else {
                self.end(io.done(Status::Aborted), ports);
                continue;
            };
            match queue.submit(io) {
                Submit::Done(done) => self.end(done, ports),
                Submit::Queued => {}
                Submit::Full(io) => {
                    stats.queue_full += 1;
                    self.ready.put_back(source(io.buf()), io);
                    return;
                }
            }
        }
    }

    /// A disk request has ended: answers it, or goes on with the next part of its command.
    fn end<L: Link<Frame = F>>(&mut self, done: Done<F>, ports: &mut [Port<L>]) {
        let tag = done.tag();
        let origin = Key::from_tag(tag).and_then(|key| Some((key, self.inflight.origin(key)?)));
        let Some((key, origin)) = origin else {
            debug_assert!(false, "a queue returned a request that it was not given: tag {tag}");
            return;
        };
        let port = &mut ports[origin.link];
        let (op, errors) = (done.op(), self.target.stats().errors());
        match self.target.finish(&port.info, done) {
            Step::Submit { io, .. } => {
                self.ready.put_back(origin.source, io.with_tag(tag));
                return;
            }
            Step::Reply(frame) => send(&mut self.tap, port, origin.link, frame),
            Step::Ignore(frame) | Step::Change(frame) => port.recycle(frame),
        }
        let stats = self.target.stats_mut();
        let (latency, errors) = (self.now.saturating_sub(origin.taken), stats.errors() - errors);
        stats.latency(op).record(latency);
        self.initiators.end(origin.source, |initiator| {
            initiator.errors += errors;
            initiator.latency.record(latency);
        });
        self.inflight.end(key, &mut self.freed);
        self.start_freed();
    }

    /// Carries out a change that an initiator asked for, and answers it.
    fn carry_out<L: Link<Frame = F>>(&mut self, origin: Origin, frame: F, ports: &mut [Port<L>]) {
        let port = &mut ports[origin.link];
        let (replies, errors) = (self.target.stats().replies, self.target.stats().errors());
        match self.target.change(&port.info, frame, &mut self.save) {
            Step::Reply(frame) => send(&mut self.tap, port, origin.link, frame),
            Step::Ignore(frame) | Step::Change(frame) => port.recycle(frame),
            Step::Submit { io, .. } => port.recycle(io.abandon().into_buf()),
        }
        let counted = self.target.stats();
        let (replies, errors) = (counted.replies - replies, counted.errors() - errors);
        self.initiators.end(origin.source, |initiator| {
            initiator.requests += replies;
            initiator.errors += errors;
        });
        if replies != 0 {
            self.count_other(origin);
        }
    }

    /// Carries out a waiting change when no write is in flight, then takes up the frames that arrived after it.
    fn settle<L: Link<Frame = F>>(&mut self, ports: &mut [Port<L>], stats: &mut ServerStats) {
        while !self.waits_for_writes()
            && let Some(change) = self.change.take()
        {
            match change {
                Change::Asked(origin, frame) => self.carry_out(origin, frame, ports),
                Change::Edit(edit, edited) => edited(self.target.edit(edit, &mut self.save)),
            }
            self.change = self.edits.pop_front();
            while self.change.is_none()
                && let Some((arrival, taken, frame)) = self.held.pop_front()
            {
                self.initiators.end(source(&frame), |_| {});
                self.take(arrival, taken, frame, ports, stats);
            }
        }
    }
}

/// Has a frame sent by link number `at`.
fn send<L: Link>(tap: &mut Option<Tap>, port: &mut Port<L>, at: usize, frame: L::Frame) {
    if let Some(tap) = tap {
        tap::show(tap, port, at, Direction::Sent, &frame);
    }
    port.tx.push_back(frame);
}

impl<F> Drop for Export<F> {
    fn drop(&mut self) {
        let limited = self.limit.iter_mut().flat_map(Limit::drain);
        for io in limited.chain(self.ready.drain()).chain(self.inflight.drain_waiting()) {
            drop(io.abandon());
        }
    }
}
