//! A storm of nonsense, hours of it if asked for, while another initiator works and judges what it reads.
//!
//! `STORM_FRAMES=10000000` or `STORM_MINUTES=20` make it longer.

use std::time::{Duration, Instant};
use std::{env, fs};

use e2e::disk::SECTORS;
use e2e::net::note;
use e2e::nonsense::{Nonsense, defuse, permitted, presentable};
use e2e::request::{identify, read};
use e2e::tool::Tool;
use e2e::{Lab, S, SECTOR, Setup, mac};
use rustix::process::Signal;

/// Frames, unless the environment says otherwise.
const FRAMES: u64 = 300_000;
/// So many frames are sent before the target must show that it has kept up: its receive ring holds more.
const BURST: u64 = 128;
/// Who sends the nonsense, and who asks whether the target has kept up.
const STRANGER: u8 = 0x66;
const SENTINEL: u8 = 0x5e;
/// How often that is asked, in seconds.
const PATIENCE: u32 = 30;
/// Sectors that nonsense may write; then those of the initiator that works; to the others nobody writes.
const NONSENSE: u64 = SECTORS / 2;
const WORK: u64 = SECTORS / 4;
/// Memory may grow by so much, in KiB, after the first tenth: what the kernel takes back and gives again.
const GROWTH: u64 = 1024;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Sends a read of a station of its own and waits for the reply: all that was sent before has been taken in. Beside a storm the question
/// or its reply may be lost, where this test's own socket has no room: then it is asked again.
#[track_caller]
fn catch_up(lab: &mut Lab) {
    for tag in 0x5e47_0000..0x5e47_0000 + PATIENCE {
        let sentinel = read(0, 1).tagged(tag).from(mac(SENTINEL)).bytes();
        lab.client.send(&sentinel);
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Some(frame) = lab.next(deadline.saturating_duration_since(Instant::now())) {
            presentable(&frame);
            if frame[..6] == mac(SENTINEL) && frame[20..24] == sentinel[20..24] {
                return;
            }
        }
    }
    panic!("the target answers no more");
}

#[test]
fn a_storm_of_random_and_mutated_frames_harms_no_other_initiators_data_and_costs_no_memory() {
    let (frames, minutes) = (number("STORM_FRAMES", FRAMES), number("STORM_MINUTES", 0));
    let seed = number("STORM_SEED", 88);
    // The page cache suffices: it is not durability that is tested.
    Setup::default().mtu(9000).options(&["--cache", "writeback"]).run(|lab| {
        let identity = lab.ask(&identify());
        let fua = identity.bytes()[36 + 2 * 84] & 0x40 != 0;
        let work = Tool::new("bench e7.3 --duration 86400 --read 50 --verify --force --sectors 8 --window 8 --json")
            .arg(format!("--offset={NONSENSE}"))
            .arg(format!("--length={WORK}"))
            .within(86_400)
            .spawn();
        let mut nonsense = Nonsense::new(seed);
        let (start, mut sent, mut writes, mut first) = (Instant::now(), 0, 0_u64, None);
        while sent < frames || start.elapsed() < Duration::from_secs(60 * minutes) {
            let mut frame = if sent % 4 == 0 { nonsense.random() } else { nonsense.mutated() };
            defuse(&mut frame);
            if frame.get(6..12) == Some(&S) {
                frame[6..12].copy_from_slice(&mac(STRANGER));
            }
            if let Some((lba, data)) = permitted(&frame, fua) {
                if lba + (data.len() / SECTOR) as u64 > NONSENSE {
                    continue;
                }
                writes += 1;
                lab.disk.expect(lba, data);
            }
            lab.client.send(&frame);
            sent += 1;
            if sent % BURST == 0 {
                catch_up(lab);
            }
            if first.is_none() && sent >= frames / 10 && start.elapsed() >= Duration::from_secs(6 * minutes) {
                first = Some(lab.target.resident());
            }
        }
        catch_up(lab);
        let (took, first, last) = (start.elapsed(), first.expect("a first figure"), lab.target.resident());
        work.signal(Signal::INT);
        let work = work.wait().json();
        // Its replies, which this test's socket has seen as well.
        while lab.next(Duration::from_millis(50)).is_some() {}
        note(&format!(
            "storm, seed {seed}: {sent} frames in {took:.0?}, {writes} of them writes; beside it {} replies/s, {} reads judged, {} \
             retransmits; {first} KiB of memory after a tenth, {last} KiB at the end",
            work["replies_per_second"], work["checked"], work["retransmits"]
        ));
        assert_eq!((&work["mismatches"], &work["errors"]), (&0.into(), &0.into()), "{work}");
        assert!(work["checked"].as_u64() > Some(0), "{work}");
        assert!(last <= first + GROWTH, "memory grew from {first} to {last} KiB");

        let (at, end) = (NONSENSE as usize * SECTOR, (NONSENSE + WORK) as usize * SECTOR);
        let content = fs::read(lab.disk.path()).expect("the disk");
        lab.disk.expect(NONSENSE, &content[at..end]);
    });
}
