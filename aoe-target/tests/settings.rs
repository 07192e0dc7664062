//! What an operator sets: who is answered, and what initiators may change.

mod common;

use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{MacAddr, TargetOptions};
use common::{HOST, OTHER, OWN, World, ata_from, registers, request, request_to};

fn world(options: TargetOptions) -> World {
    World::new(&Inline::new(MemDisk::new(64)), 1, 1500, options)
}

const READ: [u8; 4] = [0x40, 0, 1, 0x24];

#[test]
fn who_is_denied_gets_no_answer_whatever_the_other_lists_say() {
    let options = TargetOptions { deny: vec![OTHER], ..TargetOptions::new(OWN) };
    let allowed = TargetOptions { allow: vec![OTHER, HOST], ..options.clone() };
    for options in [options, allowed] {
        let mut world = world(options);
        assert!(world.ask(&ata_from(OTHER, 1, READ, 0, &[])).is_empty());
        let query = |src| request_to(MacAddr::BROADCAST, src, [0xff, 0xff, 0xff], 1, 0, &[0; 8]);
        assert!(world.ask(&query(OTHER)).is_empty());
        assert_eq!(registers(&world.ask_one(&ata_from(HOST, 2, READ, 0, &[]))), [0x40, 0, 0, 0x40]);
        assert_eq!(world.ask(&query(HOST)).len(), 1);
        let audience: Vec<_> = world.server.target(world.target).unwrap().audience().collect();
        assert!(!audience.contains(&OTHER), "{audience:?}");
    }
}

/// A request that changes state, the one that reads it, and the switch that forbids the first.
type Locked = (u8, Vec<u8>, Vec<u8>, fn(&mut TargetOptions));

fn locked() -> Vec<Locked> {
    let string = |command| [&[0, 0, 0, 0, 0, command, 0, 1][..], b"x"].concat();
    let mask = [&[0, 1, 0, 1, 0, 1][..], &HOST.0].concat();
    let reserve = |command| [&[command, 1][..], &HOST.0].concat();
    vec![
        (1, string(3), vec![0; 8], |options| options.lock_config = true),
        (1, string(4), vec![0; 8], |options| options.lock_config = true),
        (2, mask, vec![0; 4], |options| options.lock_mask = true),
        (3, reserve(1), vec![0; 2], |options| options.lock_reserve = true),
        (3, reserve(2), vec![0; 2], |options| options.lock_reserve = true),
    ]
}

#[test]
fn what_is_locked_is_refused_as_a_bad_argument_and_can_be_read() {
    for (command, change, read, lock) in locked() {
        let mut options = TargetOptions::new(OWN);
        lock(&mut options);
        let mut world = world(options);
        let before = world.server.target(world.target).unwrap().state().clone();
        assert_eq!(world.ask_one(&request(HOST, command, 1, &change))[14..16], [0x1c, 2], "{change:02x?}");
        assert_eq!(world.server.target(world.target).unwrap().state(), &before);
        assert_eq!(world.ask_one(&request(HOST, command, 2, &read))[14..16], [0x18, 0], "{read:02x?}");
        let all = request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], command, 3, &change);
        assert!(world.ask(&all).is_empty(), "everybody was asked, nobody tells of a failure");
    }
}

#[test]
fn each_lock_leaves_the_others_alone() {
    for (command, change, _, _) in locked() {
        let mut options = TargetOptions::new(OWN);
        for (other, .., lock) in locked() {
            if other != command {
                lock(&mut options);
            }
        }
        let mut world = world(options);
        let before = world.server.target(world.target).unwrap().state().clone();
        assert_eq!(world.ask_one(&request(HOST, command, 1, &change))[14..16], [0x18, 0], "{change:02x?}");
        assert_ne!(world.server.target(world.target).unwrap().state(), &before);
    }
}
