//! Changes of an export's state: each waits for the writes in flight, and the frames that arrive after it wait for it.

use super::{Export, send};
use crate::change::{Change, EditState, Edited};
use crate::inflight::Origin;
use crate::initiators::source;
use crate::port::Port;
use crate::{Frame, Link, ServerStats, Step};

impl<F: Frame> Export<F> {
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

    /// Whether a change must wait.
    fn waits_for_writes(&self) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotage.change_order {
            return false;
        }
        self.inflight.has_writes()
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
    pub(super) fn settle<L: Link<Frame = F>>(&mut self, ports: &mut [Port<L>], stats: &mut ServerStats) {
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
