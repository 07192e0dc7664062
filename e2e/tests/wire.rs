//! The cable of poor quality that other tests rely on: it does what it is told, and counts it.

use std::time::{Duration, Instant};

use e2e::client::Client;
use e2e::net::{CLIENT, Net, TARGET, note};
use e2e::wire::{Weather, Wire};

const FRAMES: u32 = 20_000;
/// Frames under way at a time: no interface drops any of so few.
const BURST: u32 = 64;
const SOON: Duration = Duration::from_millis(200);

/// Sends numbered frames from one end and returns the numbers as they arrive at the other.
fn send_numbers(from: &Client, to: &mut Client, len: usize, wait: Duration) -> Vec<u32> {
    let mut arrived = Vec::new();
    let mut frame = e2e::request::read(0, 1).length(len).bytes();
    for start in (0..FRAMES).step_by(BURST as usize) {
        let end = (start + BURST).min(FRAMES);
        for number in start..end {
            frame[20..24].copy_from_slice(&number.to_be_bytes());
            from.send(&frame);
        }
        while let Some(got) = to.receive(wait) {
            assert_eq!(got.len(), len);
            arrived.push(u32::from_be_bytes([got[20], got[21], got[22], got[23]]));
            if arrived.last() == Some(&(end - 1)) {
                break;
            }
        }
    }
    arrived.extend(
        std::iter::from_fn(|| to.receive(SOON)).map(|f| u32::from_be_bytes([f[20], f[21], f[22], f[23]])),
    );
    arrived
}

fn with_a_wire(mtu: u32, weather: Weather, test: impl FnOnce(&Wire, Client, Client)) {
    let Some(net) = Net::enter() else { return };
    net.connect_apart(mtu);
    let wire = Wire::start(weather, 42);
    let ends = [TARGET, CLIENT].map(|name| Client::open(name).expect("a raw socket"));
    let [target, client] = ends;
    test(&wire, target, client);
}

#[test]
fn in_good_weather_every_frame_arrives_in_order_both_ways_at_any_size() {
    for (mtu, len) in [(1500, 60), (9000, 9014)] {
        with_a_wire(mtu, Weather::default(), |wire, mut target, mut client| {
            let start = Instant::now();
            let there = send_numbers(&client, &mut target, len, SOON);
            let back = send_numbers(&target, &mut client, len, SOON);
            let rate = f64::from(2 * FRAMES) / start.elapsed().as_secs_f64();
            let all: Vec<u32> = (0..FRAMES).collect();
            assert!(there == all && back == all, "frames are missing or out of order");
            let counts = wire.counts();
            assert_eq!((counts.taken, counts.lost, counts.doubled), (u64::from(2 * FRAMES), 0, 0));
            note(&format!("wire, {len} bytes: {rate:.0} frames/s"));
        });
    }
}

#[test]
fn in_bad_weather_the_announced_share_is_lost_doubled_and_overtaken() {
    let weather = Weather { loss: 100, duplicate: 50, reorder: 100, ..Weather::default() };
    with_a_wire(1500, weather, |wire, mut target, client| {
        let arrived = send_numbers(&client, &mut target, 60, Duration::from_millis(3));
        let counts = wire.counts();
        let share = |count: u64| count as f64 / f64::from(FRAMES);
        assert!((share(counts.lost) - 0.1).abs() < 0.01, "{counts:?}");
        assert!((share(counts.doubled) - 0.045).abs() < 0.01, "{counts:?}");
        assert!((share(counts.overtaken) - 0.095).abs() < 0.01, "{counts:?}");
        assert_eq!(arrived.len() as u64, counts.taken - counts.lost + counts.doubled - counts.refused);
        let late = arrived.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(late > 100, "only {late} frames were overtaken");
    });
}

#[test]
fn delay_holds_frames_back_without_changing_their_order_and_a_cut_loses_them() {
    let weather = Weather { delay: Duration::from_millis(20), ..Weather::default() };
    with_a_wire(1500, weather, |wire, mut target, client| {
        let start = Instant::now();
        let frame = e2e::request::read(0, 1).bytes();
        client.send(&frame);
        assert!(target.receive(SOON).is_some() && start.elapsed() >= weather.delay);
        wire.cut();
        client.send(&frame);
        assert!(target.receive(SOON).is_none(), "a frame came through");
        wire.mend();
        client.send(&frame);
        assert!(target.receive(SOON).is_some(), "no frame came through");
        assert_eq!(wire.counts().lost, 1);
    });
}
