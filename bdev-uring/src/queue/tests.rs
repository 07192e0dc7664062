//! What a file here does not answer: transfers without a durable flag, and syncs that were interrupted.

use bdev::testing::TestBuf;
use bdev::{AlignedBuf, Backend, Extent, FileOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::{Builder, TempDir};

use super::*;

fn queue() -> (UringQueue<AlignedBuf>, TempDir) {
    // On a file system with a disk below it, where direct I/O is the real thing.
    let here = std::env::current_exe().unwrap();
    let directory = Builder::new().prefix("bdev-uring-").tempdir_in(here.parent().unwrap()).unwrap();
    let path = directory.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let disk = Arc::new(FileDisk::open(&FileOptions { direct: true, ..FileOptions::new(path) }).unwrap());
    let transfers = Transfers::new(8, &disk).unwrap();
    let threads = bdev::Pooled::from(Arc::clone(&disk)).open_queue(8).unwrap();
    (UringQueue::new(disk, transfers, threads, 8), directory)
}

/// A durable write of block `block`.
fn submit(queue: &mut UringQueue<AlignedBuf>, block: u64) {
    let extent = Extent::new(block * 8, 8);
    let io = Io::new(Op::Write { fua: true }, extent, AlignedBuf::make(36, 4096, 4096), 36).with_tag(block);
    assert!(matches!(queue.submit(io), Submit::Queued));
}

/// The next that the ring tells of.
fn next(queue: &mut UringQueue<AlignedBuf>) -> Event {
    for _ in 0..1000 {
        if let Some(event) = queue.transfers.next() {
            return event;
        }
        let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
        let event = queue.event().unwrap();
        assert!(poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout)).unwrap() > 0);
    }
    panic!("the event is readable, and nothing has ended");
}

#[test]
fn where_the_kernel_refuses_the_durable_flag_the_write_is_repeated_without_and_synced() {
    let (mut queue, _directory) = queue();
    let mut done = Vec::new();
    submit(&mut queue, 1);
    queue.kick().unwrap();
    let event = next(&mut queue);
    let Event::Transfer { name, result: 4096 } = event else { panic!("{event:?}") };
    assert_eq!(queue.transfers.flags(name), DSYNC);
    queue.look_at(Event::Transfer { name, result: -libc::EOPNOTSUPP }, &mut done);
    assert!(done.is_empty() && !queue.disk.takes_dsync());

    queue.kick().unwrap();
    assert_eq!(next(&mut queue), Event::Transfer { name, result: 4096 });
    queue.look_at(event, &mut done);
    assert!(done.is_empty(), "it is written, and not durable");
    queue.kick().unwrap();
    let event = next(&mut queue);
    assert_eq!(event, Event::Sync { number: 0, result: 0 });
    queue.look_at(event, &mut done);
    assert_eq!((done.len(), done[0].status()), (1, Status::Ok));

    submit(&mut queue, 2);
    queue.kick().unwrap();
    let Event::Transfer { name, .. } = next(&mut queue) else { panic!("it is not repeated") };
    assert_eq!(queue.transfers.flags(name), PLAIN, "it is not tried again");
}

#[test]
fn without_the_durable_flag_to_refuse_it_is_an_error() {
    let (mut queue, _directory) = queue();
    let mut done = Vec::new();
    submit(&mut queue, 1);
    submit(&mut queue, 2);
    queue.kick().unwrap();
    let Event::Transfer { name, .. } = next(&mut queue) else { panic!("two are written first") };
    assert_eq!(queue.transfers.flags(name), PLAIN, "one sync serves both");
    queue.look_at(Event::Transfer { name, result: -libc::EOPNOTSUPP }, &mut done);
    assert_eq!((done.len(), done[0].status()), (1, Status::Media));
    assert!(queue.disk.takes_dsync());
}

#[test]
fn writes_whose_sync_was_interrupted_end_with_the_next() {
    for errno in [libc::EINTR, libc::EAGAIN] {
        let (mut queue, _directory) = queue();
        let mut done = Vec::new();
        submit(&mut queue, 1);
        submit(&mut queue, 2);
        queue.kick().unwrap();
        for _ in 0..2 {
            let event = next(&mut queue);
            assert!(matches!(event, Event::Transfer { .. }), "{event:?}");
            queue.look_at(event, &mut done);
        }
        queue.kick().unwrap();
        assert_eq!(next(&mut queue), Event::Sync { number: 0, result: 0 });
        queue.look_at(Event::Sync { number: 0, result: -errno }, &mut done);
        assert!(done.is_empty() && !queue.disk.is_lost(), "nothing was synced, and nothing lost");
        queue.kick().unwrap();
        assert_eq!(next(&mut queue), Event::Sync { number: 0, result: 0 });
        queue.look_at(Event::Sync { number: 0, result: 0 }, &mut done);
        let mut ended: Vec<_> = done.iter().map(|done| (done.tag(), done.status())).collect();
        ended.sort_unstable_by_key(|(tag, _)| *tag);
        assert_eq!(ended, [(1, Status::Ok), (2, Status::Ok)]);
    }
}
