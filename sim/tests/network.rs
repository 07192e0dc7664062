//! The network itself, with frames written by hand and targets that answer them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{Address, Arg, ConfigCommand, MacAddr, Packet, RequestHeader, Tag, build_config, show};
use bdev::{Inline, MemDisk};
use bytes::BytesMut;
use sim::{Export, Network, SimLink, StationId, Verdict, Way, Weather, World, seeds};

const MS: Duration = Duration::from_millis(1);

/// A query of any target, to everybody, with `tag`.
fn query(from: &SimLink, tag: u32) -> BytesMut {
    let header = RequestHeader {
        dst: MacAddr::BROADCAST,
        src: from.info().mac,
        address: Address::WILDCARD,
        tag: Tag::from_u32(tag),
    };
    let mut frame = BytesMut::zeroed(60);
    build_config(&mut frame, header, ConfigCommand::READ, &[]).unwrap();
    frame
}

fn send(link: &mut SimLink, frames: impl IntoIterator<Item = BytesMut>) {
    link.send(&mut frames.into_iter().collect()).unwrap();
}

/// Everything that has arrived, as tags.
fn tags(link: &mut SimLink) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        let mut rx = Vec::new();
        link.recv(&mut rx).unwrap();
        if rx.is_empty() {
            return all;
        }
        all.extend(rx.iter().map(|frame| Packet::parse(frame).unwrap().aoe.tag.to_u32()));
    }
}

/// A network with one segment, and links that have two stations of it open.
fn pair(seed: u64) -> (Network, SimLink, SimLink) {
    let net = Network::new(seed);
    let lan = net.add_segment();
    let [a, b] = [0; 2].map(|_| net.open(net.add_station(lan, 1500)));
    (net, a, b)
}

/// Sends 1000 frames, one a millisecond, through `weather`, and returns what arrived.
fn thousand(seed: u64, weather: Weather) -> (Network, Vec<u32>) {
    let (net, mut a, mut b) = pair(seed);
    net.set_station_weather(a.station(), Way::Out, weather);
    let mut arrived = Vec::new();
    for tag in 0..1000 {
        let frame = query(&a, tag);
        send(&mut a, [frame]);
        net.advance(net.now() + MS);
        arrived.extend(tags(&mut b));
    }
    net.advance(net.now() + 1000 * MS);
    arrived.extend(tags(&mut b));
    (net, arrived)
}

#[test]
fn targets_answer_a_query_written_by_hand() {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    for minor in 0..3 {
        let disk = Inline::new(MemDisk::new(2048));
        world.add_target(&[lan], 1500, [Export::new(Address::new(7, minor), disk)]);
    }
    let mut host = world.net.open(world.net.add_station(lan, 1500));
    world.run_for(MS);
    assert_eq!(tags(&mut host), [0, 0, 0], "advertisements");

    let frame = query(&host, 5);
    send(&mut host, [frame]);
    world.run_for(MS);
    let mut rx = Vec::new();
    host.recv(&mut rx).unwrap();
    let mut minors: Vec<_> = rx
        .iter()
        .map(|frame| {
            let Ok(Packet { aoe, arg: Arg::Config(..), .. }) = Packet::parse(frame) else {
                panic!("{}", show(frame))
            };
            assert_eq!(aoe.tag.to_u32(), 5);
            aoe.minor
        })
        .collect();
    minors.sort_unstable();
    assert_eq!(minors, [0, 1, 2]);
}

#[test]
fn a_good_network_delivers_everything_once_and_in_order_within_its_bounds_of_time() {
    let (net, mut a, mut b) = pair(3);
    send(&mut a, (0..50).map(|tag| query(&b, tag)));
    net.advance(Duration::from_micros(19));
    assert_eq!(tags(&mut b), []);
    net.advance(Duration::from_micros(60));
    assert_eq!(tags(&mut b), (0..50).collect::<Vec<_>>());
    assert_eq!(net.next_arrival(), None);
}

#[test]
fn weather_does_what_it_says_about_as_often_as_it_says() {
    for seed in seeds(3) {
        let (net, arrived) = thousand(seed, Weather { loss: 300, ..Weather::NONE });
        assert!((620..780).contains(&arrived.len()), "{} arrived", arrived.len());
        assert_eq!(arrived.len() as u64 + net.stats().lost, 1000);
        assert!(arrived.is_sorted());

        let (net, arrived) = thousand(seed, Weather { duplicate: 300, ..Weather::NONE });
        assert!((1220..1380).contains(&arrived.len()), "{} arrived", arrived.len());
        assert_eq!(arrived.len() as u64 - net.stats().duplicated, 1000);

        let held = 5 * MS;
        let (net, mut arrived) = thousand(seed, Weather { reorder: 300, held, ..Weather::NONE });
        assert!(!arrived.is_sorted());
        assert!((220..380).contains(&net.stats().reordered));
        arrived.sort_unstable();
        assert_eq!(arrived, (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_frame_differs_in_one_bit_behind_the_ethernet_header() {
    let (net, mut a, mut b) = pair(9);
    net.set_station_weather(b.station(), Way::In, Weather { corrupt: 1000, ..Weather::NONE });
    let whole = query(&a, 5);
    for _ in 0..100 {
        send(&mut a, [whole.clone()]);
        net.advance(net.now() + MS);
        let mut rx = Vec::new();
        b.recv(&mut rx).unwrap();
        let turned: u32 = rx[0].iter().zip(&whole).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((turned, &rx[0][..14]), (1, &whole[..14]));
    }
}

#[test]
fn frames_go_to_their_address_on_their_segment_and_to_nobody_else() {
    let net = Network::new(1);
    let (one, two) = (net.add_segment(), net.add_segment());
    let mut links: Vec<_> = [one, one, one, two].map(|lan| net.open(net.add_station(lan, 1500))).into();
    let mut frame = query(&links[0], 7);
    frame[..6].copy_from_slice(&links[2].info().mac.0);
    let broadcast = query(&links[0], 8);
    send(&mut links[0], [frame, broadcast]);
    net.advance(MS);
    let heard: Vec<_> = links.iter_mut().map(tags).collect();
    assert_eq!(heard, [vec![], vec![8], vec![7, 8], vec![]]);
}

#[test]
fn a_station_is_as_good_as_its_cable_its_mtu_and_its_process() {
    let (net, mut a, b) = pair(1);
    let to: StationId = b.station();
    let mut b = Some(b);
    let mut passes = |change: &dyn Fn(&Network)| {
        change(&net);
        let frame = query(&a, 1);
        send(&mut a, [frame]);
        net.advance(net.now() + MS);
        b.as_mut().is_some_and(|b| !tags(b).is_empty())
    };
    assert!(passes(&|_| {}));
    assert!(!passes(&|net| net.set_up(to, false)));
    assert!(passes(&|net| net.set_up(to, true)));
    assert!(!passes(&|net| net.set_mtu(to, 45)));
    assert!(passes(&|net| net.set_mtu(to, 46)));
    drop(b.take());
    let mut again = net.open(to);
    assert_eq!(tags(&mut again), []);
    assert_eq!((net.info(to).generation, net.stats().undeliverable), (4, 2));
}

#[test]
fn a_change_shows_in_the_link_when_it_next_receives() {
    let (net, a, mut b) = pair(1);
    let mac = MacAddr([2, 9, 9, 9, 9, 9]);
    let before = b.info();
    net.set_mac(b.station(), mac);
    assert_eq!(b.info(), before);
    b.recv(&mut Vec::new()).unwrap();
    assert_eq!((b.info().mac, b.info().generation), (mac, before.generation + 1));
    assert_eq!(a.info().generation, 0);
}

#[test]
fn a_blocked_station_leaves_frames_with_the_sender() {
    let (net, mut a, mut b) = pair(1);
    net.set_blocked(a.station(), true);
    let mut tx = VecDeque::from([query(&a, 1), query(&a, 2)]);
    a.send(&mut tx).unwrap();
    assert_eq!(tx.len(), 2);
    net.set_blocked(a.station(), false);
    a.send(&mut tx).unwrap();
    net.advance(MS);
    assert_eq!((tx.len(), tags(&mut b)), (0, vec![1, 2]));
}

#[test]
fn a_tap_drops_changes_holds_and_doubles() {
    let (net, mut a, mut b) = pair(1);
    net.tap(a.station(), |_, frame| {
        let verdict = match frame[23] {
            1 => Verdict::Drop,
            2 => Verdict::Hold(5 * MS),
            3 => Verdict::Twice(7 * MS),
            _ => Verdict::Pass,
        };
        frame[23] += 10;
        verdict
    });
    let frames: Vec<_> = (1..=4).map(|tag| query(&a, tag)).collect();
    send(&mut a, frames);
    let mut at = |time: u32| {
        net.advance(time * MS);
        tags(&mut b)
    };
    assert_eq!([at(1), at(6), at(8)], [vec![13, 14], vec![12], vec![13]]);
}

#[test]
fn the_same_seed_has_the_same_frames_at_the_same_times() {
    let digest = |seed| thousand(seed, Weather { corrupt: 100, ..Weather::rough(100) }).0.digest();
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_failure_names_the_seed_and_shows_the_last_frames() {
    let failed = std::panic::catch_unwind(|| {
        let mut world = World::new(4711);
        let lan = world.net.add_segment();
        world.add_target(&[lan], 1500, [Export::new(Address::new(7, 3), Inline::new(MemDisk::new(2048)))]);
        world.run_until(|_| false, MS);
    });
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    for part in ["AoE e7.3", "SIM_SEED=4711 cargo test -p sim --test network a_failure_names", "sent: 1"] {
        assert!(message.contains(part), "{part:?} is missing in {message}");
    }
}

#[test]
fn a_killed_target_is_silent_and_one_that_was_restarted_has_its_disk() {
    let mut world = World::new(1);
    let lan = world.net.add_segment();
    let disk = Arc::new(Inline::new(MemDisk::new(2048)));
    let target = world.add_target(&[lan], 1500, [Export::new(Address::new(7, 3), disk)]);
    let mut host = world.net.open(world.net.add_station(lan, 1500));
    let mut answers = |world: &mut World| {
        tags(&mut host);
        let frame = query(&host, 1);
        send(&mut host, [frame]);
        world.run_for(MS);
        tags(&mut host).contains(&1)
    };
    assert!(answers(&mut world));
    world.kill_target(target);
    assert!(!answers(&mut world));
    world.restart_target(target);
    assert!(answers(&mut world));
}
