//! A layer that lets requests pass each other: [`Reorder`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chance::Chance;
use crate::{Backend, DeviceInfo, Done, Io, IoBuf, IoQueue, Submit};

/// Wraps a backend so that requests run, and end, in another order than they came: the freedom that the contract gives, used to the full.
///
/// Each queue draws its order from the seed and its number, so a run repeats if the queues are opened and used in the same order.
#[derive(Debug)]
pub struct Reorder<T> {
    inner: T,
    seed: AtomicU64,
}

impl<T> Reorder<T> {
    /// `inner`, with its requests shuffled by `seed`.
    #[must_use]
    pub fn new(inner: T, seed: u64) -> Self {
        Self { inner, seed: AtomicU64::new(seed) }
    }
}

impl<B: IoBuf, T: Backend<B>> Backend<B> for Reorder<T> {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ReorderQueue::new(self.inner.open_queue(depth)?, depth, seed)))
    }
}

/// The queue of a [`Reorder`]; also for wrapping a queue that is at hand.
///
/// Every request is kept. Each `reap` passes some of those that wait down, chosen at random, at least one; it has no `event`, so it must
/// be polled. A dropped queue abandons what waits.
#[derive(Debug)]
pub struct ReorderQueue<B, Q = Box<dyn IoQueue<B>>> {
    inner: Q,
    depth: usize,
    chance: Chance,
    waiting: Vec<Io<B>>,
    ended: Vec<Done<B>>,
}

impl<B, Q: IoQueue<B>> ReorderQueue<B, Q> {
    /// `inner`, a queue of `depth` requests, shuffled by `seed`.
    #[must_use]
    pub fn new(inner: Q, depth: u16, seed: u64) -> Self {
        Self {
            inner,
            depth: depth.max(1).into(),
            chance: Chance::new(seed),
            waiting: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn pass_some(&mut self) -> io::Result<()> {
        let count = if self.waiting.is_empty() { 0 } else { 1 + self.chance.below(self.waiting.len()) };
        for _ in 0..count {
            let io = self.waiting.swap_remove(self.chance.below(self.waiting.len()));
            match self.inner.submit(io) {
                Submit::Done(done) => self.ended.push(done),
                Submit::Queued => {}
                Submit::Full(io) => {
                    self.waiting.push(io);
                    break;
                }
            }
        }
        self.inner.kick()
    }
}

impl<B: IoBuf, Q: IoQueue<B>> IoQueue<B> for ReorderQueue<B, Q> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        if self.in_flight() >= self.depth {
            return Submit::Full(io);
        }
        self.waiting.push(io);
        Submit::Queued
    }

    fn kick(&mut self) -> io::Result<()> {
        self.inner.kick()
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        if self.pass_some().is_err() {
            // The device is gone: what it has, it ends itself.
            self.ended.extend(self.waiting.drain(..).map(Io::abandon));
        }
        self.inner.reap(&mut self.ended);
        self.chance.shuffle(&mut self.ended);
        done.append(&mut self.ended);
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.inner.in_flight()
    }
}

impl<B, Q> Drop for ReorderQueue<B, Q> {
    fn drop(&mut self) {
        for io in self.waiting.drain(..) {
            let _ = io.abandon();
        }
    }
}
