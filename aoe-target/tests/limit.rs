//! Limits of what initiators may use of a disk: counts over times that the test sets.

mod common;

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Stats, TargetOptions};
use common::{HOST, OTHER, OWN, World, ata, ata_from, read, request, tag, write};

fn world(iops: u32, bytes_per_second: u64) -> World {
    let options = TargetOptions {
        iops: NonZeroU32::new(iops),
        bytes_per_second: NonZeroU64::new(bytes_per_second),
        ..TargetOptions::new(OWN)
    };
    World::new(&Inline::new(MemDisk::new(4096)), 1, 1500, options)
}

fn stats(world: &World) -> Stats {
    *world.server.target(world.target).unwrap().stats()
}

/// Turns once, so much later; the tags of the replies.
fn after(world: &mut World, time: Duration) -> Vec<u32> {
    world.now += time;
    let _ = world.server.turn(world.now).unwrap();
    world.received(0).iter().map(|reply| tag(reply)).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn requests_beyond_the_limit_wait_in_order_and_none_is_dropped() {
    let mut world = world(100, 0);
    for tag in 1..=40 {
        world.send(0, &read(tag, 0, 1));
    }
    let mut order = after(&mut world, Duration::ZERO);
    while world.turn().received != 0 {}
    order.extend(world.received(0).iter().map(|reply| tag(reply)));
    assert!((10..=11).contains(&order.len()), "a tenth of a second's worth at once: {}", order.len());
    let waiting = 40 - order.len();
    assert_eq!(stats(&world).limited, waiting as u64);
    assert_eq!(stats(&world).in_flight, waiting);
    assert!(world.turn().stalled, "no event tells when time has come");
    world.received(0).iter().for_each(|reply| order.push(tag(reply)));
    let before = order.len();
    order.extend(after(&mut world, 50 * MS));
    assert!((5..=6).contains(&(order.len() - before)), "{} in 50 ms", order.len() - before);
    for _ in 0..40 {
        order.extend(after(&mut world, 10 * MS));
    }
    assert_eq!(order, (1..=40).collect::<Vec<_>>());
    assert!(!world.turn().stalled);
}

#[test]
fn bytes_are_limited_and_a_request_that_is_larger_than_the_burst_is_served() {
    let mut world = world(0, 1024);
    for tag in 1..=3 {
        world.send(0, &read(tag, 0, 2));
    }
    assert_eq!(after(&mut world, Duration::ZERO), [1]);
    assert_eq!(after(&mut world, 800 * MS), []);
    assert_eq!(after(&mut world, 200 * MS), [2]);
    assert_eq!(after(&mut world, 1000 * MS), [3]);
}

#[test]
fn queries_and_flushes_pass_by_reads_that_wait_and_a_flush_follows_a_write_that_waits() {
    let mut world = world(1, 0);
    world.send(0, &read(1, 0, 1));
    world.send(0, &read(2, 8, 1));
    assert_eq!(after(&mut world, Duration::ZERO), [1]);
    world.send(0, &request(HOST, 1, 3, &[0; 8]));
    world.send(0, &ata(4, [0, 0, 0, 0xe7], 0, &[]));
    assert_eq!(after(&mut world, MS), [3, 4]);
    world.send(0, &write(5, 16, &[7; 512]));
    world.send(0, &ata(6, [0, 0, 0, 0xe7], 0, &[]));
    assert_eq!(after(&mut world, MS), []);
    assert_eq!(after(&mut world, 1000 * MS), [2]);
    assert_eq!(after(&mut world, 1000 * MS), [5, 6]);
}

#[test]
fn initiators_take_turns_while_they_wait() {
    let mut world = world(10, 0);
    for number in 1..=10 {
        world.send(0, &read(number, 0, 1));
    }
    world.send(0, &ata_from(OTHER, 100, [0x40, 0, 1, 0x24], 0, &[]));
    let mut order = Vec::new();
    for _ in 0..12 {
        order.extend(after(&mut world, 100 * MS));
    }
    assert_eq!(order.len(), 11);
    assert!(order.iter().position(|tag| *tag == 100).unwrap() <= 3, "{order:?}");
}

#[test]
fn a_server_may_go_while_requests_wait_for_their_limit() {
    let mut world = world(1, 0);
    for tag in 1..=5 {
        world.send(0, &write(tag, 0, &[7; 512]));
        world.send(0, &read(tag, 8, 1));
    }
    assert_eq!(after(&mut world, Duration::ZERO), [1]);
    drop(world);
}

#[test]
fn a_limit_that_is_lifted_lets_everything_through_that_waited_for_it() {
    let mut world = world(1, 0);
    for tag in 1..=5 {
        world.send(0, &read(tag, 0, 1));
    }
    assert_eq!(after(&mut world, Duration::ZERO), [1]);
    world.server.set_options(world.target, TargetOptions::new(OWN));
    assert_eq!(after(&mut world, MS), [2, 3, 4, 5]);
    assert_eq!(stats(&world).limited, 4);
}
