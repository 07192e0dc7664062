//! Threads under a queue: side by side, woken, caught and joined.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use bdev::{
    AlignedBuf, Backend, BlockingBackend, DeviceInfo, Done, Extent, Io, IoBuf, IoQueue, MemDisk, Op, Pooled,
};
use bdev::{Features, Status, Submit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::logged;

/// A disk that waits, panics and remembers on command.
struct Trained {
    disk: MemDisk,
    /// Reads wait until so many run at once.
    together: usize,
    reading: Mutex<usize>,
    changed: Condvar,
    cached: AtomicBool,
    write_waits: bool,
    threads: Mutex<HashSet<String>>,
    writes: AtomicUsize,
}

/// Reading or writing this sector panics.
const PIT: u64 = 13;

impl Trained {
    fn new(together: usize) -> Self {
        Self {
            disk: MemDisk::new(128),
            together,
            reading: Mutex::new(0),
            changed: Condvar::new(),
            cached: AtomicBool::new(false),
            write_waits: true,
            threads: Mutex::default(),
            writes: AtomicUsize::new(0),
        }
    }
}

impl BlockingBackend for Trained {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { features: Features::FLUSH, ..self.disk.info() }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        assert_ne!(lba, PIT, "the reader fell into the pit");
        self.threads.lock().unwrap().insert(thread::current().name().unwrap_or("?").to_owned());
        let mut reading = self.reading.lock().unwrap();
        *reading += 1;
        self.changed.notify_all();
        let alone = |reading: &mut usize| *reading < self.together;
        let (_reading, waited) =
            self.changed.wait_timeout_while(reading, Duration::from_secs(5), alone).unwrap();
        if waited.timed_out() { Err(Status::Media) } else { self.disk.read_at(lba, data) }
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        assert_ne!(lba, PIT, "the writer fell into the pit");
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.disk.write_at(lba, data)
    }

    fn flush(&self) -> Result<(), Status> {
        Ok(())
    }

    fn read_now(&self, lba: u64, data: &mut [u8]) -> Option<Result<(), Status>> {
        assert_ne!(lba, PIT, "the reader fell into the pit");
        self.cached.load(Ordering::Relaxed).then(|| self.disk.read_at(lba, data))
    }

    fn write_waits(&self, fua: bool) -> bool {
        fua || self.write_waits
    }
}

fn io(op: Op, lba: u64) -> Io<AlignedBuf> {
    Io::new(op, Extent::new(lba, u32::from(op != Op::Flush)), AlignedBuf::with_len(512, 512), 0).with_tag(lba)
}

fn readable(queue: &dyn IoQueue<AlignedBuf>, milliseconds: u64) -> bool {
    let event = queue.event().expect("a pool has an event");
    let timeout = Timespec::try_from(Duration::from_millis(milliseconds)).unwrap();
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

/// Kicks, then waits by the event alone until nothing is in flight.
fn drain(queue: &mut dyn IoQueue<AlignedBuf>) -> Vec<Done<AlignedBuf>> {
    let mut done = Vec::new();
    queue.kick().unwrap();
    for _ in 0..2000 {
        if queue.in_flight() == 0 {
            return done;
        }
        readable(queue, 10);
        queue.reap(&mut done);
    }
    panic!("{} requests do not end", queue.in_flight());
}

#[test]
fn slow_reads_wait_side_by_side_in_named_threads() {
    let pool = Pooled::new(Trained::new(4));
    let mut queue = pool.open_queue(4).unwrap();
    for round in 0..3 {
        *pool.disk().reading.lock().unwrap() = 0;
        for lba in 0..4 {
            assert!(matches!(queue.submit(io(Op::Read, lba)), Submit::Queued));
        }
        let done = drain(&mut *queue);
        assert!(done.iter().all(|done| done.status() == Status::Ok), "all four ran at once in round {round}");
        // Long enough for all threads to sleep, so that the next round must wake them.
        thread::sleep(Duration::from_millis(50));
    }
    let names = pool.disk().threads.lock().unwrap().clone();
    assert_eq!(names, HashSet::from(["bdev-0", "bdev-1", "bdev-2", "bdev-3"].map(String::from)));
}

#[test]
fn a_queue_has_no_more_threads_than_it_was_given() {
    let pool = Pooled::new(Trained::new(1)).with_threads(2);
    let mut queue = pool.open_queue(64).unwrap();
    for lba in 20..84 {
        assert!(matches!(queue.submit(io(Op::Read, lba)), Submit::Queued));
    }
    assert_eq!(drain(&mut *queue).len(), 64);
    assert!(pool.disk().threads.lock().unwrap().len() <= 2);
}

#[test]
fn a_read_that_need_not_wait_ends_in_submit() {
    let pool = Pooled::new(Trained::new(1));
    let mut queue = pool.open_queue(1).unwrap();
    assert!(matches!(queue.submit(io(Op::Read, 1)), Submit::Queued));
    pool.disk().cached.store(true, Ordering::Relaxed);
    assert!(matches!(queue.submit(io(Op::Read, 2)), Submit::Done(_)), "even when the queue is full");
    pool.disk().cached.store(false, Ordering::Relaxed);
    let Submit::Full(back) = queue.submit(io(Op::Read, 3)) else { panic!("a second at depth 1") };
    assert_eq!(drain(&mut *queue).len(), 1);
    assert!(matches!(queue.submit(back), Submit::Queued));
    assert_eq!(drain(&mut *queue)[0].tag(), 3);
}

#[test]
fn a_write_ends_in_submit_only_if_it_neither_waits_nor_must_be_durable() {
    for write_waits in [false, true] {
        let pool = Pooled::new(Trained { write_waits, ..Trained::new(1) });
        let mut queue = pool.open_queue(8).unwrap();
        let in_place = matches!(queue.submit(io(Op::Write { fua: false }, 1)), Submit::Done(_));
        assert_eq!(in_place, !write_waits);
        assert!(matches!(queue.submit(io(Op::Write { fua: true }, 2)), Submit::Queued));
        assert!(matches!(queue.submit(io(Op::Flush, 0)), Submit::Queued));
        drain(&mut *queue);
    }
}

#[test]
fn the_event_is_readable_exactly_while_something_can_be_reaped() {
    let pool = Pooled::new(Trained::new(1));
    let mut queue = pool.open_queue(8).unwrap();
    let mut done = Vec::new();
    for round in 0..50 {
        assert!(!readable(&*queue, 0), "round {round}");
        for lba in 0..3 {
            assert!(matches!(queue.submit(io(Op::Read, lba)), Submit::Queued));
        }
        queue.kick().unwrap();
        while done.len() < 3 {
            assert!(readable(&*queue, 5000), "round {round}: nothing ends");
            queue.reap(&mut done);
        }
        done.clear();
    }
}

#[test]
fn a_disk_that_panics_aborts_the_request_and_gives_the_buffer_back() {
    let pool = Pooled::new(Trained { write_waits: false, ..Trained::new(1) }).with_threads(1);
    let mut queue = pool.open_queue(8).unwrap();
    let lines = logged(|| {
        for op in [Op::Read, Op::Write { fua: false }] {
            let Submit::Done(done) = queue.submit(io(op, PIT)) else { panic!("{op:?} is tried in place") };
            assert_eq!((done.status(), done.buf().bytes().len()), (Status::Aborted, 512), "{op:?}");
        }
    });
    assert_eq!(lines, vec!["a disk panicked; its request is aborted"; 2]);
    for lba in [PIT, 1] {
        assert!(matches!(queue.submit(io(Op::Write { fua: true }, lba)), Submit::Queued));
    }
    let mut done = drain(&mut *queue);
    done.sort_by_key(Done::tag);
    let ended: Vec<_> = done.iter().map(|done| (done.tag(), done.status())).collect();
    assert_eq!(ended, [(1, Status::Ok), (PIT, Status::Aborted)], "the thread goes on");
}

#[test]
fn dropping_a_queue_runs_what_was_submitted_even_without_a_kick() {
    let pool = Pooled::new(Trained::new(1)).with_threads(2);
    let mut queue = pool.open_queue(32).unwrap();
    for lba in 32..64 {
        assert!(matches!(queue.submit(io(Op::Write { fua: true }, lba)), Submit::Queued));
    }
    drop(queue);
    assert_eq!(pool.disk().writes.load(Ordering::Relaxed), 32);
}
