//! The adapter that runs a [`BlockingBackend`] on threads: [`Pooled`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

use crate::{Backend, BlockingBackend, DeviceInfo, Done, Features, Io, IoBuf, IoQueue, Op, Status, Submit};

/// Threads of one queue, unless [`Pooled::with_threads`] says otherwise.
const THREADS: u16 = 16;

/// Runs a [`BlockingBackend`] on worker threads, so that slow requests wait side by side while the submitting thread goes on. Right for
/// disks that wait for a medium.
///
/// * What need not wait ends in `submit`: a read that [`BlockingBackend::read_now`] can serve, and a write where
///   [`BlockingBackend::write_waits`] is false. Everything else goes to a thread, which costs two context switches. The
///   price: a write into a cache still waits now and then, when the cache is full or the rest of a page must be read first, and the
///   submitting thread with it.
/// * Each queue has threads of its own, as many as its depth, at most [16](Self::with_threads). They are started when there is work for
///   them: where everything ends in `submit` the process stays single-threaded, which makes its system calls cheaper.
/// * Threads are started and woken by `kick`, once for a batch; one that is running already may take a request earlier. `event` is an
///   eventfd that is written when the first of a batch of requests ends.
/// * Where the system gives no thread, `kick` runs the batch itself.
/// * A method of the disk that panics ends its request as [`Status::Aborted`]; queue and thread go on.
/// * Dropping a queue runs what was submitted, waits for it, and drops its results.
#[derive(Debug)]
pub struct Pooled<D> {
    disk: Arc<D>,
    threads: u16,
}

impl<D: BlockingBackend> Pooled<D> {
    /// The device `disk`, run on threads.
    #[must_use]
    pub fn new(disk: D) -> Self {
        Self { disk: Arc::new(disk), threads: THREADS }
    }

    /// The same with at most `threads` threads for each queue, at least 1. More than the device can serve at once gain nothing.
    #[must_use]
    pub fn with_threads(self, threads: u16) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// The device itself.
    #[must_use]
    pub fn disk(&self) -> &D {
        &self.disk
    }
}

/// A device that others use as well.
impl<D: BlockingBackend> From<Arc<D>> for Pooled<D> {
    fn from(disk: Arc<D>) -> Self {
        Self { disk, threads: THREADS }
    }
}

impl<D: BlockingBackend, B: IoBuf> Backend<B> for Pooled<D> {
    fn info(&self) -> DeviceInfo {
        self.disk.info()
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        let depth = depth.max(1);
        let shared = Arc::new(Shared {
            todo: Mutex::new(Todo { ios: VecDeque::with_capacity(depth.into()), idle: 0, stopping: false }),
            work: Condvar::new(),
            done: Mutex::new(Vec::with_capacity(depth.into())),
            event: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        });
        let most = usize::from(depth.min(self.threads));
        Ok(Box::new(PooledQueue {
            disk: Arc::clone(&self.disk),
            shared,
            threads: Vec::with_capacity(most),
            most,
            depth: depth.into(),
            unkicked: 0,
            in_flight: 0,
        }))
    }
}

struct PooledQueue<D: BlockingBackend, B: IoBuf> {
    disk: Arc<D>,
    shared: Arc<Shared<B>>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that there may be.
    most: usize,
    depth: usize,
    /// Requests queued since the last kick.
    unkicked: usize,
    in_flight: usize,
}

impl<D: BlockingBackend, B: IoBuf> PooledQueue<D, B> {
    /// Starts up to `count` more threads. Without any, what is queued is run here.
    fn start(&mut self, count: usize) {
        for number in self.threads.len()..self.most.min(self.threads.len() + count) {
            let (disk, shared) = (Arc::clone(&self.disk), Arc::clone(&self.shared));
            let thread = thread::Builder::new().name(format!("bdev-{number}"));
            match thread.spawn(move || shared.work(&*disk)) {
                Ok(thread) => self.threads.push(thread),
                Err(error) => {
                    // A kept one cannot be more: it would be tried, and told, at every kick.
                    self.most = self.threads.len();
                    tracing::warn!(%error, threads = self.most, "no more threads for disk requests");
                }
            }
        }
        if self.threads.is_empty() {
            self.shared.run_all(&*self.disk);
        }
    }

    /// Ends the request here, if it need not wait.
    fn end_in_place(&self, io: &mut Io<B>) -> Option<Result<(), Status>> {
        let info = self.disk.info();
        if let Err(status) = io.check(&info) {
            return Some(Err(status));
        }
        match io.op() {
            Op::Read => caught(|| io.read_now_from(&*self.disk)).unwrap_or(Some(Err(Status::Aborted))),
            Op::Write { fua } if !self.disk.write_waits(fua) => Some(run_caught(&*self.disk, io)),
            Op::Flush if !info.features.contains(Features::FLUSH) => Some(Ok(())),
            _ => None,
        }
    }
}

impl<D: BlockingBackend, B: IoBuf> IoQueue<B> for PooledQueue<D, B> {
    fn submit(&mut self, mut io: Io<B>) -> Submit<B> {
        if let Some(result) = self.end_in_place(&mut io) {
            return Submit::Done(io.done(result.into()));
        }
        if self.in_flight >= self.depth {
            return Submit::Full(io);
        }
        self.in_flight += 1;
        self.unkicked += 1;
        self.shared.todo().ios.push_back(io);
        Submit::Queued
    }

    fn kick(&mut self) -> io::Result<()> {
        if self.unkicked > 0 {
            let idle = self.shared.todo().idle;
            for _ in 0..idle.min(self.unkicked) {
                self.shared.work.notify_one();
            }
            let unserved = self.unkicked.saturating_sub(idle);
            if unserved > 0 && (self.threads.len() < self.most || self.threads.is_empty()) {
                self.start(unserved);
            }
            self.unkicked = 0;
        }
        Ok(())
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        if self.in_flight == 0 {
            return;
        }
        self.in_flight -= self.shared.take_done(done);
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.event.as_fd())
    }
}

impl<D: BlockingBackend, B: IoBuf> Drop for PooledQueue<D, B> {
    fn drop(&mut self) {
        self.shared.todo().stopping = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // Panics of the disk are caught in the thread, and this place cannot do anything about another.
            let _ = thread.join();
        }
        // What no thread was ever started for.
        self.shared.run_all(&*self.disk);
    }
}

/// What a queue and its threads share.
struct Shared<B> {
    todo: Mutex<Todo<B>>,
    work: Condvar,
    done: Mutex<Vec<Done<B>>>,
    /// Readable exactly while `done` is not empty: changed only with its lock held.
    event: OwnedFd,
}

struct Todo<B> {
    ios: VecDeque<Io<B>>,
    /// Threads that wait for work.
    idle: usize,
    stopping: bool,
}

impl<B: IoBuf> Shared<B> {
    fn todo(&self) -> MutexGuard<'_, Todo<B>> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: until the queue stops and nothing is left.
    fn work(&self, disk: &impl BlockingBackend) {
        while let Some(io) = self.next() {
            self.run_one(disk, io);
        }
    }

    /// Runs what is queued in this thread.
    fn run_all(&self, disk: &impl BlockingBackend) {
        loop {
            let Some(io) = self.todo().ios.pop_front() else { return };
            self.run_one(disk, io);
        }
    }

    fn run_one(&self, disk: &impl BlockingBackend, mut io: Io<B>) {
        let result = run_caught(disk, &mut io);
        self.put_done(io.done(result.into()));
    }

    fn next(&self) -> Option<Io<B>> {
        let mut todo = self.todo();
        loop {
            if let Some(io) = todo.ios.pop_front() {
                return Some(io);
            }
            if todo.stopping {
                return None;
            }
            todo.idle += 1;
            todo = self.work.wait(todo).unwrap_or_else(PoisonError::into_inner);
            todo.idle -= 1;
        }
    }

    fn put_done(&self, io: Done<B>) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.is_empty() {
            // Cannot fail: the counter is 0 while the list is empty.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
        done.push(io);
    }

    fn take_done(&self, into: &mut Vec<Done<B>>) -> usize {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let count = done.len();
        if count > 0 {
            let _ = rustix::io::read(&self.event, &mut [0; 8]);
            into.append(&mut done);
        }
        count
    }
}

fn run_caught<B: IoBuf>(disk: &impl BlockingBackend, io: &mut Io<B>) -> Result<(), Status> {
    caught(|| io.run_on(disk)).unwrap_or(Err(Status::Aborted))
}

/// What `call` returns; `None` if it panicked. The request stays whole, and what a broken disk left half done is the disk's own.
fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call))
        .inspect_err(|_| tracing::error!("a disk panicked; its request is aborted"))
        .ok()
}
