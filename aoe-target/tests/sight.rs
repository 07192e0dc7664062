//! What is seen of a target at work: how deep, how fast, by whom, and what came twice.

mod common;

use std::time::Duration;

use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Initiator, MacAddr, Stats, TargetOptions};
use common::{HOST, OTHER, OWN, World, ata_from, read, request, write};

fn gated() -> (World, Gate) {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(4096)));
    (World::new(&disk, 1, 1500, TargetOptions::new(OWN)), gate)
}

fn plain() -> World {
    World::new(&Inline::new(MemDisk::new(4096)), 1, 1500, TargetOptions::new(OWN))
}

fn stats(world: &World) -> Stats {
    *world.server.target(world.target).unwrap().stats()
}

fn initiator(world: &World, mac: MacAddr) -> Initiator {
    *world.server.initiators(world.target).find(|who| who.mac == mac).unwrap()
}

fn read_from(source: MacAddr, tag: u32, lba: u64) -> Vec<u8> {
    ata_from(source, tag, [0x40, 0, 1, 0x24], lba, &[])
}

/// Ends everything that the disk holds.
fn finish(world: &mut World, gate: &Gate) {
    gate.release(1000);
    for _ in 0..100 {
        if world.turn().in_flight == 0 {
            return;
        }
    }
    panic!("requests are stuck");
}

#[test]
fn latency_is_from_the_turn_that_takes_a_request_to_the_turn_that_answers_it() {
    let (mut world, gate) = gated();
    world.send(0, &read(1, 0, 1));
    world.send(0, &write(2, 8, &[7; 512]));
    world.send(0, &request(HOST, 1, 3, &[0; 8]));
    let _ = world.turn();
    let begun = world.now;
    // A config string waits for the write, and a read behind it for the string.
    world.send(0, &request(HOST, 1, 4, &[0, 0, 0, 0, 0, 0x14, 0, 1, b'x']));
    world.send(0, &read(5, 16, 1));
    for _ in 0..20 {
        let _ = world.turn();
    }
    finish(&mut world, &gate);
    let most = world.now - begun;
    let stats = stats(&world);
    let counts = [stats.read_latency, stats.write_latency, stats.other_latency].map(|of| of.count());
    assert_eq!(counts, [2, 1, 2]);
    let range = Duration::from_millis(20)..=most;
    assert!(range.contains(&stats.write_latency.sum()), "{:?}", stats.write_latency);
    assert!(stats.read_latency.sum() >= 2 * *range.start(), "held, it waits too: {:?}", stats.read_latency);
    assert_eq!(stats.other_latency.buckets()[0], 1, "a config query is answered in its turn");
    assert!(stats.other_latency.sum() >= Duration::from_millis(19));
    assert_eq!(initiator(&world, HOST).latency.count(), 3, "requests of the disk");
}

#[test]
fn what_a_disk_answers_at_once_is_in_the_first_bucket() {
    let mut world = plain();
    for tag in 1..=10 {
        world.ask_one(&read(tag, 0, 1));
    }
    let latency = stats(&world).read_latency;
    assert_eq!((latency.buckets()[0], latency.count()), (10, 10));
    assert_eq!((stats(&world).in_flight, stats(&world).max_in_flight), (0, 1));
}

#[test]
fn depth_is_what_was_taken_and_not_answered() {
    let (mut world, gate) = gated();
    for tag in 0..5 {
        world.send(0, &read_from(HOST, tag, u64::from(tag)));
    }
    world.send(0, &read_from(OTHER, 9, 0));
    let _ = world.turn();
    assert_eq!((stats(&world).in_flight, stats(&world).max_in_flight), (6, 6));
    assert_eq!([HOST, OTHER].map(|mac| initiator(&world, mac).in_flight), [5, 1]);
    finish(&mut world, &gate);
    assert_eq!((stats(&world).in_flight, stats(&world).max_in_flight), (0, 6));
    assert_eq!([HOST, OTHER].map(|mac| initiator(&world, mac).in_flight), [0, 0]);
}

#[test]
fn each_initiator_has_its_own_counts() {
    let mut world = plain();
    world.ask_one(&read(1, 0, 2));
    world.ask_one(&write(2, 8, &[7; 512]));
    let last = world.now;
    world.ask_one(&read_from(OTHER, 3, 5000));
    world.ask_one(&request(OTHER, 1, 4, &[0, 0, 0, 0, 0, 0x14, 0, 1, b'x']));
    let host = initiator(&world, HOST);
    assert_eq!((host.requests, host.errors, host.in_flight), (2, 0, 0));
    assert_eq!((host.reads, host.sectors_read, host.writes, host.sectors_written), (1, 2, 1, 1));
    assert!(host.last_seen() <= last && host.last_seen() > Duration::ZERO);
    let other = initiator(&world, OTHER);
    assert_eq!((other.requests, other.errors, other.reads, other.in_flight), (2, 1, 0, 0));
    assert!(other.last_seen() > last);
}

#[test]
fn forged_addresses_are_forgotten_and_whoever_is_not_let_in_is_never_remembered() {
    let mut world = plain();
    for number in 0..=255 {
        world.ask_one(&read_from(MacAddr([2, 0, 0, 0, 1, number]), 1, 0));
    }
    assert_eq!(world.server.initiators(world.target).count(), 64);
    assert_eq!(stats(&world).initiators_forgotten, 256 - 64);
    initiator(&world, MacAddr([2, 0, 0, 0, 1, 255]));
    let deny = TargetOptions { deny: vec![OTHER], ..TargetOptions::new(OWN) };
    let mut world = World::new(&Inline::new(MemDisk::new(64)), 1, 1500, deny);
    assert!(world.ask(&read_from(OTHER, 1, 0)).is_empty());
    assert_eq!(world.server.initiators(world.target).count(), 0);
}

#[test]
fn a_request_is_a_repeat_while_the_first_is_in_flight_whatever_its_tag() {
    let (mut world, gate) = gated();
    world.send(0, &read(1, 8, 2));
    let _ = world.turn();
    world.send(0, &read(2, 8, 2));
    world.send(0, &read(3, 8, 1));
    world.send(0, &read_from(OTHER, 1, 8));
    let _ = world.turn();
    finish(&mut world, &gate);
    assert_eq!(world.received(0).len(), 4, "a repeat is run and answered");
    assert_eq!(stats(&world).retransmits, 1);
    assert_eq!([HOST, OTHER].map(|mac| initiator(&world, mac).retransmits), [1, 0]);
}

#[test]
fn after_the_answer_a_request_is_a_repeat_when_it_has_the_tag_of_the_first() {
    let mut world = plain();
    world.ask_one(&read(1, 8, 2));
    world.ask_one(&read(2, 8, 2));
    assert_eq!(stats(&world).retransmits, 0, "the same sectors once more");
    world.ask_one(&read(2, 8, 2));
    assert_eq!(stats(&world).retransmits, 1);
    // Two in one burst: the second was sent before the first was answered.
    world.send(0, &read(10, 80, 2));
    world.send(0, &read(11, 80, 2));
    let _ = world.turn();
    assert_eq!(stats(&world).retransmits, 2);
}
