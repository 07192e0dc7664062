//! The loop of a front end, as the rules use it: it never waits for ever.

use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::TestBuf;
use crate::{Backend, Done, Io, IoQueue, Submit};

/// Reaps in a row that may return nothing before the device counts as stuck: about 20 seconds.
const PATIENCE: u32 = 20_000;
const PAUSE: Duration = Duration::from_millis(1);

/// A queue and what came out of it.
pub(super) struct Driver<B> {
    pub(super) queue: Box<dyn IoQueue<B>>,
    pub(super) ended: Vec<Done<B>>,
}

impl<B: TestBuf> Driver<B> {
    pub(super) fn open(backend: &(impl Backend<B> + ?Sized), depth: u16) -> Self {
        let queue = backend.open_queue(depth).expect("a queue can be opened");
        Self { queue, ended: Vec::new() }
    }

    /// Submits `io`, and waits for room as long as there is none.
    pub(super) fn submit(&mut self, mut io: Io<B>) {
        for _ in 0..PATIENCE {
            match self.queue.submit(io) {
                Submit::Done(done) => return self.ended.push(done),
                Submit::Queued => return,
                Submit::Full(back) => io = back,
            }
            assert!(self.queue.in_flight() > 0, "a queue with nothing in flight must not be full");
            self.reap_some();
        }
        panic!("the queue stays full: {io:?}", io = io.abandon().extent());
    }

    /// Waits until nothing is in flight.
    pub(super) fn drain(&mut self) {
        self.kick();
        while self.queue.in_flight() > 0 {
            self.reap_some();
        }
    }

    /// Runs one request to its end.
    pub(super) fn run(&mut self, io: Io<B>) -> Done<B> {
        assert!(self.ended.is_empty(), "everything before was looked at");
        self.submit(io);
        self.drain();
        assert_eq!(self.ended.len(), 1, "one request has one end");
        self.ended.remove(0)
    }

    /// Starts what was submitted.
    pub(super) fn kick(&mut self) {
        self.queue.kick().expect("the device can be reached");
    }

    /// Waits until at least one request in flight has ended.
    fn reap_some(&mut self) {
        self.kick();
        let before = self.ended.len();
        for round in 0..PATIENCE {
            let in_flight = self.queue.in_flight();
            self.queue.reap(&mut self.ended);
            let reaped = self.ended.len() - before;
            assert_eq!(self.queue.in_flight() + reaped, in_flight, "what was reaped is no longer in flight");
            if reaped > 0 {
                return;
            }
            match self.queue.event() {
                Some(event) => {
                    let timeout = Timespec { tv_sec: 0, tv_nsec: PAUSE.subsec_nanos().into() };
                    let _ = poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout));
                }
                // It must be polled: quickly at first, for a disk that works on threads gets on only while this one sleeps.
                None if round < 100 => thread::yield_now(),
                None => thread::sleep(PAUSE),
            }
        }
        panic!("{} requests in flight do not end", self.queue.in_flight());
    }

    /// Whether the event is readable now; `None` if the queue has none.
    pub(super) fn event_is_readable(&self) -> Option<bool> {
        let event = self.queue.event()?;
        let ready =
            poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        Some(ready.is_ok_and(|count| count > 0))
    }
}
