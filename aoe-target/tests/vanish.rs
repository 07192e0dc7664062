//! A disk that goes away and comes back, and one that is opened anew: order and promises are kept over the change of queues.

mod common;

use std::sync::{Arc, Weak};
use std::time::Duration;

use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{
    Backend, DeviceInfo, Done, Io, IoQueue, Link, MacAddr, OpenDisk, State, Submit, Target, TargetId,
    TargetOptions,
};
use bytes::BytesMut;
use common::fleet::Fleet;
use common::{HOST, OWN, ata, read, registers, request, request_to, tag, write};

type Disk = Arc<Inline<MemDisk>>;

/// A queue; what is dead when it has been dropped.
struct Watched {
    queue: Box<dyn IoQueue<BytesMut>>,
    _alive: Arc<()>,
}

impl IoQueue<BytesMut> for Watched {
    fn submit(&mut self, io: Io<BytesMut>) -> Submit<BytesMut> {
        self.queue.submit(io)
    }
    fn reap(&mut self, done: &mut Vec<Done<BytesMut>>) {
        self.queue.reap(done);
    }
    fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }
}

/// 7.3 on a link, from a queue that holds every request until the gate is opened.
struct World {
    fleet: Fleet,
    id: TargetId,
    disk: Disk,
    gate: Gate,
    first: Weak<()>,
}

impl World {
    fn new(options: TargetOptions) -> Self {
        let disk = Arc::new(Inline::new(MemDisk::new(64)));
        let (slow, gate) = Delay::until_released(Arc::clone(&disk));
        let alive = Arc::new(());
        let first = Arc::downgrade(&alive);
        let queue = Box::new(Watched { queue: slow.open_queue(64).unwrap(), _alive: alive });
        // Volatile, as most disks are.
        let target = Target::new(options, volatile(&disk), State::default());
        let mut fleet = Fleet::new(1);
        let id = fleet.server.add_target(target, queue, Box::new(|_| Ok(())), &fleet.links).unwrap();
        fleet.turn();
        fleet.received(0);
        Self { fleet, id, disk, gate, first }
    }

    fn ask(&mut self, frame: &[u8]) -> Vec<BytesMut> {
        self.fleet.ask(0, 3, frame)
    }

    fn open(&self) -> Option<OpenDisk<BytesMut>> {
        Some((self.disk.open_queue(64).unwrap(), volatile(&self.disk)))
    }

    fn set(&mut self, disk: Option<OpenDisk<BytesMut>>) {
        self.fleet.server.set_queue(self.id, disk);
    }
}

fn volatile(disk: &Disk) -> DeviceInfo {
    DeviceInfo { features: aoe_target::bdev::Features::FLUSH, ..Backend::<BytesMut>::info(disk) }
}

fn tags(frames: &[BytesMut]) -> Vec<u32> {
    frames.iter().map(|frame| tag(frame)).collect()
}

fn flush(tag: u32) -> Vec<u8> {
    ata(tag, [0, 0, 0, 0xea], 0, &[])
}

fn identify(tag: u32) -> Vec<u8> {
    ata(tag, [0, 0, 1, 0xec], 0, &[])
}

#[test]
fn a_disk_that_is_gone_is_unavailable_then_failed_and_the_rest_is_answered() {
    let mut world = World::new(TargetOptions::new(OWN));
    world.set(None);
    let all =
        || [read(1, 0, 1), write(2, 0, &[1; 512]), flush(3), identify(4), ata(5, [0, 0, 0, 0xe5], 0, &[])];
    for frame in all() {
        assert_eq!(world.ask(&frame)[0][14..16], [0x1c, 3], "{frame:02x?}");
    }
    let everybody = request_to(MacAddr::BROADCAST, HOST, [0xff; 3], 0, 6, &identify(6)[24..]);
    world.fleet.hosts[0].send(&mut [BytesMut::from(&everybody[..])].into()).unwrap();
    world.fleet.turns(2);
    assert!(world.fleet.received(0).is_empty(), "nobody tells of a failure when all were asked");
    for (command, rest) in [(1, 8), (2, 4), (3, 2)] {
        assert_eq!(world.ask(&request(HOST, command, 7, &vec![0; rest]))[0][14..16], [0x18, 0]);
    }
    // The time is looked at once a second.
    world.fleet.now += Duration::from_secs(1);
    world.fleet.turn();
    world.fleet.now += Duration::from_secs(9);
    assert_eq!(world.ask(&read(8, 0, 1))[0][14..16], [0x1c, 3], "it may come back");
    world.fleet.now += Duration::from_secs(2);
    world.fleet.turn();
    for frame in all() {
        let reply = &world.ask(&frame)[0];
        assert_eq!((&reply[14..16], &registers(reply)[1..]), (&[0x18, 0][..], &[4, frame[26], 0x41][..]));
    }
    world.set(None);
    assert_eq!(registers(&world.ask(&read(9, 0, 1))[0])[3], 0x41, "told twice, it is gone all the same");
    let opened = world.open();
    world.set(opened);
    let replies = world.ask(&read(10, 0, 1));
    assert_eq!((tags(&replies), registers(&replies[1])), (vec![0, 10], [0x40, 0, 0, 0x40]));
    world.fleet.now += Duration::from_secs(100);
    assert_eq!(registers(&world.ask(&read(11, 0, 1))[0]), [0x40, 0, 0, 0x40]);
}

#[test]
fn what_a_lost_disk_was_given_ends_there_and_what_had_not_come_to_it_is_unavailable() {
    let mut world = World::new(TargetOptions::new(OWN));
    world.ask(&write(1, 0, &[1; 512]));
    world.ask(&write(2, 0, &[2; 512]));
    world.set(None);
    assert_eq!(tags(&world.ask(&read(3, 9, 1))), [3]);
    assert!(world.first.upgrade().is_some());
    world.gate.open();
    world.fleet.turns(4);
    let replies = world.fleet.received(0);
    let told: Vec<_> = replies.iter().map(|reply| (tag(reply), reply[15])).collect();
    assert_eq!(told, [(1, 0), (2, 3)]);
    assert!(world.first.upgrade().is_none(), "its queue is closed");
    let opened = world.open();
    world.set(opened);
    assert_eq!(world.ask(&read(4, 0, 1))[1][36], 1);
    assert_eq!((world.fleet.turn(), world.fleet.out()), (0, vec![0]));
}

#[test]
fn requests_that_overlap_with_those_of_the_old_queue_wait_for_it_and_others_do_not() {
    let mut world = World::new(TargetOptions::new(OWN));
    world.ask(&write(1, 0, &[7; 512]));
    let opened = world.open();
    world.set(opened);
    assert!(world.ask(&read(2, 0, 1)).is_empty(), "it must see what the old queue writes");
    assert!(world.ask(&flush(3)).is_empty(), "a flush comes after every write before it");
    assert_eq!(tags(&world.ask(&read(4, 9, 1))), [4]);
    assert!(world.first.upgrade().is_some());
    world.gate.open();
    world.fleet.turns(4);
    let replies = world.fleet.received(0);
    assert_eq!(tags(&replies), [1, 2, 3]);
    assert_eq!(replies[1][36], 7);
    assert!(world.first.upgrade().is_none());
}

#[test]
fn a_queue_with_nothing_in_flight_is_closed_at_once_and_a_disk_of_the_same_size_is_no_news() {
    let mut world = World::new(TargetOptions::new(OWN));
    let opened = world.open();
    world.set(opened);
    assert!(world.first.upgrade().is_none());
    assert_eq!(tags(&world.ask(&read(1, 9, 1))), [1]);
    let (queue, info) = world.open().unwrap();
    world.set(Some((queue, DeviceInfo { sectors: 8, ..info })));
    let replies = world.ask(&read(2, 8, 1));
    assert_eq!((tags(&replies), registers(&replies[1])[1]), (vec![0, 2], 0x10));
}

#[test]
fn after_a_loss_that_a_cache_may_have_shared_no_flush_succeeds_and_else_they_do() {
    for (write_cache, status) in [(true, 0x41), (false, 0x40)] {
        let mut world = World::new(TargetOptions { write_cache, ..TargetOptions::new(OWN) });
        world.gate.open();
        assert_eq!(registers(&world.ask(&write(1, 0, &[1; 512]))[0])[3], 0x40);
        world.set(None);
        assert_eq!(world.ask(&flush(2))[0][15], 3);
        let opened = world.open();
        world.set(opened);
        let replies = world.ask(&flush(3));
        assert_eq!(registers(&replies[1])[3], status, "write cache: {write_cache}");
    }
}

#[test]
fn a_removed_target_without_a_disk_goes() {
    let mut world = World::new(TargetOptions::new(OWN));
    world.ask(&write(1, 0, &[1; 512]));
    world.ask(&write(2, 0, &[2; 512]));
    world.fleet.server.remove_target(world.id);
    world.set(None);
    world.gate.open();
    world.fleet.turns(4);
    assert_eq!(tags(&world.fleet.received(0)), [1, 2]);
    assert!(!world.fleet.server.has_target(world.id) && world.first.upgrade().is_none());
    let opened = world.open();
    world.set(opened);
}
