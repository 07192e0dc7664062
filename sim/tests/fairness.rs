//! Many at once: one disk does not starve another, block requests no control requests, and none exceeds what the target queues.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aoe_initiator::{Answer, AttachOptions, Control, Event};
use aoe_wire::{Address, Command, MacAddr, MaskCommand, Packet};
use bdev::{Extent, Inline, Io, MemDisk, Submit};
use common::{Lab, MS, OWN, S, export_with, is_ata};
use sim::{Export, Verdict, Weather, World};

#[test]
fn a_disk_with_a_backlog_does_not_keep_another_from_sending() {
    const REQUESTS: u64 = 20_000;
    const OTHER: Address = Address::new(7, 4);
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    for address in [OWN, OTHER] {
        let mut export = Export::new(address, Arc::new(Inline::new(MemDisk::new(4096))));
        (export.options.buffer_count, export.depth) = (1024, 1024);
        world.add_target(&[lan], 1500, [export]);
    }
    let client = world.add_initiator(&[lan], 1500);
    let options = AttachOptions { window: 1024, ..AttachOptions::default() };
    let [busy, idle] =
        [OWN, OTHER].map(|address| world.attach(client, address, options.clone()).expect("it is there"));
    world.net.set_weather(lan, Weather { delay: (5 * MS, 5 * MS), ..Weather::NONE });
    let read = |lba, tag| Io::read(Extent::new(lba, 1), vec![0; 512], 0).with_tag(tag);
    for tag in 0..REQUESTS {
        let submit = world.client(client).initiator().submit(busy, read(tag % 4096, tag));
        assert!(matches!(submit, Submit::Queued));
    }
    world.run_for(100 * MS);

    let sent = Rc::new(Cell::new(None));
    let (note, station) = (Rc::clone(&sent), world.client(client).stations().next().expect("one"));
    world.net.tap(station, move |at, frame| {
        let to = Packet::parse(frame).map(|packet| packet.aoe.address());
        if to == Ok(OTHER) && is_ata(frame) && note.get().is_none() {
            note.set(Some(at));
        }
        Verdict::Pass
    });
    let began = world.now();
    let submit = world.client(client).initiator().submit(idle, read(0, 1));
    assert!(matches!(submit, Submit::Queued));
    world.run_until(|_| sent.get().is_some(), 5 * S);
    let replies = world.client(client).view().remote(busy).expect("attached").stats().replies;
    let left = REQUESTS.saturating_sub(replies);
    assert!(left > 0, "the other disk was not busy any more");
    let waited = sent.get().expect("it was sent") - began;
    assert!(waited < 20 * MS, "the first request was sent after {waited:?}, {left} of the others left");
}

#[test]
fn a_control_request_is_repeated_though_no_block_request_is_answered() {
    // One that queues one request only.
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|export| export.options.buffer_count = 1, disk)
    });
    for lba in 0..20 {
        lab.read(lba * 64, 64);
    }
    let mut masks = 0;
    lab.tap_target(move |_, frame| {
        let command = Packet::parse(frame).map(|packet| packet.aoe.command);
        masks += u32::from(command == Ok(Command::MASK));
        match command {
            Ok(Command::ATA) => Verdict::Drop,
            Ok(Command::MASK) if masks == 1 => Verdict::Drop,
            _ => Verdict::Pass,
        }
    });
    for tag in 0..64 {
        lab.submit_read(tag, Extent::new(tag * 2, 2));
    }
    lab.world.run_for(S);
    let began = lab.world.now();
    let control = Control::Mask { command: MaskCommand::READ, directives: vec![] };
    let reply = lab.world.ask(lab.client, lab.remote, control).expect("an answer");
    assert!(matches!(reply.answer, Answer::Mask { .. }));
    let took = lab.world.now() - began;
    assert!(took < 2 * S, "{took:?}");
}

#[test]
fn control_requests_too_are_never_more_than_the_target_has_buffers() {
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|export| export.options.buffer_count = 2, disk)
    });
    let air = Rc::new(RefCell::new((0_i64, 0_i64)));
    let [target, initiator] = lab.stations(0);
    let up = Rc::clone(&air);
    lab.world.net.tap(initiator, move |_, _| {
        let (now, most) = &mut *up.borrow_mut();
        *now += 1;
        *most = (*most).max(*now);
        Verdict::Pass
    });
    let down = Rc::clone(&air);
    lab.world.net.tap(target, move |_, _| {
        down.borrow_mut().0 -= 1;
        Verdict::Pass
    });
    for _ in 0..200 {
        let remote = lab.remote;
        lab.world.client(lab.client).initiator().control(remote, Control::query(), None);
    }
    for _ in 0..200 {
        let _ = lab.world.wait_for(lab.client, S, |event| matches!(event, Event::Answer(..)));
    }
    let most = air.borrow().1;
    assert_eq!(most, 2, "frames in the air of a target that queues 2");
}

#[test]
fn a_request_by_a_station_that_nobody_knows_waits_for_it_and_polls_nothing() {
    let mut lab = Lab::new(1, 1500);
    let (link, remote) = (lab.world.client(lab.client).links()[0], lab.remote);
    let nobody = MacAddr([2, 9, 9, 9, 9, 9]);
    lab.world.client(lab.client).initiator().control_by(remote, link, nobody, Control::query(), Some(S));
    lab.world.run_for(10 * MS);
    for _ in 0..100 {
        let now = lab.world.now();
        let progress = lab.world.client(lab.client).initiator().turn(now).expect("a working link");
        assert!(!progress.stalled, "no link refuses anything");
        lab.world.run_for(MS);
    }
    let event = lab.world.wait_for(lab.client, 2 * S, |event| matches!(event, Event::Answer(..)));
    assert!(matches!(event, Event::Answer(_, Err(_))), "{event:?}");
    assert!(lab.world.now() < 2 * S, "{:?}", lab.world.now());
}

#[test]
fn a_request_for_a_target_that_is_not_found_leaves_nothing_behind() {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    let client = world.add_initiator(&[lan], 1500);
    let options = AttachOptions { seek: Some(100 * S), ..AttachOptions::default() };
    let id = world.client(client).initiator().attach(Address::new(1, 1), options);
    for _ in 0..100 {
        world.client(client).initiator().control(id, Control::query(), Some(MS));
        world.run_for(Duration::from_micros(100));
    }
    world.run_for(10 * MS);
    let mut ended = 0;
    while let Some((_, event)) = world.client(client).event() {
        ended += u32::from(matches!(event, Event::Answer(_, Err(_))));
    }
    let now = world.now();
    let progress = world.client(client).initiator().turn(now).expect("a working link");
    assert_eq!((ended, progress.in_flight), (100, 0));
}
