//! Requests in flight together: what runs before what, over all links of a disk.

mod common;

use std::sync::{Arc, Mutex};

use aoe_target::bdev::testing::{Delay, Fault, Faults, Faulty, Gate};
use aoe_target::bdev::{DeviceInfo, Features, Inline, IoQueue, MemDisk, Op};
use aoe_target::{Backend, Io, MAX_REQUESTS, MacAddr, Status, Submit, TargetOptions};
use bytes::BytesMut;
use common::{HOST, OTHER, OWN, World, ata, ata_from, read, registers, request, tag, write};

fn options() -> TargetOptions {
    TargetOptions::new(OWN)
}

/// A disk whose requests wait at a gate.
fn gated(links: usize) -> (World, Gate) {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(4096)));
    (World::new(&disk, links, 1500, options()), gate)
}

/// Turns until nothing is in flight, letting one request pass at a time; every reply in order of sending, from all hosts.
fn drain(world: &mut World, gate: &Gate) -> Vec<BytesMut> {
    let mut replies = Vec::new();
    for _ in 0..5_000 {
        let progress = world.turn();
        for host in 0..world.hosts.len() {
            replies.extend(world.received(host));
        }
        if progress.in_flight == 0 {
            return replies;
        }
        gate.release(1);
    }
    panic!("requests are stuck");
}

#[test]
fn case_59_duplicates_and_newer_writes_run_in_order_of_arrival_on_a_slow_disk() {
    let (mut world, gate) = gated(1);
    world.send(0, &write(1, 50, &[1; 512]));
    world.send(0, &write(2, 50, &[1; 512]));
    world.send(0, &write(3, 50, &[2; 512]));
    world.send(0, &read(4, 50, 1));
    let _ = world.turn();
    assert_eq!(gate.held(), 1, "only the first is at the disk");
    let replies = drain(&mut world, &gate);
    assert_eq!(
        replies.iter().map(|reply| tag(reply)).collect::<Vec<_>>(),
        [1, 2, 3, 4],
        "each request has its reply"
    );
    assert_eq!(replies[3][36..], [2; 512]);
    assert_eq!(world.server.stats().overlaps, 3);
}

#[test]
fn case_60_the_order_of_arrival_holds_over_two_links() {
    let (mut world, gate) = gated(2);
    world.send(0, &write(1, 50, &[1; 512]));
    let _ = world.turn();
    // The second link's own address is the destination there.
    let on_second = |mut frame: Vec<u8>| {
        frame[3] = 1;
        frame
    };
    world.send(1, &on_second(write(2, 50, &[1; 512])));
    world.send(1, &on_second(write(3, 50, &[2; 512])));
    let _ = world.turn();
    world.send(0, &read(4, 49, 2));
    let _ = world.turn();
    assert_eq!(gate.held(), 1);
    let replies = drain(&mut world, &gate);
    let read = replies.iter().find(|reply| tag(reply) == 4).unwrap();
    assert_eq!(read[36 + 512..], [2; 512]);
    assert_eq!(replies.len(), 4);
}

#[test]
fn requests_without_a_common_sector_pass_one_that_is_stuck() {
    let (mut world, gate) = gated(1);
    for lba in 0..10 {
        world.send(0, &write(lba, u64::from(lba) * 2, &[1; 512]));
    }
    let _ = world.turn();
    assert_eq!(gate.held(), 10);
    assert_eq!(world.server.stats().overlaps, 0);
    assert_eq!(drain(&mut world, &gate).len(), 10);
}

#[test]
fn a_flush_is_answered_after_every_write_that_arrived_before_it() {
    let (mut world, gate) = gated(1);
    world.send(0, &write(1, 1, &[1; 512]));
    world.send(0, &write(2, 9, &[1; 512]));
    world.send(0, &ata(3, [0, 0, 0, 0xea], 0, &[]));
    world.send(0, &write(4, 20, &[1; 512]));
    let _ = world.turn();
    assert_eq!(gate.held(), 3, "the three writes; the flush waits");
    let order: Vec<_> = drain(&mut world, &gate).iter().map(|reply| tag(reply)).collect();
    let place = |wanted| order.iter().position(|tag| *tag == wanted).unwrap();
    assert!(place(3) > place(1) && place(3) > place(2), "{order:?}");
}

#[test]
fn a_reservation_waits_for_queued_writes_and_binds_what_arrived_after_it() {
    let (mut world, gate) = gated(1);
    world.send(0, &ata_from(OTHER, 1, [0x41, 0, 1, 0x34], 5, &[1; 512]));
    let mut set = vec![1, 1];
    set.extend(HOST.0);
    world.send(0, &request(HOST, 3, 2, &set));
    world.send(0, &ata_from(OTHER, 3, [0x41, 0, 1, 0x34], 5, &[9; 512]));
    world.send(0, &read(4, 5, 1));
    let _ = world.turn();
    assert!(
        world.received(0).is_empty(),
        "the reservation is not confirmed while an evicted initiator's write is queued"
    );
    let replies = drain(&mut world, &gate);
    assert_eq!(replies.iter().map(|reply| tag(reply)).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(replies[2][14..16], [0x1c, 6], "the late write finds the target reserved");
    assert_eq!(replies[3][36..], [1; 512]);
}

#[test]
fn more_requests_than_the_queue_takes_wait_and_none_is_lost() {
    let (mut world, gate) = gated(1);
    let count = u32::try_from(MAX_REQUESTS).unwrap() + 300;
    let mut sent = 0;
    let mut replies = Vec::new();
    for _ in 0..20_000 {
        if sent < count {
            // From many initiators, none of which has more than its share.
            let source = MacAddr([2, 0, 0, 0, 1, u8::try_from(sent % 16).unwrap()]);
            world.send(0, &ata_from(source, sent, [0x40, 0, 1, 0x24], sent.into(), &[]));
            sent += 1;
        }
        let progress = world.turn();
        assert!(progress.in_flight <= MAX_REQUESTS + 64, "the backlog stays with the link");
        replies.extend(world.received(0));
        if sent == count {
            gate.open();
        }
        if replies.len() == sent as usize && sent == count {
            break;
        }
    }
    let mut tags: Vec<_> = replies.iter().map(|reply| tag(reply)).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..count).collect::<Vec<_>>());
    assert!(world.server.stats().queue_full > 0);
}

#[test]
fn a_stopped_server_answers_what_it_took_and_takes_no_more() {
    let (mut world, gate) = gated(1);
    world.send(0, &write(1, 1, &[1; 512]));
    let _ = world.turn();
    world.server.stop();
    world.send(0, &write(2, 2, &[1; 512]));
    let replies = drain(&mut world, &gate);
    assert_eq!(replies.iter().map(|reply| tag(reply)).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_failed_flush_is_remembered_because_the_kernel_tells_of_a_lost_page_only_once() {
    let faults = Faults::default();
    faults.add(Fault::status(Status::Media).only(|op| op == Op::Flush).nth(1));
    let disk = Faulty::new(Inline::new(MemDisk::new(64)), &faults);
    let mut world = World::new(&disk, 1, 1500, options());
    for tag in 1..4 {
        let reply = world.ask_one(&ata(tag, [0, 0, 0, 0xe7], 0, &[]));
        assert_eq!(registers(&reply), [0, 4, 0, 0x41], "flush number {tag}");
    }
}

/// A disk that does nothing and writes down what it was asked.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Op>>>);

impl Recorder {
    /// What was asked since the last call.
    fn take(&self) -> Vec<Op> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Backend<BytesMut> for Recorder {
    fn info(&self) -> DeviceInfo {
        let features = Features::FLUSH | Features::DISCARD | Features::DISCARD_ZEROES;
        DeviceInfo { sectors: 64, features, ..DeviceInfo::default() }
    }

    fn open_queue(&self, _depth: u16) -> std::io::Result<Box<dyn IoQueue<BytesMut>>> {
        Ok(Box::new(self.clone()))
    }
}

impl IoQueue<BytesMut> for Recorder {
    fn submit(&mut self, io: Io<BytesMut>) -> Submit<BytesMut> {
        self.0.lock().unwrap().push(io.op());
        Submit::Done(io.done(Status::Ok))
    }
}

const WRITE: Op = Op::Write { fua: false };
const WRITE_FUA: Op = Op::Write { fua: true };

/// SET FEATURES: write cache on (02) or off (82).
fn set_write_cache(world: &mut World, feature: u8) {
    assert_eq!(registers(&world.ask_one(&ata(9, [0, feature, 0, 0xef], 0, &[]))), [0, 0, 0, 0x40]);
}

#[test]
fn writes_are_durable_before_the_reply_unless_the_write_cache_is_on() {
    let disk = Recorder::default();
    let mut world = World::new(&disk, 1, 1500, options());
    let asked = |world: &mut World, command: u8| {
        world.ask_one(&ata(1, [0x41, 0, 1, command], 3, &[1; 512]));
        disk.take()
    };
    let word_85 = |world: &mut World| world.ask_one(&ata(3, [0, 0, 1, 0xec], 0, &[]))[36 + 170] & 0x20;
    assert_eq!(asked(&mut world, 0x34), [WRITE_FUA], "the write cache is off at first");
    assert_eq!(word_85(&mut world), 0);
    set_write_cache(&mut world, 0x02);
    disk.take();
    assert_eq!(asked(&mut world, 0x34), [WRITE], "switched on");
    assert_eq!(word_85(&mut world), 0x20);
    assert_eq!(asked(&mut world, 0x3d), [WRITE_FUA], "a FUA command is durable all the same");
    set_write_cache(&mut world, 0x82);
    assert_eq!(disk.take(), [Op::Flush], "switching the cache off makes durable what is in it");
    assert_eq!(asked(&mut world, 0x35), [WRITE_FUA]);
}

#[test]
fn a_trim_is_durable_before_the_reply_unless_the_write_cache_is_on() {
    let disk = Recorder::default();
    let mut world = World::new(&disk, 1, 1500, options());
    let mut ranges: Vec<u8> =
        [(1u64, 2u64), (10, 4)].iter().flat_map(|(lba, n)| (lba | n << 48).to_le_bytes()).collect();
    ranges.resize(512, 0);
    let trim = ata(1, [0x41, 1, 1, 0x06], 0, &ranges);
    assert_eq!(registers(&world.ask_one(&trim)), [0x41, 0, 0, 0x40]);
    assert_eq!(disk.take(), [Op::Discard, Op::Discard, Op::Flush]);
    set_write_cache(&mut world, 0x02);
    disk.take();
    world.ask_one(&trim);
    assert_eq!(disk.take(), [Op::Discard, Op::Discard]);
}
