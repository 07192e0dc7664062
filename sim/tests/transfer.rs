//! Reads and writes of the initiator against the target, in good weather and bad.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Failure};
use aoe_wire::{Address, Arg, Packet};
use bdev::testing::Delay;
use bdev::{Extent, Inline, Io, MemDisk, SECTOR_SIZE, Status};
use common::{Lab, MS, OWN, S, SECTORS, export_with, pattern};
use sim::{Export, Verdict, Weather, World, seeds};

/// Writes the whole disk in requests of several sizes that are in flight together, then reads it in others, both compared.
fn round_trip(lab: &mut Lab, limit: Duration) {
    let sizes = [1, 2, 3, 16, 17, 100, 255, 512, 1000];
    let all = pattern(1, 0, SECTORS as u32);
    for write in [true, false] {
        let (mut lba, mut count) = (0, 0);
        for sectors in sizes.iter().cycle() {
            let sectors = (*sectors).min(SECTORS - lba);
            if sectors == 0 {
                break;
            }
            let extent = Extent::new(lba, sectors as u32);
            let at = lba as usize * SECTOR_SIZE;
            match write {
                true => lab.submit_write(lba, lba, all[at..at + extent.bytes()].to_vec()),
                false => lab.submit_read(lba, extent),
            }
            (lba, count) = (lba + sectors, count + 1);
        }
        for _ in 0..count {
            let completion = lab.done(limit);
            let (extent, failure) = (completion.done.extent(), &completion.failure);
            assert_eq!(completion.done.status(), Status::Ok, "{extent}: {failure:?}");
            let at = completion.done.extent().lba as usize * SECTOR_SIZE;
            let data = completion.done.data().unwrap();
            assert!(data == &all[at..at + data.len()], "{extent} differs");
        }
    }
    assert!(lab.disk.disk().content() == all);
}

#[test]
fn large_requests_are_cut_into_frames_of_the_largest_size_that_fits() {
    for (mtu, sectors) in [(1500, 2), (9000, 17), (600, 1), (16000, 31)] {
        let mut lab = Lab::new(1, mtu);
        assert_eq!(lab.remote().sectors_per_frame(), sectors);
        let requests = lab.requests();
        lab.write(0, &pattern(1, 0, 68));
        let mut sizes: Vec<_> = requests.borrow().iter().map(|request| request.sectors).collect();
        sizes.sort_unstable();
        assert_eq!(sizes.iter().map(|size| u64::from(*size)).sum::<u64>(), 68);
        assert_eq!(sizes.last(), Some(&sectors));
        assert!(sizes[1..].iter().all(|size| *size == sectors), "only the last is shorter: {sizes:?}");
    }
}

#[test]
fn frames_are_as_large_as_the_smaller_end_carries() {
    for (own, other) in [(9000, 1500), (1500, 9000)] {
        let mut world = World::new(1);
        let lan = world.net.add_segment();
        world.add_target(&[lan], other, [Export::new(OWN, Inline::new(MemDisk::new(2048)))]);
        let client = world.add_initiator(&[lan], own);
        let remote = world.attach(client, OWN, AttachOptions::default()).unwrap();
        let began = world.now();
        world.write(client, remote, 0, &pattern(1, 0, 100)).unwrap();
        assert_eq!(world.client(client).view().remote(remote).unwrap().sectors_per_frame(), 2);
        assert!(world.now() - began < 20 * MS);
    }
}

#[test]
fn everything_written_is_read_back_in_good_weather_without_one_frame_sent_twice() {
    for mtu in [1500, 9000] {
        let mut lab = Lab::new(1, mtu);
        round_trip(&mut lab, S);
        let stats = lab.stats();
        assert_eq!((stats.retransmits, stats.timeouts, stats.late, stats.strays), (0, 0, 0, 0), "{stats:?}");
        assert_eq!(stats.requests, stats.replies);
    }
}

#[test]
fn everything_written_is_read_back_whatever_is_lost_doubled_and_reordered() {
    for seed in seeds(3) {
        for (per_mille, mtu) in [(10, 1500), (10, 9000), (100, 1500), (100, 9000), (300, 9000)] {
            let mut lab = Lab::new(seed, mtu);
            lab.world.net.set_weather(lab.segments[0], Weather::rough(per_mille));
            round_trip(&mut lab, 60 * S);
            assert!(lab.stats().retransmits > 0 && lab.world.net.stats().lost > 0);
        }
    }
}

#[test]
fn one_frame_of_a_hundred_lost_costs_little() {
    for seed in seeds(4) {
        let mut lab = Lab::new(seed, 9000);
        lab.world.net.set_weather(lab.segments[0], Weather { loss: 10, ..Weather::LAN });
        let (before, frames) = (lab.world.now(), SECTORS / 17 * 2);
        round_trip(&mut lab, 60 * S);
        let (took, stats) = (lab.world.now() - before, lab.stats());
        assert!(took < S, "{frames} frames took {took:?}, {stats:?}");
        assert!(stats.retransmits < frames / 10, "{stats:?}");
    }
}

#[test]
fn a_request_sent_again_has_another_tag() {
    for seed in seeds(4) {
        let mut lab = Lab::new(seed, 1500);
        lab.world.net.set_weather(lab.segments[0], Weather { loss: 50, ..Weather::LAN });
        let requests = lab.requests();
        round_trip(&mut lab, 60 * S);
        let (mut tags, mut sent) = (BTreeMap::new(), 0);
        for request in requests.borrow().iter() {
            sent += 1;
            assert!(tags.insert(request.tag, *request).is_none(), "{request:?} has a tag that was used");
        }
        assert!(sent > 2 * SECTORS / 2 + 100, "some were sent again: {sent}");
    }
}

#[test]
fn never_are_more_requests_in_the_air_than_the_target_has_buffers() {
    for (buffers, window, most) in [(8, 64, 8), (64, 5, 5), (2, 64, 2), (100, 64, 64)] {
        let (mut gate, options) = (None, AttachOptions { window, ..AttachOptions::default() });
        let mut lab = Lab::with(1, 1500, 1, options, |_, disk| {
            let (disk, handle) = Delay::until_released(disk);
            gate = Some(handle);
            export_with(|export| (export.options.buffer_count, export.depth) = (buffers, 128), disk)
        });
        let gate = gate.unwrap();
        // Grown to its full width first.
        gate.open();
        lab.write(0, &pattern(1, 0, 1000));
        gate.close();
        assert_eq!(lab.remote().window(), most);
        let requests = lab.requests();
        lab.submit_read(1, Extent::new(0, 1000));
        lab.world.run_for(10 * MS);
        assert_eq!((requests.borrow().len(), gate.held()), (usize::from(most), usize::from(most)));
        assert_eq!(lab.remote().in_flight(), usize::from(most));
        gate.open();
        assert_eq!(lab.done(S).done.status(), Status::Ok);
        lab.world.run_for(MS);
        assert_eq!(lab.remote().in_flight(), 0);
    }
}

#[test]
fn the_window_goes_back_to_one_on_a_timeout_and_grows_again_fast() {
    let options = AttachOptions { window: 64, ..AttachOptions::default() };
    let mut lab = Lab::with(1, 1500, 1, options, |_, disk| {
        export_with(|export| (export.options.buffer_count, export.depth) = (64, 64), disk)
    });
    lab.write(0, &pattern(1, 0, 1000));
    assert_eq!(lab.remote().window(), 64);
    let [target, _] = lab.stations(0);
    lab.submit_read(1, Extent::new(0, 4000));
    lab.world.run_for(MS);
    lab.world.net.set_up(target, false);
    lab.world.run_for(500 * MS);
    assert_eq!(lab.remote().window(), 1);
    let requests = lab.requests();
    lab.world.run_for(1000 * MS);
    let tries = requests.borrow().len();
    assert!((1..=3).contains(&tries), "{tries} requests in a second to a target that is silent");

    lab.world.net.set_up(target, true);
    assert_eq!(lab.done(10 * S).done.status(), Status::Ok);
    assert!(lab.remote().window() > 32, "{}", lab.remote().window());
}

#[test]
fn a_late_reply_to_an_earlier_sending_ends_a_read_but_no_write() {
    for write in [true, false] {
        let mut lab = Lab::new(1, 1500);
        // So that it knows how long replies take.
        lab.write(0, &pattern(1, 0, 100));
        lab.read(0, 100);
        // The first reply to a block request is held for 100 ms, all others are lost.
        let mut first = true;
        lab.tap_target(move |_, frame| match Packet::parse(frame) {
            Ok(Packet { arg: Arg::Ata(..), .. }) if first => {
                first = false;
                Verdict::Hold(100 * MS)
            }
            Ok(Packet { arg: Arg::Ata(..), .. }) => Verdict::Drop,
            _ => Verdict::Pass,
        });
        let requests = lab.requests();
        let before = lab.world.now();
        match write {
            true => lab.submit_write(1, 9, pattern(1, 9, 1)),
            false => lab.submit_read(1, Extent::new(9, 1)),
        }
        lab.world.run_for(300 * MS);
        assert!(requests.borrow().len() > 1, "it was sent again");
        let ended =
            lab.world.client(lab.client).take(|event| matches!(event, aoe_initiator::Event::Done(..)));
        assert_eq!(ended.is_none(), write, "{ended:?}");
        if let Some(aoe_initiator::Event::Done(_, completion)) = ended {
            assert!(completion.latency >= 100 * MS && completion.latency < 110 * MS, "{completion:?}");
            let _ = completion;
            continue;
        }
        let [target, _] = lab.stations(0);
        lab.world.net.untap(target);
        assert_eq!(lab.done(5 * S).done.status(), Status::Ok);
        assert!(lab.world.now() - before > 300 * MS);
    }
}

#[test]
fn a_request_without_an_answer_ends_at_its_deadline_and_not_later() {
    for deadline in [100 * MS, 3 * S, 30 * S] {
        let options = AttachOptions { deadline, ..AttachOptions::default() };
        let mut lab = Lab::with(1, 1500, 1, options, |_, disk| Export::new(OWN, disk));
        lab.world.kill_target(lab.target);
        lab.submit_read(1, Extent::new(0, 100));
        lab.world.run_for(50 * MS);
        lab.submit_read(2, Extent::new(0, 1));
        for tag in [1, 2] {
            let completion = lab.done(deadline + MS);
            assert_eq!((completion.done.tag(), completion.done.status()), (tag, Status::Aborted));
            let Some(Failure::Timeout { waited, .. }) = completion.failure else { panic!("{completion:?}") };
            assert!((deadline..deadline + MS).contains(&waited), "{waited:?}");
            assert!((deadline..deadline + MS).contains(&completion.latency), "{completion:?}");
        }
        // What ended leaves nothing behind.
        lab.world.restart_target(lab.target);
        lab.world.run_for(3 * S);
        assert_eq!(lab.read(0, 100), [0; 51200]);
        assert_eq!(lab.remote().in_flight(), 0);
    }
}

#[test]
fn requests_end_in_order_if_that_is_asked_for() {
    for seed in seeds(3) {
        let order = |in_order| {
            let options = AttachOptions { in_order, ..AttachOptions::default() };
            let mut lab = Lab::with(seed, 1500, 1, options, |_, disk| Export::new(OWN, disk));
            lab.world.net.set_weather(lab.segments[0], Weather::rough(100));
            for tag in 0..300 {
                lab.submit_read(tag, Extent::new(tag, 1));
            }
            (0..300).map(|_| lab.done(20 * S).done.tag()).collect::<Vec<_>>()
        };
        assert_eq!(order(true), (0..300).collect::<Vec<_>>());
        assert!(!order(false).is_sorted());
    }
}

#[test]
fn a_large_request_does_not_starve_a_small_one_for_long_nor_one_disk_another() {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    let exports = [0, 1].map(|minor| Export::new(Address::new(7, minor), Inline::new(MemDisk::new(65536))));
    world.add_target(&[lan], 1500, exports);
    let client = world.add_initiator(&[lan], 1500);
    let [one, two] =
        [0, 1].map(|minor| world.attach(client, Address::new(7, minor), AttachOptions::default()).unwrap());
    let initiator = world.client(client).initiator();
    let large = Io::write(Extent::new(0, 65536), vec![1; 65536 * SECTOR_SIZE], 0);
    assert!(matches!(initiator.submit(one, large), bdev::Submit::Queued));
    let began = world.now();
    for lba in 0..100 {
        world.write(client, two, lba, &[2; 512]).unwrap();
    }
    let took = world.now() - began;
    assert!(took < 100 * MS, "100 small writes beside a large one took {took:?}");
    assert!(world.client(client).take(|event| matches!(event, aoe_initiator::Event::Done(..))).is_none());
}

#[test]
fn a_link_that_takes_no_frames_for_a_while_delays_and_loses_nothing() {
    let mut lab = Lab::new(1, 1500);
    let [_, initiator] = lab.stations(0);
    lab.submit_write(1, 0, pattern(1, 0, 2000));
    for _ in 0..20 {
        lab.world.run_for(3 * MS);
        lab.world.net.set_blocked(initiator, true);
        lab.world.run_for(5 * MS);
        lab.world.net.set_blocked(initiator, false);
    }
    assert_eq!(lab.done(10 * S).done.status(), Status::Ok);
    assert!(lab.read(0, 2000) == pattern(1, 0, 2000));
}
