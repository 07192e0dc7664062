//! Frames of one target, as whoever traces it sees them.

mod common;

use std::sync::{Arc, Mutex};

use aoe_target::bdev::{AlignedBuf, Backend, Inline, MemDisk};
use aoe_target::{Address, Direction, LinkId, MacAddr, State, Tap, Target, TargetOptions};
use bytes::BytesMut;
use common::{HOST, OTHER, OWN, TARGET, World, read, request, request_to, write};

type Seen = Arc<Mutex<Vec<(LinkId, Direction, Vec<u8>)>>>;

fn tap() -> (Seen, Tap) {
    let seen = Seen::default();
    let tap = {
        let seen = Arc::clone(&seen);
        Box::new(move |frame: aoe_target::Tapped<'_>| {
            seen.lock().unwrap().push((frame.link, frame.direction, frame.pieces.concat()));
        })
    };
    (seen, tap)
}

fn world(links: usize) -> World {
    let disk = Inline::new(MemDisk::new(64));
    World::new(&disk, links, 1500, TargetOptions { deny: vec![OTHER], ..TargetOptions::new(OWN) })
}

#[test]
fn requests_and_replies_of_the_target_are_seen_whole_and_with_their_link() {
    let mut world = world(2);
    let (seen, tap) = tap();
    world.server.set_tap(world.target, Some(tap));
    let (write, read) = (write(1, 8, &[7; 512]), read(2, 8, 1));
    let written = world.ask_one(&write);
    let data = world.ask_one(&read);
    assert_eq!(data[36..548], [7; 512]);
    let link = world.links[0];
    let expected = [
        (link, Direction::Received, write),
        (link, Direction::Sent, written.to_vec()),
        (link, Direction::Received, read),
        (link, Direction::Sent, data.to_vec()),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_frame_without_an_answer_is_seen_and_those_of_other_targets_are_not() {
    let mut world = world(1);
    let disk = Inline::new(MemDisk::new(64));
    let info = Backend::<AlignedBuf>::info(&disk);
    let beside = Target::new(TargetOptions::new(Address::new(7, 4)), info, State::default());
    let queue = Backend::<BytesMut>::open_queue(&disk, 16).unwrap();
    world.server.add_target(beside, queue, Box::new(|_| Ok(())), &world.links.clone()).unwrap();
    let (seen, tap) = tap();
    world.server.set_tap(world.target, Some(tap));
    let denied = request(OTHER, 1, 1, &[0; 8]);
    assert!(world.ask(&denied).len() <= 1, "the advertisement of the other target");
    world.ask_one(&request_to(TARGET, HOST, [0, 7, 4], 1, 2, &[0; 8]));
    let frames: Vec<_> = seen.lock().unwrap().iter().map(|(_, way, frame)| (*way, frame.clone())).collect();
    assert_eq!(frames, [(Direction::Received, denied)]);
}

#[test]
fn changes_and_advertisements_are_seen_and_nothing_after_the_tap_is_taken_away() {
    let mut world = world(1);
    let (seen, tap) = tap();
    world.server.set_tap(world.target, Some(tap));
    world.ask_one(&request(HOST, 1, 1, &[0, 0, 0, 0, 0, 0x14, 0, 1, b'x']));
    world.server.set_options(world.target, TargetOptions { buffer_count: 99, ..TargetOptions::new(OWN) });
    let _ = world.turn();
    let ways: Vec<_> = seen.lock().unwrap().iter().map(|(_, way, _)| *way).collect();
    assert_eq!(ways, [Direction::Received, Direction::Sent, Direction::Sent]);
    assert_eq!(seen.lock().unwrap()[2].2[..6], MacAddr::BROADCAST.0);
    world.server.set_tap(world.target, None);
    world.received(0);
    world.ask_one(&read(2, 0, 1));
    assert_eq!(seen.lock().unwrap().len(), 3);
}
