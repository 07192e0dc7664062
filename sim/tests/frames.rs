//! How large requests are: what each end offers, each path carries, and the caller wants.

mod common;

use std::time::Duration;

use aoe_initiator::{AttachOptions, Control, RemoteStats};
use aoe_wire::{Command, ConfigCommand, Packet};
use bdev::{Extent, Status};
use common::{Lab, MS, OWN, S, export_with, pattern};
use sim::{Export, Verdict};

/// A disk reached by two segments of 9000 bytes, that says of itself on segment `of` what `change` makes of its config replies.
fn two_that_differ(of: usize, change: impl Fn(&mut [u8]) + 'static) -> Lab {
    let mut lab = Lab::with(1, 9000, 2, AttachOptions::default(), |_, disk| {
        export_with(|export| (export.options.buffer_count, export.depth) = (64, 64), disk)
    });
    let [target, _] = lab.stations(of);
    lab.world.net.tap(target, move |_, frame| {
        if Packet::parse(frame).is_ok_and(|packet| packet.aoe.command == Command::CONFIG) {
            change(frame);
        }
        Verdict::Pass
    });
    lab.world.restart_target(lab.target);
    lab.world.run_for(10 * MS);
    lab.write(0, &pattern(1, 0, 4000));
    lab
}

#[test]
fn of_the_buffer_counts_of_several_paths_the_least_counts() {
    for of in [0, 1] {
        let mut lab = two_that_differ(of, |frame| frame[24..26].copy_from_slice(&[0, 3]));
        assert_eq!(lab.remote().window(), 3);
    }
    // None is as good as one.
    let mut lab = two_that_differ(0, |frame| frame[24..26].fill(0));
    assert_eq!(lab.remote().window(), 1);
}

#[test]
fn of_the_sector_counts_of_several_paths_the_least_counts_and_none_means_two() {
    for (said, expected) in [(5, 5), (0, 2)] {
        for of in [0, 1] {
            let mut lab = two_that_differ(of, move |frame| frame[28] = said);
            assert_eq!(lab.remote().sectors_per_frame(), expected);
            let requests = lab.requests();
            lab.write(0, &pattern(2, 0, 100));
            let most = requests.borrow().iter().map(|request| request.sectors).max();
            assert_eq!(most, Some(expected));
        }
    }
}

#[test]
fn frames_have_no_more_sectors_than_the_caller_wants() {
    for (max_sectors, expected) in [(3, 3), (0, 1), (200, 17)] {
        let options = AttachOptions { max_sectors, ..AttachOptions::default() };
        let mut lab = Lab::with(1, 9000, 1, options, |_, disk| Export::new(OWN, disk));
        let requests = lab.requests();
        lab.write(0, &pattern(1, 0, 100));
        let most = requests.borrow().iter().map(|request| request.sectors).max();
        assert_eq!((most, lab.remote().sectors_per_frame()), (Some(expected), expected));
    }
}

#[test]
fn an_mtu_that_shrinks_with_requests_in_flight_makes_the_frames_smaller() {
    for shrinks in [&[0][..], &[1], &[0, 1]] {
        for write in [true, false] {
            let mut lab = Lab::new(1, 9000);
            lab.write(0, &pattern(1, 0, 4000));
            match write {
                true => lab.submit_write(1, 0, pattern(2, 0, 4000)),
                false => lab.submit_read(1, Extent::new(0, 4000)),
            }
            lab.world.run_for(MS);
            for end in shrinks {
                let station = lab.stations(0)[*end];
                lab.world.net.set_mtu(station, 1500);
            }
            let completion = lab.done(20 * S);
            let failure = &completion.failure;
            assert_eq!((completion.done.status(), failure), (Status::Ok, &None), "{shrinks:?} {write}");
            if !write {
                assert!(completion.done.data().unwrap() == pattern(1, 0, 4000));
            }
            assert_eq!(lab.remote().sectors_per_frame(), 2);
        }
    }
}

#[test]
fn an_mtu_that_grows_makes_the_frames_larger() {
    let mut lab = Lab::new(1, 1500);
    for station in lab.stations(0) {
        lab.world.net.set_mtu(station, 9000);
    }
    lab.world.run_for(10 * MS);
    let requests = lab.requests();
    lab.write(0, &pattern(2, 0, 340));
    assert_eq!(requests.borrow().len(), 20);
}

#[test]
fn a_path_that_carries_less_than_its_ends_believe_ends_as_a_timeout_and_not_later() {
    let mut lab = Lab::new(1, 9000);
    // A switch in between that drops jumbo frames.
    lab.tap_target(|_, frame| if frame.len() > 1514 { Verdict::Drop } else { Verdict::Pass });
    lab.submit_read(1, Extent::new(0, 100));
    let completion = lab.done(31 * S);
    assert_eq!(completion.done.status(), Status::Aborted);
    assert!(completion.latency <= 30 * S + MS, "{:?}", completion.latency);
}

#[test]
fn a_path_that_carries_short_frames_only_is_given_up() {
    let measure = |broken: bool| -> (Duration, RemoteStats) {
        let mut lab = Lab::with(1, 9000, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
        if broken {
            for station in lab.stations(1) {
                lab.world.net.tap(station, |_, frame| match frame.len() {
                    1515.. => Verdict::Drop,
                    _ => Verdict::Pass,
                });
            }
        }
        let began = lab.world.now();
        for _ in 0..20 {
            lab.read(0, 4096);
        }
        (lab.world.now() - began, lab.stats())
    };
    let (good, _) = measure(false);
    let (bad, stats) = measure(true);
    assert!(bad < good * 4, "{good:?} by two good paths, {bad:?} when one drops long frames; {stats:?}");
}

#[test]
fn a_path_that_carries_short_frames_only_is_not_taken_for_alive_because_it_answers_queries() {
    let mut lab = Lab::with(1, 9000, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
    for station in lab.stations(1) {
        lab.world.net.tap(station, |_, frame| match frame.len() {
            1515.. => Verdict::Drop,
            _ => Verdict::Pass,
        });
    }
    lab.read(0, 4096);
    let is_one = |lab: &mut Lab| lab.remote().paths().filter(|path| path.alive).count() == 1;
    assert!(is_one(&mut lab));
    for _ in 0..10 {
        lab.world.client(lab.client).initiator().discover(OWN, ConfigCommand::READ, &[]);
        lab.world.run_for(300 * MS);
        assert!(is_one(&mut lab));
    }
}

#[test]
fn a_control_request_too_long_for_one_path_takes_the_other() {
    let mut lab = Lab::with(1, 1500, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
    for station in lab.stations(1) {
        lab.world.net.set_mtu(station, 1000);
    }
    lab.world.run_for(S);
    for _ in 0..4 {
        let control = Control::Config { command: ConfigCommand::FORCE, string: vec![7; 1024] };
        let result = lab.world.ask(lab.client, lab.remote, control);
        assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn an_interface_too_small_for_a_sector_is_not_used_for_sectors() {
    let mut lab = Lab::with(1, 1500, 2, AttachOptions::default(), |_, disk| Export::new(OWN, disk));
    lab.write(0, &pattern(1, 0, 4));
    let [_, initiator] = lab.stations(1);
    lab.world.net.set_mtu(initiator, 500);
    lab.world.run_for(S);
    for _ in 0..4 {
        assert!(lab.read(0, 4) == pattern(1, 0, 4));
    }
}
