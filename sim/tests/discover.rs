//! Who is there: discovery, attaching, and what targets say of themselves.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use aoe_initiator::{AttachOptions, Event, Failure, Found};
use aoe_wire::{Address, ConfigCommand, MacAddr};
use bdev::{Extent, Inline, MemDisk, Status, Submit};
use common::{Lab, MS, OWN, S, SECTORS};
use sim::{ClientId, Export, Verdict, Weather, World, seeds};

fn export(major: u16, minor: u8) -> Export {
    Export::new(Address::new(major, minor), Inline::new(MemDisk::new(2048)))
}

/// Six targets in three processes on two segments, of which the first reaches the second as well, and an initiator on both.
fn fabric(seed: u64) -> (World, ClientId) {
    let mut world = World::new(seed);
    let [one, two] = [0; 2].map(|_| world.net.add_segment());
    world.add_target(&[one, two], 1500, [export(7, 0), export(7, 1), export(8, 0)]);
    world.add_target(&[one], 1500, [export(7, 2), export(9, 0)]);
    world.add_target(&[two], 9000, [export(7, 3)]);
    let client = world.add_initiator(&[one, two], 1500);
    world.run_for(10 * MS);
    while world.client(client).event().is_some() {}
    (world, client)
}

fn found(world: &mut World, client: ClientId) -> Vec<Found> {
    std::iter::from_fn(|| {
        loop {
            match world.client(client).event()? {
                (_, Event::Found(found)) => return Some(found),
                _ => continue,
            }
        }
    })
    .collect()
}

fn addresses(found: &[Found]) -> Vec<String> {
    found.iter().map(|found| found.address.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn a_broadcast_finds_every_target_once_on_each_link_that_it_is_on() {
    let (mut world, client) = fabric(1);
    world.client(client).initiator().discover(Address::WILDCARD, ConfigCommand::READ, &[]);
    world.run_for(10 * MS);
    let all = found(&mut world, client);
    assert_eq!(addresses(&all), ["e7.0", "e7.1", "e7.2", "e7.3", "e8.0", "e9.0"]);
    assert_eq!(all.len(), 9);
    for found in &all {
        assert_eq!((found.info.buffer_count, found.string.as_slice()), (16, &[][..]));
        let rtt = found.rtt.expect("asked for");
        assert!(rtt < MS && rtt >= MS / 25, "{rtt:?}");
    }
}

#[test]
fn targets_are_found_by_address_and_by_shelf() {
    let (mut world, client) = fabric(1);
    for (address, expected) in [
        (Address::new(7, 2), &["e7.2"][..]),
        (Address::new(7, Address::ANY_MINOR), &["e7.0", "e7.1", "e7.2", "e7.3"]),
        (Address::new(Address::ANY_MAJOR, 0), &["e7.0", "e8.0", "e9.0"]),
        (Address::new(5, 5), &[]),
    ] {
        world.client(client).initiator().discover(address, ConfigCommand::READ, &[]);
        world.run_for(10 * MS);
        assert_eq!(addresses(&found(&mut world, client)), expected);
    }
}

#[test]
fn targets_are_found_by_their_config_string() {
    let (mut world, client) = fabric(1);
    for (minor, string) in [(0, "red one"), (1, "red two"), (2, "blue")] {
        let options = AttachOptions { identify: false, ..AttachOptions::default() };
        let remote = world.client(client).initiator().attach(Address::new(7, minor), options);
        let control = aoe_initiator::Control::Config {
            command: ConfigCommand::SET,
            string: string.as_bytes().to_vec(),
        };
        world.ask(client, remote, control).unwrap();
    }
    found(&mut world, client);
    for (command, string, expected) in [
        (ConfigCommand::PREFIX, "red", &["e7.0", "e7.1"][..]),
        (ConfigCommand::TEST, "blue", &["e7.2"]),
        (ConfigCommand::TEST, "red", &[]),
    ] {
        world.client(client).initiator().discover(Address::WILDCARD, command, string.as_bytes());
        world.run_for(10 * MS);
        let found = found(&mut world, client);
        assert_eq!(addresses(&found), expected);
        assert!(found.iter().all(|found| found.string.starts_with(string.as_bytes())));
    }
}

#[test]
fn a_target_that_starts_is_heard_of_unasked() {
    let (mut world, client) = fabric(1);
    let lan = world.net.add_segment();
    let client_two = world.add_initiator(&[lan], 1500);
    world.run_for(MS);
    world.add_target(&[lan], 1500, [export(1, 1)]);
    world.run_for(MS);
    assert_eq!(found(&mut world, client).len(), 0);
    let [one] = &found(&mut world, client_two)[..] else { panic!("one advertisement") };
    assert_eq!((one.address, one.rtt), (Address::new(1, 1), None));
}

#[test]
fn an_attached_target_is_identified() {
    for mtu in [1500, 9000] {
        let mut lab = Lab::new(1, mtu);
        let remote = lab.remote();
        assert_eq!(remote.address(), OWN);
        assert_eq!(remote.disk().unwrap().sectors, SECTORS);
        let identity = remote.identity().unwrap();
        assert!(identity.supports_lba48());
        assert_eq!((identity.capacity(), identity.is_checksum_valid()), (SECTORS, true));
        assert_eq!(remote.paths().count(), 1);
        assert_eq!(remote.config().unwrap().buffer_count, 16);
    }
}

#[test]
fn a_target_is_found_and_identified_in_any_weather() {
    for seed in seeds(20) {
        let mut world = World::new(seed);
        let lan = world.net.add_segment();
        world.net.set_weather(lan, Weather::rough(300));
        world.add_target(&[lan], 1500, [export(7, 3)]);
        let client = world.add_initiator(&[lan], 1500);
        world.attach(client, OWN, AttachOptions::default()).unwrap();
    }
}

#[test]
fn a_target_that_comes_late_is_found_soon_after() {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    let host = world.add_target(&[lan], 1500, [export(7, 3)]);
    world.kill_target(host);
    // Its advertisement is lost, too.
    let client = world.add_initiator(&[lan], 1500);
    let id = world.client(client).initiator().attach(OWN, AttachOptions::default());
    world.run_for(10 * S);
    world.net.set_weather(lan, Weather { loss: 1000, ..Weather::LAN });
    world.restart_target(host);
    world.run_for(10 * MS);
    world.net.set_weather(lan, Weather::LAN);
    let _ = world.wait_for(client, 1500 * MS, |event| matches!(event, Event::Ready(ready) if *ready == id));
}

#[test]
fn an_address_that_nobody_has_is_given_up_at_the_deadline() {
    let mut lab = Lab::new(1, 1500);
    let before = lab.world.now();
    let options = AttachOptions { deadline: 2 * S, ..AttachOptions::default() };
    let failed = lab.world.attach(lab.client, Address::new(9, 9), options).unwrap_err();
    let took = lab.world.now() - before;
    assert_eq!(failed, Failure::NotFound);
    assert!((2 * S..2 * S + MS).contains(&took), "{took:?}");
}

#[test]
fn a_target_is_looked_for_as_long_as_was_asked_for_whatever_the_deadline_is() {
    for (deadline, seek) in [(S, 5 * S), (5 * S, S)] {
        let mut lab = Lab::new(1, 1500);
        let before = lab.world.now();
        let options = AttachOptions { deadline, seek: Some(seek), ..AttachOptions::default() };
        let failed = lab.world.attach(lab.client, Address::new(9, 9), options).unwrap_err();
        let took = lab.world.now() - before;
        assert_eq!(failed, Failure::NotFound);
        assert!((seek..seek + MS).contains(&took), "{took:?}");
    }
}

#[test]
fn a_reply_of_no_station_or_of_no_target_finds_nothing() {
    // What is written where: source address, shelf and slot.
    for (believed, at, bytes) in [
        (true, 6, &[][..]),
        (false, 6, &[3, 0, 0, 0, 0, 1]),
        (false, 6, &MacAddr::BROADCAST.0),
        (false, 16, &[0xff; 3]),
    ] {
        let mut world = World::new(1);
        let lan = world.net.add_segment();
        let host = world.add_target(&[lan], 1500, [export(7, 3)]);
        let station = world.target(host).stations().next().unwrap();
        world.net.tap(station, move |_, frame| {
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            Verdict::Pass
        });
        let client = world.add_initiator(&[lan], 1500);
        world.client(client).initiator().discover(Address::WILDCARD, ConfigCommand::READ, &[]);
        world.run_for(10 * MS);
        assert_eq!(!found(&mut world, client).is_empty(), believed);
        let options = AttachOptions { deadline: S, ..AttachOptions::default() };
        assert_eq!(world.attach(client, OWN, options).is_ok(), believed);
    }
}

#[test]
fn a_disk_that_became_larger_is_noticed_and_used() {
    let mut lab = Lab::new(1, 1500);
    let id = lab.world.target(lab.target).ids()[0];
    let larger =
        bdev::DeviceInfo { sectors: SECTORS * 2, ..aoe_target::Backend::<bytes::BytesMut>::info(&lab.disk) };
    let beyond = || bdev::Io::read(Extent::new(SECTORS, 1), vec![0; 512], 0);
    let early = lab.world.run(lab.client, lab.remote, beyond());
    assert_eq!(early.done.status(), Status::OutOfRange);

    lab.world.target(lab.target).server().unwrap().set_disk(id, larger);
    let remote = lab.remote;
    let _ = lab.world.wait_for(lab.client, S, |event| matches!(event, Event::Changed(id) if *id == remote));
    assert_eq!(lab.remote().disk().unwrap().sectors, SECTORS * 2);
    let submit = lab.world.client(lab.client).initiator().submit(remote, beyond());
    assert!(matches!(submit, Submit::Queued));
}

#[test]
fn a_detached_target_ends_what_was_outstanding() {
    let mut lab = Lab::new(1, 1500);
    lab.submit_read(1, Extent::new(0, 1000));
    lab.world.run_for(MS / 4);
    let remote = lab.remote;
    lab.world.client(lab.client).initiator().detach(remote);
    let completion = lab.done(S);
    assert_eq!(completion.done.status(), Status::Aborted);
    assert_eq!(completion.failure, Some(Failure::Detached));
    lab.world.run_for(S);
    assert!(lab.world.client(lab.client).view().remote(remote).is_none());
}

#[test]
fn a_world_dropped_in_the_middle_of_requests_is_silent() {
    let disk = Arc::new(Inline::new(MemDisk::new(64)));
    let mut lab = Lab::new(1, 1500);
    lab.submit_read(1, Extent::new(0, 1000));
    lab.world.run_for(MS / 4);
    drop((lab, disk));
}
