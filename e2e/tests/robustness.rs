//! Conformance case 67: frames of all kinds of nonsense.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use e2e::net::note;
use e2e::nonsense::{Nonsense, defuse, permitted, presentable};
use e2e::request::{Request, flush, identify, read, write};
use e2e::{B, Lab, SECTOR, Setup, config, mac, mask, reserve};

const FRAMES: usize = 200_000;
/// So many frames are sent before the target must show that it has kept up.
const BURST: usize = 32;

/// Waits until the target has kept up with all frames sent so far, and counts the replies that arrive.
#[track_caller]
fn catch_up(lab: &mut Lab, replies: &mut BTreeMap<u8, usize>) {
    await_reply(lab, replies, &read(0, 1));
}

/// Waits until all frames sent so far have been executed and answered.
#[track_caller]
fn finish(lab: &mut Lab, replies: &mut BTreeMap<u8, usize>) {
    await_reply(lab, replies, &flush());
    while let Some(frame) = lab.next(Duration::from_millis(50)) {
        presentable(&frame);
        *replies.entry(frame[19]).or_default() += 1;
    }
}

#[track_caller]
fn await_reply(lab: &mut Lab, replies: &mut BTreeMap<u8, usize>, request: &Request) {
    let sentinel = request.clone().tagged(0x5e47_13e1).from(mac(0x5e)).bytes();
    lab.client.send(&sentinel);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(frame) = lab.next(left) else { panic!("the target answers no more") };
        presentable(&frame);
        if frame[..6] == mac(0x5e) && frame[20..24] == sentinel[20..24] {
            return;
        }
        *replies.entry(frame[19]).or_default() += 1;
    }
}

#[test]
fn case_67_of_200000_random_and_mutated_frames_only_valid_writes_change_the_disk() {
    let seed = 67;
    // The page cache suffices: it is not durability that is tested.
    Setup::default().mtu(9000).options(&["--cache", "writeback"]).run(|lab| {
        let identity = lab.ask(&identify());
        let fua = identity.bytes()[36 + 2 * 84] & 0x40 != 0;
        let mut nonsense = Nonsense::new(seed);
        let mut replies = BTreeMap::new();
        let mut writes = 0;
        for n in 0..FRAMES {
            let mut frame = if n % 4 == 0 { nonsense.random() } else { nonsense.mutated() };
            defuse(&mut frame);
            if let Some((lba, data)) = permitted(&frame, fua) {
                writes += 1;
                lab.disk.expect(lba, data);
            }
            lab.client.send(&frame);
            if n % BURST == BURST - 1 {
                catch_up(lab, &mut replies);
            }
        }
        finish(lab, &mut replies);
        lab.target.assert_alive();
        lab.disk.verify();
        let known: Vec<_> = replies.range(..4).map(|(_, count)| count).collect();
        let others: usize = replies.range(4..).map(|(_, count)| count).sum();
        note(&format!(
            "case 67, seed {seed}: {FRAMES} frames, {writes} of them writes; replies to commands 0 to 3: {known:?}, to \
             others: {others}"
        ));
        assert!(writes > FRAMES / 20, "only {writes} writes");
        // Nonsense has changed settings more often than a target takes in a moment; what is beyond gets no answer.
        thread::sleep(Duration::from_secs(1));
        lab.ask(&config(4, b"")).good();
        lab.ask(&mask(0, &[])).good().with_list(&[]);
        lab.ask(&reserve(0, &[])).good().with_list(&[]);
    });
}

#[test]
fn case_67_every_byte_of_a_valid_write_takes_every_value() {
    Setup::default().options(&["--cache", "writeback"]).run(|lab| {
        let identity = lab.ask(&identify());
        let fua = identity.bytes()[36 + 2 * 84] & 0x40 != 0;
        let mut replies = BTreeMap::new();
        let original = write(200, &[0x67; SECTOR]).bytes();
        for at in (0..12).chain(14..36) {
            for value in 0..=255 {
                let mut frame = original.clone();
                frame[at] = value;
                defuse(&mut frame);
                // Different data every time, so that a write that should not have been is seen.
                frame[40] = at as u8;
                frame[41] = value;
                if let Some((lba, data)) = permitted(&frame, fua) {
                    lab.disk.expect(lba, data);
                }
                lab.client.send(&frame);
                if usize::from(value) % BURST == BURST - 1 {
                    catch_up(lab, &mut replies);
                }
            }
            finish(lab, &mut replies);
            lab.disk.verify();
        }
    });
}

#[test]
fn a_storm_of_queries_to_all_targets_is_answered_in_part_only_and_delays_nobody() {
    const QUERIES: usize = 20_000;
    e2e::on_a_wire(|lab| {
        let mut replies = BTreeMap::new();
        let query = config(0, b"").to(B).at(0xffff, 0xff).from(mac(0x66)).bytes();
        for n in 0..QUERIES {
            lab.client.send(&query);
            if n % BURST == BURST - 1 {
                catch_up(lab, &mut replies);
            }
        }
        let answered = replies[&1];
        assert!((100..QUERIES / 2).contains(&answered), "{answered} of {QUERIES} queries were answered");
        lab.read(0, 1);
    });
}
