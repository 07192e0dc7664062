//! What a target counts of its requests, by kind of error and by reason for silence.

mod common;

use aoe_target::bdev::testing::{Fault, Faults, Faulty};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{MacAddr, Stats, Status, TargetOptions};
use common::{HOST, OTHER, OWN, TARGET, World, ata, ata_from, read, request, request_to};

fn stats(world: &World) -> Stats {
    *world.server.target(world.target).unwrap().stats()
}

fn world(options: TargetOptions) -> World {
    World::new(&Inline::new(MemDisk::new(64)), 1, 1500, options)
}

#[test]
fn frames_without_an_answer_are_counted_by_reason() {
    let mut world = world(TargetOptions { deny: vec![OTHER], ..TargetOptions::new(OWN) });
    let config_test = [0, 0, 0, 0, 0, 0x11, 0, 1, b'x'];
    let silent = [
        ata_from(OTHER, 1, [0x40, 0, 1, 0x24], 0, &[]),
        ata_from(MacAddr([3, 0, 0, 0, 0, 1]), 2, [0x40, 0, 1, 0x24], 0, &[]),
        request(HOST, 0, 3, &[0; 4]),
        request_to(MacAddr([2, 0, 0, 0, 9, 9]), HOST, [0, 7, 3], 1, 4, &[0; 8]),
        request(HOST, 1, 5, &config_test),
        request_to(TARGET, HOST, [0xff, 0xff, 0xff], 0, 6, &[0; 12]),
    ];
    for frame in &silent {
        assert!(world.ask(frame).is_empty(), "{frame:02x?}");
    }
    let stats = stats(&world);
    assert_eq!((stats.not_admitted, stats.malformed, stats.not_addressed, stats.quiet), (1, 2, 1, 2));
    assert_eq!((stats.ignored, stats.requests, stats.replies), (6, 0, 0));
}

#[test]
fn errors_are_counted_by_kind() {
    let faults = Faults::default();
    let mut world =
        World::new(&Faulty::new(Inline::new(MemDisk::new(64)), &faults), 1, 1500, TargetOptions::new(OWN));
    let failing = [
        read(1, 64, 1),
        read(2, 0, 0),
        ata(3, [0, 0, 0, 0x99], 0, &[]),
        request(HOST, 9, 4, &[0; 12]),
        request(HOST, 2, 5, &[0, 7, 0, 0]),
        ata(6, [0x41, 0, 1, 0x34], 0, &[1; 100]),
    ];
    for frame in &failing {
        world.ask_one(frame);
    }
    faults.add(Fault::status(Status::Media));
    world.ask_one(&read(7, 0, 1));
    let stats = stats(&world);
    assert_eq!(
        (stats.ata_errors, stats.ata_beyond_end, stats.ata_aborted, stats.ata_unreadable),
        (4, 1, 2, 1)
    );
    assert_eq!((stats.aoe_errors, stats.aoe_errors_by_code), (3, [0, 1, 2, 0, 0, 0, 0]));
    assert_eq!((stats.replies, stats.disk_errors), (7, 1));
}
