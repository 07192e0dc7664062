//! One disk at work: a target, its queue, and what is in flight between them.

mod disk;
mod settle;

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use bdev::{DeviceInfo, Done, Io, IoQueue};

use crate::bucket::Bucket;
use crate::change::{Change, SaveState};
use crate::inflight::{Inflight, Origin};
use crate::initiators::{self, Initiator, Initiators, source};
use crate::lanes::Lanes;
use crate::late::Late;
use crate::limit::Limit;
use crate::port::{Arrival, Port};
use crate::recent::Recent;
use crate::tap::{self, Direction, Tap};
use crate::{Frame, Link, ServerStats, Step, Target};

/// A queue, and what its disk is.
pub type OpenDisk<F> = (Box<dyn IoQueue<F>>, DeviceInfo);

/// Changes of state a second, and for how long a rest may be made up for at once. Each is stored durably while all other disks wait.
const CHANGES_PER_SECOND: u64 = 10;
const CHANGES_AFTER_REST: Duration = Duration::from_secs(8);

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
    changes: Bucket,
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
            changes: Bucket::new(CHANGES_PER_SECOND, CHANGES_AFTER_REST),
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

    pub(crate) fn events(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.queue.iter().chain(&self.retired).filter_map(IoQueue::event)
    }

    /// Requests that an initiator may have here where others need the room.
    pub(crate) fn share(&self) -> usize {
        initiators::LEAST.max(self.target.options().buffer_count.into())
    }

    /// Whether it has more requests than one of `busy` exports may have where others need the room.
    pub(crate) fn has_its_part(&self, room: usize, busy: usize) -> bool {
        let part = room / busy.max(1);
        self.load() >= part.max(self.target.options().buffer_count.into())
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
            Step::Change(frame) if self.is_hasty() => ports[at].recycle(self.target.drop_hasty(frame)),
            Step::Change(frame) => {
                self.initiators.seen(origin.source, self.now).in_flight += 1;
                self.change = Some(Change::Asked(origin, frame));
                self.count_depth();
                self.settle(ports, stats);
            }
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

    /// Whether another change of state would be one too many. If not, it is counted.
    fn is_hasty(&mut self) -> bool {
        self.changes.refill(self.now);
        let hasty = !self.changes.has_any();
        self.changes.spend(usize::from(!hasty));
        hasty
    }

    /// It is served on several links from now on, so that a frame may be overtaken.
    pub(crate) fn watch_for_late(&mut self) {
        self.late.get_or_insert_default();
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
