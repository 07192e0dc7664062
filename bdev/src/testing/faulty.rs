//! A layer that makes requests fail: [`Faulty`].

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Backend, DeviceInfo, Done, Extent, Io, IoBuf, IoQueue, Op, Status, Submit};

/// Wraps a backend so that chosen requests fail without reaching it, or are handed back as if there were no room.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
}

impl<T> Faulty<T> {
    /// `inner`, with those of its requests failing that `faults` names, now or later.
    #[must_use]
    pub fn new(inner: T, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

/// The faults of a [`Faulty`], to be changed while it is in use. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// One more. Of several that apply to a request, the first added decides.
    pub fn add(&self, fault: Fault) {
        self.list().push(fault);
    }

    /// No more faults.
    pub fn clear(&self) {
        self.list().clear();
    }

    fn list(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to become of a request.
    fn strike(&self, op: Op, extent: Extent, may_be_full: bool) -> Option<Effect> {
        let mut list = self.list();
        let mut faults = list.iter_mut().filter(|fault| may_be_full || fault.effect != Effect::Full);
        faults.find_map(|fault| fault.strikes(op, extent).then_some(fault.effect))
    }
}

/// Which requests fail, and how. Without a restriction: all of them.
#[derive(Clone, Debug)]
pub struct Fault {
    effect: Effect,
    ops: fn(Op) -> bool,
    extent: Option<Extent>,
    /// Of those that match, number `first` fails, then each `every`-th again; 0: none again.
    first: u64,
    every: u64,
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    End(Status),
    Full,
}

impl Fault {
    /// Requests end with `status`, and nothing is read or changed.
    #[must_use]
    pub fn status(status: Status) -> Self {
        Self::new(Effect::End(status))
    }

    /// Requests are handed back, [`Submit::Full`]; only while something is in flight, since otherwise nothing would ever make room.
    #[must_use]
    pub fn full() -> Self {
        Self::new(Effect::Full)
    }

    fn new(effect: Effect) -> Self {
        Self { effect, ops: |_| true, extent: None, first: 1, every: 1, seen: 0 }
    }

    /// Only requests whose operation `ops` accepts, such as [`Op::is_write`].
    #[must_use]
    pub fn only(self, ops: fn(Op) -> bool) -> Self {
        Self { ops, ..self }
    }

    /// Only requests that have a sector in common with `extent`.
    #[must_use]
    pub fn touching(self, extent: Extent) -> Self {
        Self { extent: Some(extent), ..self }
    }

    /// Of the requests that match, only number `n`, counted from 1.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self { first: n, every: 0, ..self }
    }

    /// Of the requests that match, each `n`-th.
    #[must_use]
    pub fn every(self, n: u64) -> Self {
        Self { first: n, every: n, ..self }
    }

    fn strikes(&mut self, op: Op, extent: Extent) -> bool {
        if !(self.ops)(op) || self.extent.is_some_and(|bad| !bad.overlaps(extent)) {
            return false;
        }
        self.seen += 1;
        match self.seen.checked_sub(self.first) {
            Some(0) => true,
            Some(after) => self.every != 0 && after % self.every == 0,
            None => false,
        }
    }
}

impl<B: IoBuf, T: Backend<B>> Backend<B> for Faulty<T> {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        Ok(Box::new(FaultyQueue::new(self.inner.open_queue(depth)?, &self.faults)))
    }
}

/// The queue of a [`Faulty`]; also for wrapping a queue that is at hand.
#[derive(Debug)]
pub struct FaultyQueue<Q> {
    inner: Q,
    faults: Faults,
}

impl<Q> FaultyQueue<Q> {
    /// `inner`, with those of its requests failing that `faults` names.
    #[must_use]
    pub fn new(inner: Q, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

impl<B: IoBuf, Q: IoQueue<B>> IoQueue<B> for FaultyQueue<Q> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        match self.faults.strike(io.op(), io.extent(), self.inner.in_flight() > 0) {
            Some(Effect::End(status)) => Submit::Done(io.done(status)),
            Some(Effect::Full) => Submit::Full(io),
            None => self.inner.submit(io),
        }
    }

    fn kick(&mut self) -> io::Result<()> {
        self.inner.kick()
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        self.inner.reap(done);
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.inner.event()
    }
}
