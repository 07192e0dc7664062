//! Between an export and its disk: what starts, and what has ended.

use std::io;
use std::ops::Range;

use bdev::{Done, Io, IoQueue, Status, Submit};

use super::{AT_A_TIME, Export, send};
use crate::inflight::{Key, Origin};
use crate::initiators::source;
use crate::limit::Limit;
use crate::port::Port;
use crate::recent::Seen;
use crate::{Frame, Link, ServerStats, Step};

impl<F: Frame> Export<F> {
    /// Limits what is used of it as the target's options say now. What waited for the limit before waits for this one, or for none.
    pub(crate) fn set_limit(&mut self) {
        let mut before = std::mem::replace(&mut self.limit, Limit::new(self.target.options()));
        self.freed.extend(before.iter_mut().flat_map(Limit::drain));
        self.start_freed();
    }

    /// Requests go to `queue` from now on; to none where the disk is gone. What the queue before it was given ends there, and what
    /// overlaps with that waits, as ever.
    pub(crate) fn set_queue(&mut self, queue: Option<Box<dyn IoQueue<F>>>) {
        let before = std::mem::replace(&mut self.queue, queue);
        self.retired.extend(before.filter(|before| before.in_flight() != 0));
    }

    /// Begins a request of the disk, and counts it. Returns it when it may start now.
    pub(super) fn begin(&mut self, origin: Origin, io: Io<F>, reach: Range<u64>) -> Option<Io<F>> {
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
    pub(super) fn start(&mut self, io: Io<F>) {
        let io = match &mut self.limit {
            None => Some(io),
            Some(limit) => limit.pass(io, self.now),
        };
        match io {
            Some(io) => self.ready.push(source(io.buf()), io),
            None => self.target.stats_mut().limited += 1,
        }
    }

    pub(super) fn start_freed(&mut self) {
        while let Some(io) = self.freed.pop_front() {
            self.start(io);
        }
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

    pub(super) fn submit<L: Link<Frame = F>>(&mut self, ports: &mut [Port<L>], stats: &mut ServerStats) {
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
}
