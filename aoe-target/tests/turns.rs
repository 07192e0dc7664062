//! What a turn takes in and gives out at a time, where a disk ends requests later.

mod common;

use std::collections::VecDeque;
use std::io;

use aoe_link::MemLink;
use aoe_target::bdev::testing::Delay;
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Link, LinkInfo, TargetOptions};
use bytes::BytesMut;
use common::{OWN, World, read, tag};

/// A link that delivers three frames at a time.
struct Threes {
    link: MemLink,
    waiting: VecDeque<BytesMut>,
}

impl Link for Threes {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        self.link.info()
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        self.link.alloc()
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        let mut arrived = Vec::new();
        self.link.recv(&mut arrived)?;
        self.waiting.extend(arrived);
        rx.extend(self.waiting.drain(..self.waiting.len().min(3)));
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        self.link.send(tx)
    }
}

fn in_threes(link: MemLink) -> Threes {
    Threes { link, waiting: VecDeque::new() }
}

#[test]
fn requests_that_must_wait_are_taken_in_together_and_answered_a_few_at_a_time() {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(64)));
    let mut world = World::over(in_threes, &disk, 1, 1500, TargetOptions::new(OWN));
    for number in 0..20 {
        world.send(0, &read(number, 0, 1));
    }
    let progress = world.turn();
    assert_eq!((progress.received, progress.in_flight, progress.sent), (20, 20, 0));
    gate.open();
    let mut answered = Vec::new();
    for sent in [8, 8, 4] {
        let progress = world.turn();
        assert_eq!(progress.sent, sent);
        assert!(!progress.is_idle(), "whoever waits now would leave some unanswered");
        answered.extend(world.received(0).iter().map(|reply| tag(reply)));
    }
    assert_eq!(answered, (0..20).collect::<Vec<_>>());
    let progress = world.turn();
    assert!(progress.is_idle() && !progress.stalled);
}

#[test]
fn requests_that_are_answered_at_once_are_taken_in_a_burst_at_a_time() {
    let disk = Inline::new(MemDisk::new(64));
    let mut world = World::over(in_threes, &disk, 1, 1500, TargetOptions::new(OWN));
    for number in 0..7 {
        world.send(0, &read(number, 0, 1));
    }
    assert_eq!([(); 3].map(|()| world.turn().sent), [3, 3, 1]);
}

#[test]
fn what_waits_for_room_in_a_queue_is_told_since_no_event_tells() {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(64)));
    let mut world = World::over(in_threes, &disk, 1, 1500, TargetOptions::new(OWN));
    for number in 0..64 {
        world.send(0, &read(number, 0, 1));
    }
    while world.turn().received != 0 {}
    assert!(!world.turn().stalled, "the queue has room for 64");
    world.send(0, &read(64, 0, 1));
    assert!(world.turn().stalled);
    gate.open();
    let mut answered = 0;
    for _ in 0..40 {
        answered += world.turn().sent;
    }
    assert_eq!(answered, 65);
}
