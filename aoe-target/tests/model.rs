//! The engine against a model disk: whatever the disk's queue reorders or refuses, initiators see arrival order.

mod common;

use std::collections::HashMap;

use aoe_link::MemLink;
use aoe_target::bdev::testing::{Fault, Faults, Faulty, Reorder};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Link, Status, TargetOptions};
use common::pieces::CutLink;
use common::{HOST, OWN, World, ata, registers, tag};
use proptest::prelude::*;

const SECTORS: u64 = 48;

#[derive(Clone, Debug)]
enum Act {
    Read {
        lba: u64,
        count: u8,
    },
    Write {
        lba: u64,
        count: u8,
        fill: u8,
    },
    Verify {
        lba: u64,
        count: u8,
    },
    Trim {
        ranges: Vec<(u64, u16)>,
    },
    Flush,
    /// Sends the last request again under another tag.
    Repeat,
    Turn,
}

/// Requests of up to `most` sectors, and some of more.
fn act(most: u8) -> impl Strategy<Value = Act> {
    let lba = 0..SECTORS + 4;
    prop_oneof![
        4 => (lba.clone(), 0..=most + 1).prop_map(|(lba, count)| Act::Read { lba, count }),
        4 => (lba.clone(), 0..=most + 1, 1..=255u8).prop_map(|(lba, count, fill)| Act::Write { lba, count, fill }),
        1 => (lba.clone(), 0..3 * most).prop_map(|(lba, count)| Act::Verify { lba, count }),
        1 => prop::collection::vec((lba, 0..4u16), 0..6).prop_map(|ranges| Act::Trim { ranges }),
        1 => Just(Act::Flush),
        2 => Just(Act::Repeat),
        3 => Just(Act::Turn),
    ]
}

/// What the reply to a request must be: the registers, and the data.
type Expected = ([u8; 4], Vec<u8>);

struct Model {
    disk: Vec<u8>,
    max: u8,
}

impl Model {
    /// Carries out `act` at its time of arrival. The request's frame, and the reply it must get at last.
    fn arrive(&mut self, act: &Act, tag: u32) -> Option<(Vec<u8>, Expected)> {
        let span = |lba: u64, count: u8| {
            let at = usize::try_from(lba).unwrap() * 512;
            at..at + usize::from(count) * 512
        };
        let judge = |lba: u64, count: u8, max: u8| match count {
            0 => Some(0x04),
            count if count > max => Some(0x04),
            count if lba + u64::from(count) > SECTORS => Some(0x10),
            _ => None,
        };
        let (frame, expected) = match act {
            Act::Read { lba, count } => {
                let frame = ata(tag, [0x40, 0, *count, 0x24], *lba, &[]);
                match judge(*lba, *count, self.max) {
                    Some(error) => (frame, ([0x40, error, *count, 0x41], vec![])),
                    None => (frame, ([0x40, 0, 0, 0x40], self.disk[span(*lba, *count)].to_vec())),
                }
            }
            Act::Write { lba, count, fill } => {
                let data = vec![*fill; usize::from(*count) * 512];
                let frame = ata(tag, [0x41, 0, *count, 0x34], *lba, &data);
                match judge(*lba, *count, self.max) {
                    // A frame with more sectors than fit never arrives on a real link; this one is refused for its count.
                    Some(error) => (frame, ([0x41, error, *count, 0x41], vec![])),
                    None => {
                        self.disk[span(*lba, *count)].copy_from_slice(&data);
                        (frame, ([0x41, 0, 0, 0x40], vec![]))
                    }
                }
            }
            Act::Verify { lba, count } => {
                let frame = ata(tag, [0x40, 0, *count, 0x42], *lba, &[]);
                match judge(*lba, *count, u8::MAX) {
                    Some(error) => (frame, ([0x40, error, *count, 0x41], vec![])),
                    None => (frame, ([0x40, 0, 0, 0x40], vec![])),
                }
            }
            Act::Trim { ranges } => {
                let mut data: Vec<u8> =
                    ranges.iter().flat_map(|(lba, n)| (lba | u64::from(*n) << 48).to_le_bytes()).collect();
                data.resize(512, 0);
                let frame = ata(tag, [0x41, 1, 1, 0x06], 0, &data);
                if ranges.iter().any(|(lba, n)| *n != 0 && lba + u64::from(*n) > SECTORS) {
                    (frame, ([0x41, 0x10, 1, 0x41], vec![]))
                } else {
                    for (lba, n) in ranges.iter().filter(|(_, n)| *n != 0) {
                        self.disk[span(*lba, u8::try_from(*n).unwrap())].fill(0);
                    }
                    (frame, ([0x41, 0, 0, 0x40], vec![]))
                }
            }
            Act::Flush => (ata(tag, [0, 0, 0, 0xea], 0, &[]), ([0, 0, 0, 0x40], vec![])),
            Act::Repeat | Act::Turn => return None,
        };
        Some((frame, expected))
    }
}

/// Carries out `acts` on a disk whose queue shuffles and refuses, and on a model, and compares.
fn agree<L: Link>(wrap: impl Fn(MemLink) -> L, acts: &[(Act, usize)], seed: u64, mtu: u32, max: u8) {
    let faults = Faults::default();
    faults.add(Fault::full().every(3));
    let disk = Reorder::new(Faulty::new(Inline::new(MemDisk::new(SECTORS as usize)), &faults), seed);
    let mut model = Model { disk: vec![0; SECTORS as usize * 512], max };
    let mut world = World::over(wrap, &disk, 2, mtu, TargetOptions::new(OWN));
    let mut expected = HashMap::new();
    let mut last = Act::Flush;
    for (number, (act, host)) in acts.iter().enumerate() {
        let tag = u32::try_from(number).unwrap();
        let act = if matches!(act, Act::Repeat) { last.clone() } else { act.clone() };
        if let Some((mut frame, reply)) = model.arrive(&act, tag) {
            frame[3] = u8::try_from(*host).unwrap();
            if frame.len() > mtu as usize + 14 {
                continue;
            }
            world.send(*host, &frame);
            expected.insert(tag, reply);
            last = act;
        }
        let _ = world.turn();
        check(&mut world, &mut expected);
    }
    for _ in 0..2_000 {
        if world.turn().in_flight == 0 {
            break;
        }
    }
    check(&mut world, &mut expected);
    assert!(expected.is_empty(), "requests without a reply: {:?}", expected.keys());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_one_reply_that_agrees_with_arrival_order(
        acts in prop::collection::vec((act(2), 0..2usize), 1..120),
        seed: u64,
        jumbo: bool,
    ) {
        let (mtu, max) = if jumbo { (2_200, 4) } else { (1_500, 2) };
        agree(|link| link, &acts, seed, mtu, max);
    }

    #[test]
    fn so_does_every_request_of_up_to_17_sectors_in_frames_of_several_pieces(
        acts in prop::collection::vec((act(17), 0..2usize), 1..60),
        seed: u64,
        cut in prop_oneof![Just([3620; 3]), (36..600usize, 1..3000usize).prop_map(|(first, second)| [first, second, 9014])],
    ) {
        agree(|link| CutLink::new(link, cut), &acts, seed, 9_000, 17);
    }
}

fn check<L: Link>(world: &mut World<L>, expected: &mut HashMap<u32, Expected>) {
    for host in 0..world.hosts.len() {
        for reply in world.received(host) {
            let (wanted, data) = expected.remove(&tag(&reply)).expect("one reply for each request");
            assert_eq!(reply[..6], HOST.0);
            assert_eq!(registers(&reply), wanted, "tag {}", tag(&reply));
            let mut whole = data;
            whole.resize(whole.len().max(24), 0);
            assert_eq!(reply[36..], whole, "data of tag {}", tag(&reply));
        }
    }
}

#[test]
fn the_model_can_fail() {
    let faults = Faults::default();
    faults.add(Fault::status(Status::Media));
    let disk = Faulty::new(Inline::new(MemDisk::new(SECTORS as usize)), &faults);
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let mut model = Model { disk: vec![0; SECTORS as usize * 512], max: 2 };
    let (frame, reply) = model.arrive(&Act::Read { lba: 0, count: 1 }, 7).unwrap();
    world.send(0, &frame);
    let _ = world.turn();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        check(&mut world, &mut HashMap::from([(7, reply)]));
    }));
    assert!(caught.is_err());
}
