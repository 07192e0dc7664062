//! Disks that take time on the clock of a network: [`Lag`], [`Clock`].

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bdev::{Backend, DeviceInfo, Done, Io, IoBuf, IoQueue, Submit};

use crate::Chance;

/// The time of a network, for what cannot hold the network itself.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: AtomicU64,
    /// When something is due at a disk.
    dues: Mutex<BTreeSet<Duration>>,
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    /// When next something is due at a disk.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let (now, mut dues) = (self.now(), self.dues());
        *dues = dues.split_off(&(now + Duration::from_nanos(1)));
        dues.first().copied()
    }

    fn dues(&self) -> MutexGuard<'_, BTreeSet<Duration>> {
        self.0.dues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, now: Duration) {
        self.0.now.store(now.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Wraps a backend so that each request waits for a time of its own before it runs: requests pass each other, and are in flight meanwhile.
#[derive(Debug)]
pub struct Lag<T> {
    inner: T,
    clock: Clock,
    time: (Duration, Duration),
    seed: AtomicU64,
}

impl<T> Lag<T> {
    /// `inner`, each request of which takes between the shortest and the longest of `time`.
    #[must_use]
    pub fn new(inner: T, clock: Clock, time: (Duration, Duration), seed: u64) -> Self {
        Self { inner, clock, time, seed: AtomicU64::new(seed) }
    }
}

impl<B: IoBuf, T: Backend<B>> Backend<B> for Lag<T> {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        Ok(Box::new(LagQueue {
            inner: self.inner.open_queue(depth)?,
            clock: self.clock.clone(),
            time: self.time,
            depth: depth.max(1).into(),
            chance: Chance::new(self.seed.fetch_add(1, Ordering::Relaxed)),
            waiting: Vec::new(),
        }))
    }
}

/// Abandons what waits when it is dropped, as a process does that is killed.
struct LagQueue<B> {
    inner: Box<dyn IoQueue<B>>,
    clock: Clock,
    time: (Duration, Duration),
    depth: usize,
    chance: Chance,
    /// Requests, and when each runs, the next at the end.
    waiting: Vec<(Duration, Io<B>)>,
}

impl<B: IoBuf> IoQueue<B> for LagQueue<B> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        if self.in_flight() >= self.depth {
            return Submit::Full(io);
        }
        let due = self.clock.now() + self.chance.time(self.time.0, self.time.1);
        self.clock.dues().insert(due);
        let at = self.waiting.partition_point(|(other, _)| *other > due);
        self.waiting.insert(at, (due, io));
        Submit::Queued
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        while let Some((due, io)) = self.waiting.pop() {
            if due > self.clock.now() {
                self.waiting.push((due, io));
                break;
            }
            match self.inner.submit(io) {
                Submit::Done(end) => done.push(end),
                Submit::Queued => {}
                Submit::Full(io) => {
                    self.waiting.push((due, io));
                    break;
                }
            }
        }
        self.inner.reap(done);
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.inner.in_flight()
    }
}

impl<B> Drop for LagQueue<B> {
    fn drop(&mut self) {
        for (_, io) in self.waiting.drain(..) {
            drop(io.abandon());
        }
    }
}
