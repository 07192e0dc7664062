//! An initiator that sends very many requests, beside one that sends a few: counts of requests, no times.

mod common;

use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Address, Backend, MAX_REQUESTS, MacAddr, State, Target, TargetOptions};
use bytes::BytesMut;
use common::{HOST, OTHER, OWN, World, ata_from, request, tag};

/// Requests that the disk takes at a time.
const DEPTH: usize = 64;
/// What every initiator may have in flight.
const SHARE: u32 = 128;
/// Tags of the modest one begin here.
const MODEST: u32 = 1 << 20;

fn gated(buffer_count: u16) -> (World, Gate) {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(4096)));
    let options = TargetOptions { buffer_count, ..TargetOptions::new(OWN) };
    (World::new(&disk, 1, 1500, options), gate)
}

fn read_from(source: MacAddr, tag: u32) -> Vec<u8> {
    ata_from(source, tag, [0x40, 0, 1, 0x24], u64::from(tag % 4096), &[])
}

/// Has the target receive so many reads.
fn send(world: &mut World, source: MacAddr, tags: impl Iterator<Item = u32>) {
    for tag in tags {
        world.send(0, &read_from(source, tag));
        let _ = world.turn();
    }
}

/// Ends one request after the other; the tags in the order of the replies.
fn drain(world: &mut World, gate: &Gate) -> Vec<u32> {
    let mut tags = Vec::new();
    for _ in 0..10_000 {
        let progress = world.turn();
        tags.extend(world.received(0).iter().map(|reply| tag(reply)));
        if progress.in_flight == 0 {
            return tags;
        }
        gate.release(1);
    }
    panic!("requests are stuck");
}

#[test]
fn a_single_request_does_not_wait_for_all_that_another_has_sent_before() {
    let (mut world, gate) = gated(16);
    send(&mut world, HOST, 0..400);
    assert_eq!(gate.held(), DEPTH);
    send(&mut world, OTHER, MODEST..MODEST + 1);
    let order = drain(&mut world, &gate);
    assert_eq!(order.len(), 401, "nothing is dropped while there is room");
    let place = order.iter().position(|tag| *tag == MODEST).unwrap();
    assert!(place <= DEPTH + 1, "answered after {place}, of which the disk had {DEPTH}");
}

#[test]
fn two_with_a_backlog_are_served_in_turn() {
    let (mut world, gate) = gated(16);
    send(&mut world, HOST, 0..300);
    send(&mut world, OTHER, MODEST..MODEST + 100);
    let order = drain(&mut world, &gate);
    let last = order.iter().rposition(|tag| *tag >= MODEST).unwrap();
    assert!(last < DEPTH + 2 * 100 + 2, "the last of 100 was answered after {last}");
    let own: Vec<_> = order.iter().filter(|tag| **tag >= MODEST).copied().collect();
    assert!(own.is_sorted(), "those of one initiator keep their order");
}

#[test]
fn a_flood_takes_half_the_room_and_all_others_are_received_and_answered() {
    let (mut world, gate) = gated(16);
    send(&mut world, HOST, 0..5_000);
    let room = u32::try_from(MAX_REQUESTS).unwrap() / 2;
    assert_eq!(world.server.stats().over_share, u64::from(5_000 - room));
    for number in 0..3 {
        let source = MacAddr([2, 0, 0, 0, 1, number]);
        let first = MODEST + u32::from(number) * SHARE;
        send(&mut world, source, first..first + SHARE);
    }
    assert_eq!(world.server.stats().over_share, u64::from(5_000 - room), "none of the others'");
    let order = drain(&mut world, &gate);
    assert_eq!(order.iter().filter(|tag| **tag >= MODEST).count(), 3 * SHARE as usize);
    assert_eq!(order.len(), (room + 3 * SHARE) as usize);
    // What has ended counts no more: it is received like the others, though there is little room again.
    for number in 0..5 {
        send(&mut world, MacAddr([2, 0, 0, 0, 1, number]), MODEST..MODEST + SHARE);
    }
    send(&mut world, HOST, 0..1);
    assert_eq!(drain(&mut world, &gate).len(), 5 * SHARE as usize + 1);
}

#[test]
fn whoever_keeps_to_the_buffer_count_loses_nothing() {
    let (mut world, gate) = gated(700);
    send(&mut world, HOST, 0..700);
    send(&mut world, OTHER, MODEST..MODEST + SHARE);
    assert_eq!(world.server.stats().over_share, 0);
    assert_eq!(drain(&mut world, &gate).len(), (700 + SHARE) as usize);
}

#[test]
fn what_waits_for_a_change_of_settings_counts_as_well() {
    let (mut world, gate) = gated(16);
    // A write that takes its time, and a config string that is set after it.
    world.send(0, &ata_from(HOST, 1, [0x41, 0, 1, 0x34], 0, &[7; 512]));
    let _ = world.turn();
    world.send(0, &request(HOST, 1, 2, &[0, 0, 0, 0, 0, 0x14, 0, 1, b'x']));
    let _ = world.turn();
    send(&mut world, HOST, 10..3_010);
    send(&mut world, OTHER, MODEST..MODEST + 1);
    assert!(world.server.stats().over_share > 2_000);
    let order = drain(&mut world, &gate);
    assert!(order.contains(&MODEST), "it was received");
}

/// A disk that answers at once.
fn prompt(buffer_count: u16) -> World {
    let options = TargetOptions { buffer_count, ..TargetOptions::new(OWN) };
    World::new(&Inline::new(MemDisk::new(4096)), 1, 1500, options)
}

/// Has reads wait at the target's link.
fn wait(world: &mut World, source: MacAddr, tags: impl Iterator<Item = u32>) {
    tags.for_each(|tag| world.send(0, &read_from(source, tag)));
}

/// The tags of all replies, in their order.
fn replies(world: &mut World) -> Vec<u32> {
    let mut tags = Vec::new();
    for _ in 0..1_000 {
        let idle = world.turn().is_idle();
        tags.extend(world.received(0).iter().map(|reply| tag(reply)));
        if idle {
            return tags;
        }
    }
    panic!("there is no end of replies");
}

#[test]
fn where_reads_are_answered_at_once_what_a_flood_has_waiting_beyond_its_share_is_dropped_unread() {
    let mut world = prompt(16);
    wait(&mut world, HOST, 0..1_000);
    wait(&mut world, OTHER, MODEST..MODEST + 16);
    let order = replies(&mut world);
    // Of the first 512, and of the next 256, a share; then the link is crowded no more.
    let dropped = 512 + 256 - 2 * SHARE;
    assert_eq!(world.server.stats().over_share, dropped.into());
    assert_eq!(order.len(), (1_016 - dropped) as usize);
    assert_eq!(order.iter().filter(|tag| **tag >= MODEST).count(), 16, "the other's are all answered");
}

#[test]
fn of_what_waits_at_a_link_whoever_keeps_to_the_buffer_count_loses_nothing() {
    let mut world = prompt(16);
    for number in 0..7 {
        wait(&mut world, MacAddr([2, 0, 0, 0, 1, number]), 0..SHARE);
    }
    assert_eq!(replies(&mut world).len(), 7 * SHARE as usize);
    let mut world = prompt(700);
    wait(&mut world, HOST, 0..700);
    assert_eq!(replies(&mut world).len(), 700);
}

#[test]
fn few_that_wait_are_answered_whoever_sent_them() {
    let mut world = prompt(16);
    wait(&mut world, HOST, 0..256);
    assert_eq!(replies(&mut world).len(), 256);
}

#[test]
fn an_initiator_has_a_share_of_each_disk() {
    let mut world = prompt(16);
    let disk = Inline::new(MemDisk::new(4096));
    let options = TargetOptions::new(Address::new(7, 4));
    let target = Target::new(options, Backend::<BytesMut>::info(&disk), State::default());
    let links = world.links.clone();
    world.server.add_target(target, disk.open_queue(64).unwrap(), Box::new(|_| Ok(())), &links).unwrap();
    assert_eq!(replies(&mut world).len(), 1, "it advertises itself");
    for number in 0..SHARE {
        for slot in [3, 4] {
            let mut frame = read_from(HOST, number);
            frame[18] = slot;
            world.send(0, &frame);
        }
    }
    wait(&mut world, OTHER, MODEST..MODEST + SHARE);
    assert_eq!(replies(&mut world).len(), 3 * SHARE as usize);
}

#[test]
fn hosts_that_fill_a_disk_that_hangs_leave_room_for_another_disk() {
    let (mut world, _gate) = gated(16);
    let disk = Inline::new(MemDisk::new(4096));
    let options = TargetOptions::new(Address::new(7, 4));
    let target = Target::new(options, Backend::<BytesMut>::info(&disk), State::default());
    let links = world.links.clone();
    world.server.add_target(target, disk.open_queue(64).unwrap(), Box::new(|_| Ok(())), &links).unwrap();
    for host in 0..16 {
        send(&mut world, MacAddr([2, 0, 0, 0, 1, host]), 0..SHARE);
    }
    world.received(0);
    assert!(world.turn().in_flight < MAX_REQUESTS);
    let mut frame = read_from(OTHER, MODEST);
    frame[18] = 4;
    world.send(0, &frame);
    let _ = world.turn();
    let replies: Vec<_> = world.received(0).iter().map(|reply| tag(reply)).collect();
    assert_eq!(replies, [MODEST]);
}

#[test]
fn changes_of_settings_beyond_a_few_wait_for_their_senders_to_repeat_them() {
    let mut world = prompt(16);
    let set = |number: u32| request(HOST, 1, number, &[0, 0, 0, 0, 0, 0x04, 0, 1, b'a' + (number % 2) as u8]);
    let mut changed = 0;
    for number in 0..200 {
        world.send(0, &set(number));
        let _ = world.turn();
        changed += world.received(0).len();
    }
    assert!((80..90).contains(&changed), "{changed} in a fifth of a second");
    let stats = *world.server.target(world.target).unwrap().stats();
    assert_eq!((stats.hasty_changes, stats.ignored), (200 - changed as u64, 200 - changed as u64));
    for _ in 0..1000 {
        let _ = world.turn();
    }
    assert_eq!(world.ask(&set(300)).len(), 1, "a second later");
}
