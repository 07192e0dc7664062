//! Files and devices that fail.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bdev::testing::{LoopDevice, Pieces};
use bdev::{AlignedBuf, Backend, BlockingBackend, FileOptions, IoQueue, Op, Status};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{WRITE, WRITE_FUA, directory, drain, image, is_readable, open, request, run, submit};

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn reads_beyond_the_end_of_a_file_that_was_cut_short_fail_and_nothing_else_does() {
    let directory = directory();
    for direct in [false, true] {
        let options = FileOptions { direct, ..image(&directory, 1 << 20) };
        let disk = open(&options);
        let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(16).unwrap();
        assert_eq!(run(&mut queue, request(WRITE_FUA, 0, 64, 7)).status(), Status::Ok);
        // In the middle of a block, and of the second request.
        cut(&options.path, 12 * 512 + 100);
        for number in 0..6 {
            if let Some(done) = submit(&mut queue, request(Op::Read, number * 8, 8, 0)) {
                assert_eq!((done.status(), number), (Status::Ok, 0));
            }
        }
        for done in drain(&mut queue) {
            let expected = if done.extent().lba == 0 { Status::Ok } else { Status::Media };
            assert_eq!(done.status(), expected, "{}, direct {direct}", done.extent());
        }
        let mut queue: Box<dyn IoQueue<Pieces>> = disk.open_queue(16).unwrap();
        assert_eq!(run(&mut queue, request(Op::Read, 8, 8, 0)).status(), Status::Media, "in pieces");
        assert_eq!(run(&mut queue, request(Op::Read, 0, 8, 0)).status(), Status::Ok, "in pieces");
        assert_eq!(disk.disk().reread_size().unwrap(), 12);
        assert_eq!(run(&mut queue, request(Op::Read, 8, 8, 0)).status(), Status::OutOfRange);
    }
}

#[test]
fn writes_for_which_there_is_no_room_fail_alone() {
    let Some(device) = LoopDevice::with_room_for(1 << 20) else { return };
    let disk = open(&FileOptions { direct: true, ..FileOptions::new(device.path()) });
    let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(64).unwrap();
    for number in 0..32 {
        assert!(submit(&mut queue, request(WRITE, number * 128, 128, 1 + number as u8)).is_none());
    }
    let ended = drain(&mut queue);
    let (good, bad): (Vec<_>, Vec<_>) = ended.iter().partition(|done| done.status().is_ok());
    assert_eq!(ended.len(), 32);
    assert!(!good.is_empty() && !bad.is_empty(), "{} of 32 writes of 64 KiB fit into 1 MiB", good.len());
    assert!(bad.iter().all(|done| done.status() == Status::Media));
    for done in good {
        let read = run(&mut queue, request(Op::Read, done.extent().lba, 128, 0));
        assert_eq!(read.status(), Status::Ok);
        assert!(read.data().unwrap().iter().all(|&byte| u64::from(byte) == done.tag()));
    }
}

#[test]
fn a_sync_that_fails_fails_its_whole_group_and_all_that_follow() {
    let Some(device) = LoopDevice::with_room_for(1 << 20) else { return };
    let disk = open(&FileOptions::new(device.path()));
    let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(64).unwrap();
    assert_eq!(run(&mut queue, request(WRITE_FUA, 0, 128, 1)).status(), Status::Ok);
    for number in 1..64 {
        assert!(submit(&mut queue, request(WRITE_FUA, number * 128, 128, 1)).is_none());
    }
    let ended = drain(&mut queue);
    assert_eq!(ended.len(), 63);
    assert!(ended.iter().all(|done| done.status() == Status::Media), "4 MiB cannot have become durable in 1");
    assert!(disk.disk().is_lost());
    assert_eq!(run(&mut queue, request(WRITE_FUA, 0, 8, 1)).status(), Status::Media);
    assert_eq!(run(&mut queue, request(Op::Flush, 0, 0, 1)).status(), Status::Media);
    assert_eq!(run(&mut queue, request(Op::Read, 0, 128, 0)).status(), Status::Ok);
}

#[test]
fn two_rings_of_one_disk_both_hear_that_the_device_failed() {
    let Some(device) = LoopDevice::with_room_for(1 << 20) else { return };
    let disk = || open(&FileOptions::new(device.path()));
    let filling = disk();
    assert_eq!(filling.disk().write_at(0, &vec![1; 2 << 20]), Ok(()));
    assert_eq!(filling.disk().flush(), Err(Status::Media), "2 MiB cannot have become durable in 1");
    for op in [WRITE_FUA, Op::Flush] {
        let disk = disk();
        let [mut first, mut second]: [Box<dyn IoQueue<AlignedBuf>>; 2] =
            std::array::from_fn(|_| disk.open_queue(8).unwrap());
        if op == Op::Flush {
            assert_eq!(disk.disk().write_at(8192, &vec![2; 1 << 20]), Ok(()));
        }
        let (lbas, sectors) = if op == Op::Flush { ([0, 0], 0) } else { ([12_288, 16_384], 256) };
        assert!(submit(&mut first, request(op, lbas[0], sectors, 3)).is_none());
        assert!(submit(&mut second, request(op, lbas[1], sectors, 4)).is_none());
        // Its sync is told of everybody's loss, and the one who would say so has not looked.
        first.kick().unwrap();
        assert!(is_readable(&*first, Duration::from_secs(20)));
        assert_eq!(drain(&mut second)[0].status(), Status::Media, "{op:?}, the second");
        assert_eq!(drain(&mut first)[0].status(), Status::Media, "{op:?}, the first");
    }
}

#[test]
fn a_ring_that_is_opened_after_anothers_sync_failed_hears_of_it_before_that_one_does() {
    let Some(device) = LoopDevice::with_room_for(1 << 20) else { return };
    let disk = open(&FileOptions::new(device.path()));
    let mut first: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(8).unwrap();
    assert!(submit(&mut first, request(WRITE_FUA, 0, 4096, 3)).is_none());
    first.kick().unwrap();
    assert!(is_readable(&*first, Duration::from_secs(20)), "its sync has failed, and it has not looked");
    assert!(!disk.disk().is_lost());
    let mut second: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(8).unwrap();
    assert_eq!(run(&mut second, request(Op::Flush, 0, 0, 4)).status(), Status::Media);
    assert_eq!(drain(&mut first)[0].status(), Status::Media);
}

#[test]
fn without_descriptors_a_queue_is_refused_in_one_line_that_says_what_helps() {
    let directory = directory();
    let disk = open(&image(&directory, 1 << 20));
    let before = getrlimit(Resource::Nofile);
    // Of this process, and for a moment: other tests run in processes of their own, or open nothing that they must have.
    if std::env::var_os("BDEV_URING_LIMIT").is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "faults::without_descriptors_a_queue_is_refused_in_one_line_that_says_what_helps";
        let status =
            Command::new(this).args(["--exact", name]).env("BDEV_URING_LIMIT", "1").status().unwrap();
        return assert!(status.success());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..before }).unwrap();
    let refused = Backend::<AlignedBuf>::open_queue(&disk, 16).map(drop);
    setrlimit(Resource::Nofile, before).unwrap();
    let line = refused.unwrap_err().to_string();
    assert!(line.contains("ulimit -n") && !line.contains('\n'), "{line}");
}
