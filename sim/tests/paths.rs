//! More than one way to a disk, ways that end, and targets that start anew.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Event};
use aoe_wire::{AtaCommand, ConfigCommand, MacAddr, Packet, Tag};
use bdev::{Extent, Status};
use common::{Lab, MS, OWN, Request, S, is_ata, pattern};
use sim::{Export, Verdict, Weather, seeds};

/// A disk reached by two segments; both paths have been used.
fn two_paths(seed: u64) -> Lab {
    let mut lab = Lab::with(seed, 1500, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
    assert_eq!(lab.remote().paths().count(), 2);
    lab.write(0, &pattern(1, 0, 100));
    lab
}

fn alive(lab: &mut Lab) -> Vec<bool> {
    lab.remote().paths().map(|path| path.alive).collect()
}

/// Frames that have been sent on each segment by the initiator, while `run` ran.
fn shares(lab: &mut Lab, run: impl FnOnce(&mut Lab)) -> [u64; 2] {
    let counts = [0, 1].map(|segment| {
        let count = Rc::new(Cell::new(0));
        let (into, [_, initiator]) = (Rc::clone(&count), lab.stations(segment));
        lab.world.net.tap(initiator, move |_, _| {
            into.set(into.get() + 1);
            Verdict::Pass
        });
        count
    });
    run(lab);
    counts.map(|count| count.get())
}

#[test]
fn two_paths_share_the_load() {
    let mut lab = two_paths(1);
    let [one, two] = shares(&mut lab, |lab| lab.write(0, &pattern(2, 0, 1000)));
    assert_eq!(one + two, 500);
    assert!(one.abs_diff(two) <= 20, "{one} and {two}");
}

#[test]
fn a_cable_pulled_at_either_end_stops_nothing_and_the_path_comes_back() {
    for seed in seeds(3) {
        for end in [0, 1] {
            let mut lab = two_paths(seed);
            let pulled = lab.stations(0)[end];
            lab.submit_write(1, 0, pattern(2, 0, 4000));
            lab.world.run_for(2 * MS);
            lab.world.net.set_up(pulled, false);
            let completion = lab.done(S);
            assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None));

            // Once it is known, the other is as good as one path ever was.
            let before = lab.world.now();
            lab.write(0, &pattern(3, 0, 1000));
            let took = lab.world.now() - before;
            assert!(took < 200 * MS, "{took:?}");
            assert!(lab.read(0, 1000) == pattern(3, 0, 1000));

            lab.world.net.set_up(pulled, true);
            lab.world.run_for(3 * S);
            let [one, two] = shares(&mut lab, |lab| lab.write(0, &pattern(4, 0, 1000)));
            assert!(one > 200 && two > 200, "{one} and {two}");
            assert_eq!(alive(&mut lab), [true, true]);
        }
    }
}

#[test]
fn a_station_that_falls_silent_is_given_up_for_the_other_and_probed_until_it_answers() {
    for seed in seeds(3) {
        let mut lab = two_paths(seed);
        let [silent, _] = lab.stations(1);
        lab.world.net.set_station_weather(silent, sim::Way::Out, Weather { loss: 1000, ..Weather::NONE });
        lab.write(0, &pattern(2, 0, 1000));
        assert_eq!(alive(&mut lab).iter().filter(|alive| **alive).count(), 1);
        let [one, two] = shares(&mut lab, |lab| lab.write(0, &pattern(2, 0, 1000)));
        assert!(one >= 500 && two <= 3, "{one} and {two}");
        assert!(lab.stats().failovers >= 1);

        let [_, probes] = shares(&mut lab, |lab| lab.world.run_for(20 * S));
        assert!((10..=60).contains(&probes), "{probes} probes in 20 s");
        lab.world.net.set_station_weather(silent, sim::Way::Out, Weather::NONE);
        lab.world.run_for(3 * S);
        assert_eq!(alive(&mut lab), [true, true]);
    }
}

#[test]
fn when_every_path_is_silent_requests_wait_and_go_on_by_whichever_comes_back_first() {
    let mut lab = two_paths(1);
    let stations: Vec<_> = [0, 1].map(|segment| lab.stations(segment)[0]).into();
    lab.submit_write(1, 0, pattern(2, 0, 2000));
    lab.world.run_for(2 * MS);
    for station in &stations {
        lab.world.net.set_up(*station, false);
    }
    lab.world.run_for(10 * S);
    lab.world.net.set_up(stations[1], true);
    let completion = lab.done(5 * S);
    assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None));
    assert!(lab.disk.disk().content()[..2000 * 512] == pattern(2, 0, 2000));
}

#[test]
fn a_write_that_one_path_delays_by_milliseconds_does_not_undo_what_is_written_after_it() {
    for delay in [2, 5, 9] {
        let mut lab = two_paths(1);
        let [_, initiator] = lab.stations(0);
        let mut delayed = 0;
        for round in 0..8 {
            // One frame, if it happens to go by this path; those behind it are answered soon.
            let held = Rc::new(Cell::new(false));
            let note = Rc::clone(&held);
            lab.world.net.tap(initiator, move |at, frame| match Request::parse(at, frame) {
                Some(request) if request.lba == 0 && !note.replace(true) => Verdict::Hold(delay * MS),
                _ => Verdict::Pass,
            });
            lab.write(0, &pattern(2 + round, 0, 401));
            lab.world.net.untap(initiator);
            let last = pattern(100 + round, 0, 2);
            lab.write(0, &last);
            lab.world.run_for(50 * MS);
            assert!(lab.read(0, 2) == last, "undone in round {round} by what came {delay} ms late");
            delayed += u32::from(held.get());
        }
        assert!(delayed > 0);
    }
}

#[test]
fn a_target_that_dies_and_comes_back_costs_time_and_nothing_else() {
    for seed in seeds(3) {
        let mut lab = Lab::new(seed, 1500);
        lab.submit_write(1, 0, pattern(2, 0, 4000));
        for _ in 0..4 {
            lab.world.run_for(3 * MS);
            lab.world.kill_target(lab.target);
            lab.world.run_for(700 * MS);
            lab.world.restart_target(lab.target);
            lab.world.run_for(2 * S);
        }
        let completion = lab.done(5 * S);
        assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None));
        assert!(lab.read(0, 4000) == pattern(2, 0, 4000));
    }
}

#[test]
fn a_target_that_was_away_for_longer_than_a_deadline_is_used_again_without_attaching() {
    let options = AttachOptions { deadline: S, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    lab.world.kill_target(lab.target);
    lab.submit_read(1, Extent::new(0, 1));
    assert_eq!(lab.done(2 * S).done.status(), Status::Aborted);
    lab.world.run_for(100 * S);
    lab.world.restart_target(lab.target);
    lab.world.run_for(MS);
    let before = lab.world.now();
    lab.read(0, 1);
    assert!(lab.world.now() - before < 100 * MS, "{:?}", lab.world.now() - before);
}

#[test]
fn a_target_that_comes_back_at_another_mac_is_found() {
    let mut lab = Lab::new(1, 1500);
    let [target, _] = lab.stations(0);
    lab.submit_write(1, 0, pattern(2, 0, 2000));
    lab.world.run_for(2 * MS);
    lab.world.kill_target(lab.target);
    lab.world.net.set_mac(target, MacAddr([2, 9, 9, 9, 9, 9]));
    // Nobody hears that it starts.
    lab.world.net.set_weather(lab.segments[0], Weather { loss: 1000, ..Weather::LAN });
    lab.world.restart_target(lab.target);
    lab.world.run_for(10 * MS);
    lab.world.net.set_weather(lab.segments[0], Weather::LAN);
    let completion = lab.done(10 * S);
    assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None));
    assert!(lab.remote().paths().any(|path| path.mac == MacAddr([2, 9, 9, 9, 9, 9])));
}

#[test]
fn an_initiator_whose_own_mac_changes_goes_on() {
    let mut lab = Lab::new(1, 1500);
    let [_, initiator] = lab.stations(0);
    lab.submit_write(1, 0, pattern(2, 0, 2000));
    lab.world.run_for(2 * MS);
    lab.world.net.set_mac(initiator, MacAddr([2, 9, 9, 9, 9, 9]));
    let completion = lab.done(5 * S);
    assert_eq!((completion.done.status(), completion.failure), (Status::Ok, None));
}

#[test]
fn an_interface_that_is_down_when_asked_is_used_when_it_is_up() {
    let mut lab = Lab::new(1, 1500);
    let [_, initiator] = lab.stations(0);
    lab.world.net.set_up(initiator, false);
    lab.world.run_for(MS);
    lab.submit_read(1, Extent::new(0, 10));
    lab.world.run_for(5 * S);
    let requests = lab.requests();
    lab.world.net.set_up(initiator, true);
    let came = lab.world.now();
    assert_eq!(lab.done(S).done.status(), Status::Ok);
    let took: Duration = lab.world.now() - came;
    assert!(took < 100 * MS, "{took:?}");
    assert!(requests.borrow().len() <= 20);
}

#[test]
fn a_frame_from_a_stranger_with_the_right_address_adds_a_path_only_if_it_answers_a_query() {
    let mut lab = Lab::new(1, 1500);
    // ATA replies come from a station that never answered a query.
    lab.tap_target(|_, frame| {
        if Packet::parse(frame).is_ok_and(|packet| packet.aoe.command == aoe_wire::Command::ATA) {
            frame[11] ^= 0x40;
        }
        Verdict::Pass
    });
    lab.write(0, &pattern(1, 0, 100));
    assert_eq!(lab.remote().paths().count(), 1);
    assert!(lab.world.client(lab.client).take(|event| matches!(event, Event::Failed(..))).is_none());
}

#[test]
fn the_last_path_is_never_given_up() {
    let mut lab = two_paths(1);
    let stations = [0, 1].map(|segment| lab.stations(segment)[0]);
    for station in stations {
        lab.world.net.set_station_weather(station, sim::Way::Out, Weather { loss: 1000, ..Weather::NONE });
    }
    lab.submit_write(1, 0, pattern(2, 0, 1000));
    lab.world.run_for(20 * S);
    assert_eq!(alive(&mut lab).iter().filter(|alive| **alive).count(), 1);

    let mut lab = Lab::new(1, 1500);
    lab.world.kill_target(lab.target);
    lab.submit_write(1, 0, pattern(2, 0, 1000));
    lab.world.run_for(20 * S);
    assert_eq!((alive(&mut lab), lab.stats().failovers), (vec![true], 0));
}

#[test]
fn losses_that_are_not_in_a_row_do_not_end_a_path() {
    let mut lab = two_paths(1);
    let [_, initiator] = lab.stations(0);
    let (mut seen, lost) = (0, Rc::new(Cell::new(0)));
    let count = Rc::clone(&lost);
    lab.world.net.tap(initiator, move |_, frame| {
        seen += u32::from(is_ata(frame));
        if is_ata(frame) && seen.is_multiple_of(5) {
            count.set(count.get() + 1);
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    for _ in 0..200 {
        lab.read(0, 1);
    }
    assert!(lost.get() >= 10, "{} were lost", lost.get());
    assert_eq!((alive(&mut lab), lab.stats().failovers), (vec![true, true], 0));
}

#[test]
fn a_new_path_found_by_a_query_has_the_disk_identified_again() {
    let mut lab = Lab::new(1, 1500);
    let [target, _] = lab.stations(0);
    // What the target says unasked is lost.
    lab.tap_target(|_, frame| match Packet::parse(frame).is_ok_and(|packet| packet.aoe.tag == Tag::ZERO) {
        true => Verdict::Drop,
        false => Verdict::Pass,
    });
    let list = lab.commands();
    let identified = || list.take().iter().filter(|arg| arg.command() == AtaCommand::IDENTIFY_DEVICE).count();
    let discover = |lab: &mut Lab| {
        lab.world.client(lab.client).initiator().discover(OWN, ConfigCommand::READ, &[]);
        lab.world.run_for(10 * MS);
    };
    discover(&mut lab);
    assert_eq!(identified(), 0, "a path that was known is no news");
    lab.world.net.set_mac(target, MacAddr([2, 9, 9, 9, 9, 9]));
    lab.world.run_for(10 * MS);
    assert_eq!(identified(), 0);
    discover(&mut lab);
    assert_eq!((identified(), lab.remote().paths().count()), (1, 2));
}

#[test]
fn a_write_that_waits_in_a_blocked_interface_does_not_undo_what_is_written_after_it() {
    let mut lab = Lab::with(1, 1500, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
    let [_, initiator] = lab.stations(0);
    lab.world.net.set_blocked(initiator, true);
    // By both paths in turn, so that one of them is caught.
    for lba in [10, 11] {
        lab.write(lba, &pattern(1, lba, 1));
    }
    for _ in 0..12 {
        lab.read(100, 1);
    }
    for lba in [10, 11] {
        lab.write(lba, &pattern(2, lba, 1));
    }
    assert!(lab.read(10, 2) == pattern(2, 10, 2));
    lab.world.net.set_blocked(initiator, false);
    lab.world.run_for(S);
    assert!(lab.read(10, 2) == pattern(2, 10, 2), "an acknowledged write was undone");
}

#[test]
fn a_target_that_changes_its_address_many_times_is_found_each_time() {
    let options = AttachOptions { deadline: 5 * S, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
    let [target, _] = lab.stations(0);
    for number in 0..40 {
        lab.world.net.set_mac(target, MacAddr([2, 7, 7, 7, 7, number]));
        lab.world.run_for(100 * MS);
        let result = lab.world.read(lab.client, lab.remote, Extent::new(0, 1));
        assert!(result.is_ok(), "address number {number}: {result:?}");
    }
    assert_eq!(lab.remote().paths().count(), 32);
}
