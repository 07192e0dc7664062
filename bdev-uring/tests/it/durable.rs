//! Durable writes together, and flushes among them.

use bdev::{AlignedBuf, Backend, BlockingBackend, FileOptions, IoQueue, Op, Status};

use crate::support::{WRITE, WRITE_FUA, directory, drain, image, open, request, run, submit};

#[test]
fn durable_writes_in_flight_together_each_end_once_and_are_there() {
    let directory = directory();
    for direct in [false, true] {
        let disk = open(&FileOptions { direct, ..image(&directory, 1 << 20) });
        let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(32).unwrap();
        for round in 0..20_u8 {
            for number in 0..16_u8 {
                let io = request(WRITE_FUA, u64::from(number) * 8, 8, round ^ number);
                assert!(submit(&mut queue, io).is_none(), "it waits for its sync");
                if number % 5 == 0 {
                    queue.kick().unwrap();
                }
            }
            assert!(submit(&mut queue, request(Op::Flush, 0, 0, 99)).is_none());
            let mut ended = drain(&mut queue);
            ended.sort_by_key(|done| (done.op() == Op::Flush, done.extent().lba));
            assert_eq!(ended.len(), 17);
            assert!(ended.iter().all(|done| done.status().is_ok()));
            assert!(
                ended[..16].iter().zip(0..).all(|(done, number)| done.tag() == u64::from(round ^ number))
            );
        }
        let content = std::fs::read(disk.disk().path()).unwrap();
        assert!(
            (0..16)
                .all(|number| content[number * 4096..][..4096].iter().all(|&byte| byte == 19 ^ number as u8))
        );
    }
}

#[test]
fn after_a_failed_sync_no_durable_write_and_no_flush_succeeds_and_the_rest_goes_on() {
    let directory = directory();
    for direct in [false, true] {
        let disk = open(&FileOptions { direct, ..image(&directory, 1 << 20) });
        let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(32).unwrap();
        // Gathered before somebody else is told of the loss.
        for number in 0..4 {
            assert!(submit(&mut queue, request(WRITE_FUA, number * 8, 8, 1)).is_none());
        }
        assert!(submit(&mut queue, request(Op::Flush, 0, 0, 2)).is_none());
        disk.disk().sync_failed(5);
        let ended = drain(&mut queue);
        assert_eq!(ended.len(), 5);
        assert!(ended.iter().all(|done| done.status() == Status::Media), "direct {direct}");
        assert_eq!(run(&mut queue, request(WRITE_FUA, 0, 8, 3)).status(), Status::Media);
        assert_eq!(run(&mut queue, request(Op::Flush, 0, 0, 3)).status(), Status::Media);
        assert_eq!(disk.disk().flush(), Err(Status::Media));
        assert_eq!(run(&mut queue, request(WRITE, 0, 8, 4)).status(), Status::Ok);
        let read = run(&mut queue, request(Op::Read, 0, 8, 0));
        assert_eq!((read.status(), read.data().unwrap()[4095]), (Status::Ok, 4));
    }
}

#[test]
fn where_a_write_has_no_durable_flag_a_sync_follows() {
    let directory = directory();
    let disk = open(&FileOptions { direct: true, ..image(&directory, 1 << 20) });
    disk.disk().dsync_refused();
    let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(4).unwrap();
    assert_eq!(run(&mut queue, request(WRITE_FUA, 8, 8, 5)).status(), Status::Ok);
    disk.disk().sync_failed(5);
    assert_eq!(run(&mut queue, request(WRITE_FUA, 8, 8, 6)).status(), Status::Media);
}

#[test]
fn a_disk_opened_read_only_has_nothing_to_flush() {
    let directory = directory();
    let disk = open(&FileOptions { read_only: true, ..image(&directory, 1 << 20) });
    let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(4).unwrap();
    assert_eq!(submit(&mut queue, request(Op::Flush, 0, 0, 1)).map(|done| done.status()), Some(Status::Ok));
    assert_eq!(submit(&mut queue, request(WRITE, 0, 1, 1)).map(|done| done.status()), Some(Status::ReadOnly));
}
