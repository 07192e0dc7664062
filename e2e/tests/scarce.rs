//! What is there too little of: room for frames that arrive, frames to take them in, memory for frames.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use e2e::disk::SECTORS;
use e2e::faulty::FaultyDisk;
use e2e::lab::PATIENCE;
use e2e::net::{CLIENT, TARGET, note, skip};
use e2e::request::{config, flush, identify, read, write};
use e2e::rng::Rng;
use e2e::{Lab, SECTOR, Setup};
use rustix::process::Signal;

const BYTES: usize = SECTORS as usize * SECTOR;

/// Requests that the target allows an initiator, of which it loses none then.
const ALLOWED: &str = "4000";

/// A number from the line that the target ends with.
#[track_caller]
fn total(lab: &Lab, name: &str) -> u64 {
    let said = lab.target.stderr();
    let number = said.rsplit_once(&format!("{name}=")).map(|(_, rest)| rest.split_whitespace().next());
    number.flatten().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {name} in: {said}"))
}

/// Sends a write of one sector to each of so many sectors from LBA 0 on, no two alike. Returns their LBAs and data by tag.
fn send_writes(lab: &mut Lab, count: u64) -> HashMap<Vec<u8>, (u64, [u8; SECTOR])> {
    let mut rng = Rng::new(count);
    let mut one = |lba| {
        let mut data = [0; SECTOR];
        rng.fill(&mut data);
        let frame = write(lba, &data).bytes();
        lab.client.send(&frame);
        (frame[20..24].to_vec(), (lba, data))
    };
    (0..count).map(&mut one).collect()
}

/// Takes the answers to writes until a whole second brings none, and remembers what they say is on the disk.
#[track_caller]
fn take_answers(lab: &mut Lab, open: &mut HashMap<Vec<u8>, (u64, [u8; SECTOR])>) -> u64 {
    let mut answers = 0;
    while let Some(frame) = lab.next(Duration::from_secs(1)) {
        let (lba, data) = open.remove(&frame[20..24]).expect("one answer to each write");
        assert_eq!((frame[14], frame[27]), (0x18, 0x40));
        lab.disk.expect(lba, &data);
        answers += 1;
    }
    answers
}

#[test]
fn when_the_receive_buffer_overflows_frames_are_lost_and_counted_and_nothing_else_is() {
    for link in ["packet", "pnet"] {
        println!("--- {link}");
        // As many as one initiator has outstanding here and more, so that all are within its share.
        Setup::default().options(&["-b", "65535", "--cache", "writeback", "--link", link]).run(|lab| {
            lab.target.signal(Signal::STOP);
            let mut open = send_writes(lab, SECTORS);
            lab.target.signal(Signal::CONT);
            let answers = take_answers(lab, &mut open);
            lab.ask(&flush()).good();
            // Each write whose answer is missing was not executed: its frame is what was lost.
            lab.disk.verify();
            lab.read(0, 2);
            let sent = lab.client.sent();
            lab.target.stop();
            let (received, lost) = (total(lab, "frames_received"), total(lab, "lost_on_arrival"));
            note(&format!("{link}: of {sent} frames {received} received, {lost} reported lost, {answers} writes answered"));
            assert!(lost > 0, "the buffer held everything");
            assert_eq!((received + lost, answers + lost), (sent, SECTORS));
            lab.revive();
        });
    }
}

/// Holds a disk, sends more writes than there are frames in the pool, releases it: each must be answered in the end.
#[track_caller]
fn more_writes_than_frames(lab: &mut Lab, disk: &FaultyDisk, count: u64, meanwhile: impl Fn(&mut Lab)) {
    disk.hold();
    let open: Vec<_> = (0..count).map(|lba| write(lba, &[lba as u8; SECTOR]).bytes()).collect();
    open.iter().for_each(|frame| lab.client.send(frame));
    meanwhile(lab);
    disk.release();
    let mut tags: HashMap<&[u8], u64> = (0..).zip(&open).map(|(lba, frame)| (&frame[20..24], lba)).collect();
    while !tags.is_empty() {
        let left = tags.len();
        let frame = lab.next(PATIENCE).unwrap_or_else(|| panic!("{left} of {count} writes are not answered"));
        assert_eq!((frame[14], frame[27]), (0x18, 0x40));
        tags.remove(&frame[20..24]).expect("one answer to each write");
    }
    for lba in [0, 1, count / 2, count - 1] {
        lab.ask(&read(lba, 1)).good().with_data(&[lba as u8; SECTOR]);
    }
    lab.ask(&identify()).good();
    lab.ask(&config(0, b"")).good();
}

#[test]
fn when_a_disk_keeps_every_frame_of_the_pool_what_arrives_waits_and_is_served() {
    for link in ["packet", "pnet"] {
        println!("--- {link}");
        Setup::default().options(&["--link", link, "-b", ALLOWED]).run(|lab| {
            let whole = lab.disk.path().to_owned();
            let Some(disk) = FaultyDisk::start(&lab.net, lab.dir.path(), "fuse", BYTES, Duration::ZERO)
            else {
                return;
            };
            lab.export(disk.path());
            more_writes_than_frames(lab, &disk, 3000, |lab| {
                assert_eq!(lab.next(Duration::from_millis(300)), None, "the disk is not held");
            });
            lab.export(&whole);
        });
    }
}

#[test]
fn when_there_is_no_memory_for_more_frames_those_that_are_there_are_used() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skip("needs the command prlimit: apt-get install util-linux");
    }
    // The heaps that threads reserve beforehand would count as memory that it has.
    Setup::default().options(&["-b", ALLOWED]).wrapper(&["env", "MALLOC_ARENA_MAX=1"]).run(|lab| {
        let whole = lab.disk.path().to_owned();
        let Some(disk) = FaultyDisk::start(&lab.net, lab.dir.path(), "fuse", BYTES, Duration::ZERO) else {
            return;
        };
        lab.export(disk.path());
        // Lists have grown and threads been started: from here on it is frames that memory is needed for.
        more_writes_than_frames(lab, &disk, 1500, |_| {});
        lab.target.limit_memory(1 << 20);
        // Longer frames, a thousand of which would take nine MiB.
        for name in [CLIENT, TARGET] {
            lab.net.ip(&format!("link set {name} mtu 9000"));
        }
        lab.await_advertisement(PATIENCE);
        while lab.next(Duration::from_millis(150)).is_some() {}
        more_writes_than_frames(lab, &disk, 1500, |_| {});
        lab.export(&whole);
    });
}
