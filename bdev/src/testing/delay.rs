//! A layer that holds requests back: [`Delay`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Backend, DeviceInfo, Done, Io, IoBuf, IoQueue, Submit};

/// Wraps a backend so that requests stay in flight: until the test releases them, or for a number of reaps. No clock is involved.
#[derive(Debug)]
pub struct Delay<T> {
    inner: T,
    hold: Hold,
}

/// What holds requests.
#[derive(Clone, Debug)]
enum Hold {
    Gate(Gate),
    Reaps(usize),
}

impl<T> Delay<T> {
    /// `inner`, behind a gate that holds everything until it is told otherwise.
    #[must_use]
    pub fn until_released(inner: T) -> (Self, Gate) {
        let gate = Gate::default();
        (Self { inner, hold: Hold::Gate(gate.clone()) }, gate)
    }

    /// `inner`, with each request held until the queue was reaped `reaps` times more.
    #[must_use]
    pub fn for_reaps(inner: T, reaps: usize) -> Self {
        Self { inner, hold: Hold::Reaps(reaps) }
    }
}

/// Releases the requests that a [`Delay`] holds, those of all its queues. Clones work the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    permits: AtomicUsize,
    held: AtomicUsize,
}

impl Gate {
    /// Lets `count` requests pass, the oldest of the queue that is reaped next; those that come later may use it, too.
    pub fn release(&self, count: usize) {
        let add = |permits: usize| Some(permits.saturating_add(count));
        let _ = self.0.permits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Lets everything pass, until [`close`](Self::close).
    pub fn open(&self) {
        self.0.permits.store(usize::MAX, Ordering::Relaxed);
    }

    /// Holds everything from now on, and forgets releases that were not used.
    pub fn close(&self) {
        self.0.permits.store(0, Ordering::Relaxed);
    }

    /// Requests that wait at the gate.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Whether one request may pass now. An open gate stays open.
    fn pass(&self) -> bool {
        let take = |permits: usize| match permits {
            usize::MAX => Some(permits),
            _ => permits.checked_sub(1),
        };
        self.0.permits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl<B: IoBuf, T: Backend<B>> Backend<B> for Delay<T> {
    fn info(&self) -> DeviceInfo {
        self.inner.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        Ok(Box::new(DelayQueue {
            inner: self.inner.open_queue(depth)?,
            hold: self.hold.clone(),
            depth: depth.max(1).into(),
            reaps: 0,
            waiting: VecDeque::new(),
        }))
    }
}

/// The queue of a [`Delay`].
///
/// Requests wait before they run, in order, and are passed down in `reap`. It has no `event`, so it must be polled. A dropped queue
/// abandons what waits.
#[derive(Debug)]
pub struct DelayQueue<B, Q = Box<dyn IoQueue<B>>> {
    inner: Q,
    hold: Hold,
    depth: usize,
    /// Calls of `reap` so far.
    reaps: usize,
    /// Requests, each with the number of reaps at which it came.
    waiting: VecDeque<(usize, Io<B>)>,
}

impl<B, Q: IoQueue<B>> DelayQueue<B, Q> {
    fn pop_released(&mut self) -> Option<(usize, Io<B>)> {
        let &(came, _) = self.waiting.front()?;
        let released = match &self.hold {
            Hold::Gate(gate) => gate.pass(),
            Hold::Reaps(reaps) => self.reaps - came > *reaps,
        };
        if released { self.pop() } else { None }
    }

    fn pass_released(&mut self, done: &mut Vec<Done<B>>) -> io::Result<()> {
        while let Some((came, io)) = self.pop_released() {
            match self.inner.submit(io) {
                Submit::Done(end) => done.push(end),
                Submit::Queued => {}
                Submit::Full(io) => {
                    if let Hold::Gate(gate) = &self.hold {
                        gate.0.held.fetch_add(1, Ordering::Relaxed);
                        gate.release(1);
                    }
                    self.waiting.push_front((came, io));
                    break;
                }
            }
        }
        self.inner.kick()
    }
}

impl<B, Q> DelayQueue<B, Q> {
    fn pop(&mut self) -> Option<(usize, Io<B>)> {
        let popped = self.waiting.pop_front()?;
        if let Hold::Gate(gate) = &self.hold {
            gate.0.held.fetch_sub(1, Ordering::Relaxed);
        }
        Some(popped)
    }
}

impl<B: IoBuf, Q: IoQueue<B>> IoQueue<B> for DelayQueue<B, Q> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        if self.in_flight() >= self.depth {
            return Submit::Full(io);
        }
        if let Hold::Gate(gate) = &self.hold {
            gate.0.held.fetch_add(1, Ordering::Relaxed);
        }
        self.waiting.push_back((self.reaps, io));
        Submit::Queued
    }

    fn kick(&mut self) -> io::Result<()> {
        self.inner.kick()
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        self.reaps += 1;
        if self.pass_released(done).is_err() {
            // The device is gone: what it has, it ends itself.
            while let Some((_, io)) = self.pop() {
                done.push(io.abandon());
            }
        }
        self.inner.reap(done);
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.inner.in_flight()
    }
}

impl<B, Q> Drop for DelayQueue<B, Q> {
    fn drop(&mut self) {
        while let Some((_, io)) = self.pop() {
            let _ = io.abandon();
        }
    }
}
