//! What an operator sets: who is answered, and what initiators may change.

mod common;

use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Identity, MacAddr, TargetOptions};
use common::{HOST, OTHER, OWN, World, ata, ata_from, registers, request, request_to};

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

#[test]
fn new_settings_hold_for_the_next_frame_and_are_advertised_where_they_are_news() {
    let mut world = world(TargetOptions::new(OWN));
    let options = TargetOptions { buffer_count: 40, ..TargetOptions::new(OWN) };
    let mut set = |options: &TargetOptions| {
        world.server.set_options(world.target, options.clone());
        let _ = world.turn();
        world.received(0)
    };
    let advertised = set(&options);
    assert_eq!((advertised.len(), &advertised[0][24..26]), (1, &[0, 40][..]));
    assert!(set(&options).is_empty(), "nothing new");
    let advertised = set(&TargetOptions { allow: vec![OTHER], ..options.clone() });
    assert_eq!(advertised.iter().map(|frame| &frame[..6]).collect::<Vec<_>>(), [OTHER.0]);
    let serial = Identity::new("another", Identity::FIRMWARE, Identity::MODEL).unwrap();
    assert!(set(&TargetOptions { allow: vec![OTHER], identity: serial, ..options }).is_empty());
    assert!(world.ask(&ata_from(HOST, 1, READ, 0, &[])).is_empty());
    assert_eq!(world.ask_one(&ata_from(OTHER, 2, READ, 0, &[])).len(), 548);
    let identify = world.ask_one(&ata_from(OTHER, 3, [0, 0, 1, 0xec], 0, &[]));
    assert_eq!(&identify[36 + 20..36 + 28], b"natoeh r", "words 10 on, the bytes of each swapped");
}

#[test]
fn what_initiators_made_of_the_write_cache_stays_unless_its_setting_changes() {
    let mut world = world(TargetOptions::new(OWN));
    let cache_is_on =
        |world: &mut World| world.ask_one(&ata(1, [0, 0, 1, 0xec], 0, &[]))[36 + 170] & 0x20 != 0;
    assert!(!cache_is_on(&mut world));
    world.ask_one(&ata(2, [0, 2, 0, 0xef], 0, &[]));
    assert!(cache_is_on(&mut world));
    let options = TargetOptions { lock_mask: true, ..TargetOptions::new(OWN) };
    world.server.set_options(world.target, options.clone());
    assert!(cache_is_on(&mut world), "its setting is as it was");
    world.server.set_options(world.target, TargetOptions { write_cache: true, ..options.clone() });
    world.server.set_options(world.target, options);
    assert!(!cache_is_on(&mut world));
}
