//! The queue itself: depth, the event, threads, the end.

use std::time::Duration;

use bdev::testing::{Pieces, TestBuf};
use bdev::{AlignedBuf, Backend, FileOptions, IoQueue, Op, Status, Submit};
use rustix::event::epoll;
use rustix::io::Errno;

use crate::support::{WRITE, WRITE_FUA, directory, drain, image, is_readable, open, request, run, submit};

fn queue<B: TestBuf>(options: &FileOptions, depth: u16) -> Box<dyn IoQueue<B>> {
    open(options).open_queue(depth).unwrap()
}

#[test]
fn a_queue_of_depth_one_takes_one_at_a_time() {
    let directory = directory();
    let mut queue = queue::<AlignedBuf>(&FileOptions { direct: true, ..image(&directory, 1 << 20) }, 1);
    assert!(submit(&mut queue, request(WRITE, 0, 8, 1)).is_none());
    let Submit::Full(io) = queue.submit(request(WRITE, 8, 8, 2)) else { panic!("there is no room") };
    assert_eq!(io.tag(), 2);
    assert_eq!(drain(&mut queue)[0].status(), Status::Ok);
    assert_eq!(run(&mut queue, io).status(), Status::Ok);
    // A part of a block, which goes to a thread where blocks are larger, counts as well; so does a flush.
    assert!(submit(&mut queue, request(Op::Flush, 0, 0, 3)).is_none());
    let Submit::Full(io) = queue.submit(request(WRITE, 1, 1, 4)) else { panic!("there is no room") };
    let _ = (io.abandon(), drain(&mut queue));
}

#[test]
fn a_queue_takes_as_many_as_its_depth_whichever_way_they_go() {
    let directory = directory();
    let mut queue = queue::<AlignedBuf>(&FileOptions { direct: true, ..image(&directory, 1 << 20) }, 6);
    // By the ring, as a group to be synced, and by threads.
    let ways =
        [(WRITE, 8), (WRITE_FUA, 8), (Op::Flush, 0), (Op::Discard, 8), (Op::WriteZeroes, 8), (Op::Read, 8)];
    for (number, (op, sectors)) in (0..).zip(ways) {
        let lba = if sectors == 0 { 0 } else { number * 8 };
        assert!(submit(&mut queue, request(op, lba, sectors, 1)).is_none(), "{op:?}");
        assert_eq!(queue.in_flight() as u64, number + 1);
    }
    for (op, sectors) in ways {
        let io = request(op, if sectors == 0 { 0 } else { 800 }, sectors, 2);
        let Submit::Full(io) = queue.submit(io) else { panic!("a seventh {op:?} finds room") };
        let _ = io.abandon();
    }
    assert_eq!(drain(&mut queue).len(), 6);
}

#[test]
fn the_event_wakes_a_poll_and_an_epoll_that_were_there_first() {
    let directory = directory();
    let mut queue = queue::<AlignedBuf>(&FileOptions { direct: true, ..image(&directory, 1 << 20) }, 16);
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let data = epoll::EventData::new_u64(7);
    epoll::add(&poller, queue.event().unwrap(), data, epoll::EventFlags::IN).unwrap();
    for round in 0..200 {
        assert!(!is_readable(&*queue, Duration::ZERO), "nothing has ended, round {round}");
        for number in 0..4 {
            assert!(submit(&mut queue, request(WRITE, number * 8, 8, round as u8)).is_none());
        }
        queue.kick().unwrap();
        let mut ended = Vec::new();
        while queue.in_flight() > 0 {
            let mut events = Vec::with_capacity(4);
            let patience = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
            match epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
                // The kernel dealt with completions, and leaves it to the caller to ask again.
                Err(Errno::INTR) => {}
                woken => assert_eq!(woken.unwrap(), 1, "woken before the time is up"),
            }
            queue.reap(&mut ended);
        }
        assert_eq!(ended.len(), 4);
    }
}

#[test]
fn what_works_on_threads_wakes_the_same_event() {
    let directory = directory();
    let mut queue = queue::<AlignedBuf>(&image(&directory, 1 << 20), 16);
    for round in 0..50 {
        assert!(submit(&mut queue, request(WRITE, 0, 64, 9)).is_some_and(|done| done.status().is_ok()));
        assert!(submit(&mut queue, request(Op::Discard, 8, 8, 1)).is_none());
        assert!(submit(&mut queue, request(Op::WriteZeroes, 24, 8, 2)).is_none());
        let ended = drain(&mut queue);
        assert_eq!(ended.len(), 2);
        assert!(ended.iter().all(|done| done.status().is_ok()), "round {round}");
        let read = run(&mut queue, request(Op::Read, 0, 64, 0));
        let zeros: Vec<_> = read.data().unwrap().chunks(512).map(|sector| sector == [0; 512]).collect();
        assert!(
            (0..64).all(|sector| zeros[sector] == ((8..16).contains(&sector) || (24..32).contains(&sector)))
        );
        // What is told late of the threads is taken up, too: nothing spins.
        let mut ended = Vec::new();
        for _ in 0..100 {
            queue.reap(&mut ended);
            if !is_readable(&*queue, Duration::from_millis(1)) {
                break;
            }
        }
        assert!(ended.is_empty() && !is_readable(&*queue, Duration::ZERO));
    }
}

#[test]
fn what_is_cached_is_read_in_place_and_the_rest_through_the_ring() {
    let directory = directory();
    let options = image(&directory, 1 << 20);
    let mut queue = queue::<Pieces>(&options, 16);
    assert!(submit(&mut queue, request(WRITE, 0, 16, 7)).is_some(), "into the page cache");
    let done = submit(&mut queue, request(Op::Read, 0, 16, 0)).expect("all of it is there");
    assert!(done.segments().all(|piece| piece.iter().all(|&byte| byte == 7)));
    let file = std::fs::File::open(&options.path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(submit(&mut queue, request(Op::Read, 0, 16, 0)).is_none(), "nothing of it is there");
    let done = drain(&mut queue).remove(0);
    assert!(done.status().is_ok());
    assert!(done.segments().all(|piece| piece.iter().all(|&byte| byte == 7)));
}

#[test]
fn a_queue_may_be_moved_to_another_thread_with_requests_in_flight_and_dropped_there() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { direct, ..image(&directory, 1 << 20) };
        let mut queue = queue::<AlignedBuf>(&options, 64);
        for number in 0..32 {
            let _ = submit(&mut queue, request(WRITE_FUA, number * 8, 8, number as u8));
        }
        queue.kick().unwrap();
        let mut queue = std::thread::spawn(move || {
            assert!(drain(&mut queue).iter().all(|done| done.status().is_ok()));
            for number in 0..32 {
                let _ = submit(&mut queue, request(WRITE_FUA, number * 8, 8, 1 + number as u8));
            }
            queue.kick().unwrap();
            queue
        })
        .join()
        .unwrap();
        // The thread that started them is gone; the kernel gives up what it has not begun.
        for done in drain(&mut queue) {
            assert!(matches!(done.status(), Status::Ok | Status::Aborted), "{done:?}");
        }
        for number in 0..32 {
            let _ = submit(&mut queue, request(WRITE_FUA, number * 8, 8, 2 + number as u8));
        }
        queue.kick().unwrap();
        std::thread::spawn(move || drop(queue)).join().unwrap();
    }
}

#[test]
fn buffers_are_whole_after_a_queue_was_dropped_with_everything_in_flight() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { direct, ..image(&directory, 1 << 22) };
        std::fs::write(&options.path, vec![0xee; 1 << 22]).unwrap();
        for kicked in [false, true] {
            let mut queue = queue::<AlignedBuf>(&options, 64);
            for number in 0..60_u64 {
                let op = [Op::Read, WRITE, WRITE_FUA, Op::Flush, Op::Discard][number as usize % 5];
                let sectors = if op == Op::Flush { 0 } else { 64 };
                let lba = if op == Op::Flush { 0 } else { number * 64 };
                let _ = submit(&mut queue, request(op, lba, sectors, number as u8));
            }
            if kicked {
                queue.kick().unwrap();
            }
            drop(queue);
        }
    }
}
