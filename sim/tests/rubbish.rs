//! Targets that answer rubbish: a request ends with a reason, or as if nothing had come, and never later than its deadline.

mod common;

use std::time::Duration;

use aoe_initiator::{AttachOptions, Completion, Event, Failure, Malformed};
use aoe_wire::{ArgMut, AtaError, Command, ErrorCode, Packet, PacketMut, VerFlags};
use bdev::testing::{Fault, Faults, Faulty};
use bdev::{Extent, Status};
use bytes::BytesMut;
use common::{Lab, MS, OWN, S, SECTORS, export_with, is_write, pattern};
use sim::{Export, Verdict, Weather, World, seeds};

const DEADLINE: Duration = S;

fn lab() -> Lab {
    let options = AttachOptions { deadline: DEADLINE, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    lab.write(0, &pattern(1, 0, 100));
    lab
}

/// Has each ATA reply changed.
fn lie(lab: &mut Lab, change: impl Fn(&mut BytesMut) + 'static) {
    lab.tap_target(move |_, frame| {
        if Packet::parse(frame).is_ok_and(|packet| packet.aoe.command == Command::ATA) {
            change(frame);
        }
        Verdict::Pass
    });
}

fn read(lab: &mut Lab) -> Completion<Vec<u8>> {
    lab.submit_read(1, Extent::new(0, 2));
    let completion = lab.done(DEADLINE + MS);
    assert!(completion.latency <= DEADLINE + MS);
    completion
}

fn assert_ignored(lab: &mut Lab) {
    let completion = read(lab);
    assert!(matches!(completion.failure, Some(Failure::Timeout { sent: 3.., .. })), "{completion:?}");
    // Once it stops lying, everything is as it was.
    let [target, _] = lab.stations(0);
    lab.world.net.untap(target);
    assert!(lab.read(0, 100) == pattern(1, 0, 100));
}

#[test]
fn a_reply_with_less_data_than_asked_for_is_named_short() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame.truncate(700));
    let completion = read(&mut lab);
    let expected = Failure::Malformed(Malformed::ShortData { need: 36 + 1024, have: 700 });
    assert_eq!((completion.done.status(), completion.failure), (Status::Media, Some(expected)));
    assert_eq!(lab.stats().malformed, 1);
}

#[test]
fn a_reply_cut_within_its_headers_is_no_reply_or_a_short_one() {
    for len in [14, 23, 24, 25, 35, 36] {
        let mut lab = lab();
        lie(&mut lab, move |frame| frame.truncate(len));
        let completion = read(&mut lab);
        let failure = completion.failure.expect("no data came");
        assert!(matches!(failure, Failure::Malformed(_) | Failure::Timeout { .. }), "{len}: {failure:?}");
    }
}

#[test]
fn a_reply_with_a_tag_that_was_not_sent_is_ignored() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame[20..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xf0]));
    assert_ignored(&mut lab);
}

#[test]
fn a_frame_without_the_response_flag_is_ignored() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame[14] = VerFlags::REQUEST.0);
    assert_ignored(&mut lab);
}

#[test]
fn a_reply_about_another_sector_is_ignored_and_counted() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame[28] ^= 0x10);
    assert_ignored(&mut lab);
    assert!(lab.stats().strays > 0);
}

#[test]
fn a_reply_for_another_target_or_another_command_is_ignored_and_counted() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame[18] ^= 1);
    assert_ignored(&mut lab);
    assert!(lab.stats().strays > 0);
    lie(&mut lab, |frame| frame[19] = Command::MASK.0);
    assert_ignored(&mut lab);
}

#[test]
fn a_reply_of_another_version_is_not_believed() {
    let mut lab = lab();
    lie(&mut lab, |frame| frame[14] = 0x28);
    let completion = read(&mut lab);
    assert!(completion.failure.is_some(), "{:?}", completion.done.status());
}

#[test]
fn an_error_of_the_disk_and_an_error_of_the_target_are_told_apart() {
    let faults = Faults::default();
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|_| {}, Faulty::new(disk, &faults))
    });
    faults.add(Fault::status(Status::Media).touching(Extent::new(50, 1)));
    lab.submit_read(1, Extent::new(0, 100));
    let completion = lab.done(S);
    assert_eq!(completion.done.status(), Status::Media);
    let Some(Failure::Ata { status, .. }) = completion.failure else { panic!("{:?}", completion.failure) };
    assert!(status.is_failure());
    assert_eq!(lab.read(51, 49), [0; 49 * 512]);

    lie(&mut lab, |frame| {
        let packet = PacketMut::parse(frame).unwrap();
        packet.aoe.ver_flags = VerFlags::ERROR_RESPONSE;
        packet.aoe.error = ErrorCode::TARGET_RESERVED;
    });
    lab.submit_read(2, Extent::new(0, 2));
    let completion = lab.done(S);
    assert_eq!(completion.done.status(), Status::Aborted);
    let Some(Failure::Aoe { code, .. }) = completion.failure else { panic!("{:?}", completion.failure) };
    assert_eq!(code, ErrorCode::TARGET_RESERVED);
}

#[test]
fn a_failed_write_is_told_and_the_rest_of_the_disk_is_served() {
    let faults = Faults::default();
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|_| {}, Faulty::new(disk, &faults))
    });
    faults.add(Fault::status(Status::Media).only(is_write).nth(7));
    lab.submit_write(1, 0, pattern(1, 0, 100));
    let completion = lab.done(S);
    assert_eq!(completion.done.status(), Status::Media);
    assert!(matches!(completion.failure, Some(Failure::Ata { .. })));
    lab.write(0, &pattern(1, 0, 100));
    assert!(lab.read(0, 100) == pattern(1, 0, 100));
}

#[test]
fn a_disk_that_is_not_available_for_a_while_is_asked_again() {
    let mut lab = lab();
    lie(&mut lab, |frame| {
        let packet = PacketMut::parse(frame).unwrap();
        packet.aoe.ver_flags = VerFlags::ERROR_RESPONSE;
        packet.aoe.error = ErrorCode::DEVICE_UNAVAILABLE;
    });
    lab.submit_read(1, Extent::new(0, 2));
    lab.world.run_for(300 * MS);
    let [target, _] = lab.stations(0);
    lab.world.net.untap(target);
    let completion = lab.done(S);
    assert_eq!(completion.done.status(), Status::Ok, "{:?}", completion.failure);
    assert!(completion.done.data().unwrap() == pattern(1, 0, 2));
}

#[test]
fn a_disk_that_shrank_says_so_and_a_read_beyond_its_end_is_out_of_range() {
    let mut lab = lab();
    let id = lab.world.target(lab.target).ids()[0];
    let disk = lab.remote().disk().unwrap();
    // The initiator does not hear of it: the advertisement is lost.
    lab.world.net.set_weather(lab.segments[0], Weather { loss: 1000, ..Weather::LAN });
    lab.world.target(lab.target).server().unwrap().set_disk(id, bdev::DeviceInfo { sectors: 500, ..disk });
    lab.world.run_for(MS);
    lab.world.net.set_weather(lab.segments[0], Weather::LAN);
    lab.submit_read(1, Extent::new(SECTORS - 10, 10));
    let completion = lab.done(DEADLINE + MS);
    assert_eq!(completion.done.status(), Status::OutOfRange, "{:?}", completion.failure);
}

#[test]
fn a_size_that_changes_with_every_identify_is_told_each_time() {
    let mut lab = lab();
    for (sectors, times) in [(100, 1), (100, 0), (5000, 1)] {
        let id = lab.world.target(lab.target).ids()[0];
        let disk = bdev::DeviceInfo { sectors, ..lab.remote().disk().unwrap() };
        lab.world.target(lab.target).server().unwrap().set_disk(id, disk);
        lab.world.run_for(S);
        let changed = std::iter::from_fn(|| {
            lab.world.client(lab.client).take(|event| matches!(event, Event::Changed(_)))
        });
        assert_eq!(changed.count(), times);
        assert_eq!(lab.remote().disk().unwrap().sectors, sectors);
    }
}

/// A target whose IDENTIFY replies are changed.
fn attach_to_a_liar(change: impl Fn(&mut BytesMut) + 'static) -> Result<(), Failure> {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    let disk = bdev::Inline::new(bdev::MemDisk::new(2048));
    let host = world.add_target(&[lan], 1500, [Export::new(OWN, disk)]);
    let station = world.target(host).stations().next().unwrap();
    world.net.tap(station, move |_, frame| {
        if Packet::parse(frame).is_ok_and(|packet| packet.aoe.command == Command::ATA) {
            change(frame);
        }
        Verdict::Pass
    });
    let client = world.add_initiator(&[lan], 1500);
    let options = AttachOptions { deadline: 2 * S, ..AttachOptions::default() };
    let result = world.attach(client, OWN, options).map(drop);
    assert!(world.now() < 4 * S + 10 * MS, "{:?}", world.now());
    result
}

#[test]
fn a_disk_that_cannot_be_identified_is_refused_with_the_reason() {
    let short = attach_to_a_liar(|frame| frame.truncate(300)).unwrap_err();
    assert!(matches!(short, Failure::Malformed(Malformed::ShortData { .. })), "{short:?}");
    let empty = attach_to_a_liar(|frame| frame[36..].fill(0)).unwrap_err();
    assert_eq!(empty, Failure::Malformed(Malformed::Capacity { sectors: 0 }));
    let silent = attach_to_a_liar(|frame| frame[14] = 0).unwrap_err();
    assert!(matches!(silent, Failure::Timeout { .. }), "{silent:?}");
    let failed = attach_to_a_liar(|frame| {
        let packet = PacketMut::parse(frame).unwrap();
        let ArgMut::Ata(arg, _) = packet.arg else { unreachable!("ATA") };
        arg.fail(AtaError::ABRT);
    });
    assert!(matches!(failed, Err(Failure::Ata { .. })), "{failed:?}");
}

#[test]
fn damaged_frames_neither_panic_nor_hang() {
    for seed in seeds(10) {
        let options = AttachOptions { deadline: 5 * S, ..AttachOptions::default() };
        let mut lab = Lab::with(seed, 1500, 1, options, |_, disk| Export::new(OWN, disk));
        lab.world.net.set_weather(lab.segments[0], Weather { corrupt: 300, ..Weather::rough(20) });
        for tag in 0..40 {
            match tag % 2 {
                0 => lab.submit_write(tag, tag * 100, pattern(1, tag * 100, 20)),
                _ => lab.submit_read(tag, Extent::new(tag * 100, 20)),
            }
        }
        for _ in 0..40 {
            let completion = lab.done(6 * S);
            assert!(completion.latency <= 5 * S + MS, "{:?}", completion.latency);
        }
    }
}
