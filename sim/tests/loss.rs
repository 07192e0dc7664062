//! What is lost: how soon it is noticed, what that costs, and when a request is given up.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Event, Failure};
use aoe_wire::{Arg, ArgMut, AtaError, ErrorCode, Packet, PacketMut, VerFlags};
use bdev::{Extent, Io, Status};
use common::{Lab, MS, OWN, Request, S, export_with, is_ata, pattern};
use sim::{Chance, Export, Verdict, Weather};

/// A lab whose window has grown to 64.
fn wide() -> Lab {
    let mut lab = Lab::with(1, 1500, 1, AttachOptions::default(), |_, disk| {
        export_with(|export| (export.options.buffer_count, export.depth) = (64, 64), disk)
    });
    lab.write(0, &pattern(1, 0, 1000));
    lab.read(0, 1000);
    assert_eq!(lab.remote().window(), 64);
    lab
}

/// Loses the first sendings of reads of these sectors. Returns when each was sent, and sent again.
fn lose(lab: &mut Lab, lbas: &'static [u64]) -> Rc<RefCell<Vec<(u64, Duration)>>> {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let (into, [_, initiator]) = (Rc::clone(&sent), lab.stations(0));
    lab.world.net.tap(initiator, move |at, frame| {
        let Some(request) = Request::parse(at, frame).filter(|request| lbas.contains(&request.lba)) else {
            return Verdict::Pass;
        };
        let mut sent = into.borrow_mut();
        let first = sent.iter().all(|(lba, _)| *lba != request.lba);
        sent.push((request.lba, at));
        if first { Verdict::Drop } else { Verdict::Pass }
    });
    sent
}

#[test]
fn a_read_lost_among_many_is_repaired_within_milliseconds_and_the_window_is_halved_once() {
    for lost in [&[1000][..], &[1000, 1004, 1010]] {
        let mut lab = wide();
        let sent = lose(&mut lab, lost);
        lab.submit_read(1, Extent::new(0, 4000));
        let repeats = lost.len() as u64;
        let remote = lab.remote;
        let client = lab.client;
        let repeated = |world: &mut sim::World| {
            world.client(client).view().remote(remote).is_some_and(|it| it.stats().retransmits >= repeats)
        };
        lab.world.run_until(repeated, S);
        let window = lab.remote().window();
        assert!((32..=36).contains(&window), "{window} after the loss of {lost:?}");
        assert_eq!(lab.done(S).done.status(), Status::Ok);
        let stats = lab.stats();
        assert_eq!((stats.retransmits, stats.timeouts, stats.late), (repeats, 0, 0), "{stats:?}");
        for lba in lost {
            let times: Vec<_> = sent.borrow().iter().filter(|it| it.0 == *lba).map(|it| it.1).collect();
            let [first, second] = times[..] else { panic!("sector {lba} was sent at {times:?}") };
            assert!(second - first < 5 * MS, "{:?}", second - first);
        }
    }
}

#[test]
fn a_flush_that_is_lost_is_repeated_and_says_nothing_of_the_network() {
    let mut lab = wide();
    let [_, initiator] = lab.stations(0);
    let sent = Rc::new(Cell::new(0));
    let count = Rc::clone(&sent);
    lab.world.net.tap(initiator, move |_, frame| {
        if !is_ata(frame) {
            return Verdict::Pass;
        }
        count.set(count.get() + 1);
        if count.get() == 1 { Verdict::Drop } else { Verdict::Pass }
    });
    let completion = lab.world.run(lab.client, lab.remote, Io::flush(vec![]).with_tag(3));
    assert_eq!((completion.done.status(), sent.get()), (Status::Ok, 2));
    assert!(completion.latency >= 250 * MS, "{:?}", completion.latency);
    assert_eq!(lab.remote().window(), 64);
}

#[test]
fn a_target_that_answers_some_frames_later_is_sent_no_more_than_those_again() {
    for held in [2, 5, 15, 19] {
        let mut lab = wide();
        let mut chance = Chance::new(5);
        lab.tap_target(move |_, frame| match is_ata(frame) && chance.happens(50) {
            true => Verdict::Hold(held * MS),
            false => Verdict::Pass,
        });
        let before = lab.stats();
        for _ in 0..10 {
            lab.read(0, 4096);
        }
        let (stats, frames) = (lab.stats(), 10 * 4096 / 2);
        let repeats = stats.retransmits - before.retransmits;
        // A twentieth of them is late.
        assert!(repeats < frames / 16, "{repeats} of {frames} frames were sent again, at {held} ms");
    }
}

#[test]
fn a_target_that_is_always_slower_with_some_sectors_is_soon_given_the_time() {
    for held in [2, 5, 15] {
        let mut lab = wide();
        lab.tap_target(move |_, frame| match Packet::parse(frame) {
            Ok(Packet { arg: Arg::Ata(arg, _), .. }) if arg.lba.lba48() % 40 == 0 => Verdict::Hold(held * MS),
            _ => Verdict::Pass,
        });
        let before = lab.stats();
        for _ in 0..10 {
            lab.read(0, 4096);
        }
        let (repeats, late) = (lab.stats().retransmits - before.retransmits, 10 * 4096 / 40);
        assert!(repeats < late / 5, "{repeats} repeats for {late} late replies, at {held} ms");
    }
}

#[test]
fn a_large_write_may_take_many_deadlines_while_the_target_goes_on_answering() {
    let options = AttachOptions { deadline: 300 * MS, window: 1, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    lab.world.net.set_weather(lab.segments[0], Weather { delay: (MS, MS), ..Weather::NONE });
    lab.submit_write(1, 0, pattern(1, 0, 1000));
    // What waits behind it is not late, either.
    lab.submit_read(2, Extent::new(0, 1));
    for _ in 0..2 {
        let completion = lab.done(3 * S);
        assert_eq!((completion.done.status(), &completion.failure), (Status::Ok, &None));
        if completion.done.tag() == 1 {
            assert!(completion.latency > 900 * MS, "{:?}", completion.latency);
        }
    }
}

#[test]
fn a_frame_that_is_never_answered_fails_its_request_at_the_deadline_though_others_are_answered() {
    let options = AttachOptions { deadline: S, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    let [_, initiator] = lab.stations(0);
    lab.world.net.tap(initiator, |at, frame| match Request::parse(at, frame) {
        Some(request) if request.lba == 500 => Verdict::Drop,
        _ => Verdict::Pass,
    });
    lab.submit_read(1, Extent::new(498, 6));
    let began = lab.world.now();
    while lab.world.now() - began < 900 * MS {
        lab.world.read(lab.client, lab.remote, Extent::new(0, 10)).expect("others are read");
        lab.world.run_for(10 * MS);
        let early = lab.world.client(lab.client).take(|event| matches!(event, Event::Done(..)));
        assert!(early.is_none(), "{early:?}");
    }
    let completion = lab.done(200 * MS);
    assert_eq!((completion.done.tag(), completion.done.status()), (1, Status::Aborted));
    assert!(matches!(completion.failure, Some(Failure::Timeout { sent: 2.., .. })), "{completion:?}");
    assert!((S..S + 50 * MS).contains(&completion.latency), "{:?}", completion.latency);
    assert!(lab.read(0, 10) == [0; 5120]);
}

#[test]
fn a_disk_that_is_never_available_ends_requests_at_the_deadline_and_they_say_so() {
    let options = AttachOptions { deadline: S, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    lab.tap_target(|_, frame| {
        if is_ata(frame) {
            let packet = PacketMut::parse(frame).expect("a whole frame");
            packet.aoe.ver_flags = VerFlags::ERROR_RESPONSE;
            packet.aoe.error = ErrorCode::DEVICE_UNAVAILABLE;
        }
        Verdict::Pass
    });
    lab.submit_read(1, Extent::new(0, 2));
    let completion = lab.done(S + 50 * MS);
    let refused =
        matches!(completion.failure, Some(Failure::Aoe { code: ErrorCode::DEVICE_UNAVAILABLE, .. }));
    assert!(refused, "{completion:?}");
    assert!(completion.latency >= S, "{:?}", completion.latency);
}

#[test]
fn of_several_failures_the_first_is_told() {
    let mut lab = Lab::new(1, 1500);
    let mut failed = 0;
    lab.tap_target(move |_, frame| {
        if is_ata(frame) {
            let packet = PacketMut::parse(frame).expect("a whole frame");
            packet.aoe.ver_flags = VerFlags::ERROR_RESPONSE;
            failed += 1;
            packet.aoe.error = match failed {
                1 => ErrorCode::TARGET_RESERVED,
                _ => ErrorCode::BAD_ARGUMENT,
            };
        }
        Verdict::Pass
    });
    lab.submit_read(1, Extent::new(0, 100));
    let completion = lab.done(S);
    let first = matches!(completion.failure, Some(Failure::Aoe { code: ErrorCode::TARGET_RESERVED, .. }));
    assert!(first, "{completion:?}");
}

/// A read of which the first sending is answered just after it was sent again; `change` gets that answer, `meanwhile` comes while the
/// first sending is on its way.
fn read_with_a_late_reply(change: impl Fn(&mut [u8]) + 'static, meanwhile: impl FnOnce(&mut Lab)) {
    let mut lab = Lab::new(1, 9000);
    lab.write(0, &pattern(1, 0, 17));
    let [target, initiator] = lab.stations(0);
    let slow = Weather { delay: (MS, MS), ..Weather::NONE };
    lab.world.net.set_station_weather(initiator, sim::Way::Out, slow);
    lab.submit_read(1, Extent::new(0, 17));
    lab.world.run_for(Duration::from_micros(200));
    let mut replies = 0;
    lab.world.net.tap(target, move |_, frame| {
        replies += u32::from(is_ata(frame));
        if !is_ata(frame) || replies > 1 {
            return Verdict::Pass;
        }
        change(frame);
        // Nothing was read before, so it is sent again after 200 ms, and that takes 1 ms to the target.
        Verdict::Hold(Duration::from_micros(199_500))
    });
    meanwhile(&mut lab);
    let completion = lab.done(10 * S);
    assert_eq!((completion.done.status(), &completion.failure), (Status::Ok, &None));
    assert!(completion.done.data().expect("a read") == pattern(1, 0, 17));
    assert_eq!(lab.stats().late, 1);
}

#[test]
fn a_late_refusal_of_a_long_read_does_not_fail_its_shorter_repeat() {
    read_with_a_late_reply(
        |_| {},
        |lab| {
            let [target, _] = lab.stations(0);
            lab.world.net.set_mtu(target, 1500);
        },
    );
}

#[test]
fn a_late_failure_does_not_fail_the_repeat() {
    let fail = |frame: &mut [u8]| {
        if let Ok(PacketMut { arg: ArgMut::Ata(arg, _), .. }) = PacketMut::parse(frame) {
            arg.fail(AtaError::UNC);
        }
    };
    read_with_a_late_reply(fail, |_| {});
}

#[test]
fn a_lost_advertisement_of_a_smaller_mtu_delays_reads_and_fails_none() {
    let mut lab = Lab::new(1, 9000);
    lab.write(0, &pattern(1, 0, 100));
    let [target, _] = lab.stations(0);
    lab.world.net.tap(target, |_, _| Verdict::Drop);
    lab.world.net.set_mtu(target, 1500);
    lab.world.run_for(100 * MS);
    lab.world.net.untap(target);
    for _ in 0..3 {
        assert!(lab.read(0, 100) == pattern(1, 0, 100));
    }
    assert_eq!(lab.remote().sectors_per_frame(), 2);
}

#[test]
fn an_idle_disk_sends_nothing() {
    let mut lab = wide();
    let list = lab.commands();
    lab.world.run_for(100 * S);
    assert!(list.borrow().is_empty());
}
