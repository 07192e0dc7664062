//! Order over several links of one disk at full speed: whole bursts on each link, a deep queue that shuffles.

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::rc::Rc;

use aoe_link::MemLink;
use aoe_target::bdev::testing::{Delay, Fault, Faults, Faulty, Reorder};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Backend, IoBuf, Link, LinkInfo, TargetOptions};
use common::pieces::CutLink;
use common::{OWN, World, ata, read, registers, tag, write};
use proptest::prelude::*;

/// Few sectors, so that most requests overlap some other in flight.
const SECTORS: u64 = 96;
/// What one call of `recv` of a link in memory delivers.
const BURST: usize = 64;
const LINKS: usize = 4;

/// A link that writes down what the server receives, in one list for all links: this is the order of arrival.
struct Tap<L> {
    link: L,
    arrived: Rc<RefCell<Vec<u32>>>,
}

impl<L: Link> Link for Tap<L> {
    type Frame = L::Frame;

    fn info(&self) -> LinkInfo {
        self.link.info()
    }

    fn alloc(&mut self) -> Option<L::Frame> {
        self.link.alloc()
    }

    fn recycle(&mut self, frame: L::Frame) {
        self.link.recycle(frame);
    }

    fn recv(&mut self, rx: &mut Vec<L::Frame>) -> io::Result<()> {
        self.link.recv(rx)?;
        self.arrived.borrow_mut().extend(rx.iter().map(|frame| tag(frame.bytes())));
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<L::Frame>) -> io::Result<()> {
        self.link.send(tx)
    }
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Read { lba: u64, count: u8 },
    Write { lba: u64, count: u8 },
    Flush,
}

impl Request {
    /// Of at most `most` sectors. One in four reads, one in thirty-two flushes: the rest writes.
    fn drawn(number: u32, most: u8) -> Self {
        let drawn = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let count = u8::try_from(drawn >> 8 & 0xff).unwrap() % most + 1;
        let lba = (drawn >> 24) % (SECTORS - u64::from(count) + 1);
        match drawn >> 59 {
            0..8 => Self::Read { lba, count },
            8 => Self::Flush,
            _ => Self::Write { lba, count },
        }
    }

    /// Each sector that is written says by which request.
    fn frame(self, tag: u32, link: usize) -> Vec<u8> {
        let mut frame = match self {
            Self::Read { lba, count } => read(tag, lba, count),
            Self::Write { lba, count } => {
                let sector = tag.to_be_bytes().repeat(128);
                write(tag, lba, &sector.repeat(count.into()))
            }
            Self::Flush => ata(tag, [0, 0, 0, 0xea], 0, &[]),
        };
        frame[3] = u8::try_from(link).unwrap();
        frame
    }
}

/// What the sectors of a read must hold: for each, the last request before it, in order of arrival, that wrote it.
fn arrive(disk: &mut [u32], request: Request, tag: u32) -> Vec<u32> {
    let span = |lba: u64, count: u8| lba as usize..lba as usize + usize::from(count);
    match request {
        Request::Read { lba, count } => disk[span(lba, count)].to_vec(),
        Request::Write { lba, count } => {
            disk[span(lba, count)].fill(tag);
            vec![]
        }
        Request::Flush => vec![],
    }
}

/// Rounds of whole bursts on all links, never waiting for replies. Returns how many requests had to wait for others.
fn bursts<L: Link>(
    wrap: impl Fn(MemLink) -> L,
    disk: &dyn Backend<L::Frame>,
    mtu: u32,
    most: u8,
    rounds: u32,
    salt: u32,
) -> u64 {
    let arrived = Rc::new(RefCell::new(Vec::new()));
    let tap = |link| Tap { link: wrap(link), arrived: Rc::clone(&arrived) };
    let mut world = World::over(
        tap,
        disk,
        LINKS,
        mtu,
        TargetOptions { buffer_count: u16::MAX, ..TargetOptions::new(OWN) },
    );
    let mut requests = HashMap::new();
    let mut expected = HashMap::new();
    let mut model = vec![0; SECTORS as usize];
    // Writes that have arrived and not been answered, by number of arrival.
    let (mut arrivals, mut writes) = (0u64, BTreeMap::new());
    let mut next = salt;
    for round in 0..rounds + 20_000 {
        if round < rounds {
            for link in 0..LINKS {
                for _ in 0..BURST {
                    let request = Request::drawn(next, most);
                    world.send(link, &request.frame(next, link));
                    requests.insert(next, request);
                    next = next.wrapping_add(1);
                }
            }
        }
        let progress = world.turn();
        for tag in arrived.borrow_mut().drain(..) {
            let request = requests.remove(&tag).expect("each request arrives once");
            arrivals += 1;
            if matches!(request, Request::Write { .. }) {
                writes.insert(arrivals, tag);
            }
            expected.insert(tag, (arrivals, request, arrive(&mut model, request, tag)));
        }
        let mut flushed = 0;
        for link in 0..LINKS {
            for reply in world.received(link) {
                let tag = tag(&reply);
                let (arrival, request, wanted) =
                    expected.remove(&tag).unwrap_or_else(|| panic!("one reply to {tag}"));
                match request {
                    Request::Write { .. } => drop(writes.remove(&arrival)),
                    Request::Flush => flushed = arrival.max(flushed),
                    Request::Read { .. } => {}
                }
                assert_eq!(registers(&reply)[1..], [0, 0, 0x40], "tag {tag}");
                let sectors = reply[36..].chunks_exact(512);
                let held: Vec<_> =
                    sectors.map(|sector| u32::from_be_bytes(sector[..4].try_into().unwrap())).collect();
                assert_eq!(held, wanted, "tag {tag}");
            }
        }
        assert_eq!(writes.range(..flushed).next(), None, "a flush is answered after every earlier write");
        if round >= rounds && progress.in_flight == 0 && requests.is_empty() {
            assert!(expected.is_empty(), "{} requests without a reply", expected.len());
            return world.server.stats().overlaps;
        }
    }
    panic!("requests are stuck");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn full_bursts_on_four_links_keep_their_order_on_a_disk_that_shuffles(seed: u64, salt: u32) {
        let faults = Faults::default();
        faults.add(Fault::full().every(5));
        let memory = Inline::new(MemDisk::new(SECTORS as usize));
        let disk = Reorder::new(Faulty::new(memory, &faults), seed);
        let overlaps = bursts(|link| link, &disk, 1500, 2, 8, salt);
        prop_assert!(overlaps > 1000, "only {overlaps} had to wait");
    }

    #[test]
    fn full_bursts_of_jumbo_frames_in_pieces_do(seed: u64, salt: u32) {
        let disk = Reorder::new(Inline::new(MemDisk::new(SECTORS as usize)), seed);
        let overlaps = bursts(|link| CutLink::new(link, [3620; 3]), &disk, 9000, 17, 4, salt);
        prop_assert!(overlaps > 500, "only {overlaps} had to wait");
    }
}

#[test]
fn full_bursts_keep_their_order_on_a_disk_that_ends_them_late_and_in_order() {
    let disk = Delay::for_reaps(Inline::new(MemDisk::new(SECTORS as usize)), 3);
    assert!(bursts::<MemLink>(|link| link, &disk, 1500, 2, 8, 1) > 1000);
}

#[test]
fn full_bursts_keep_their_order_on_a_disk_that_ends_them_at_once() {
    let disk = Inline::new(MemDisk::new(SECTORS as usize));
    assert_eq!(bursts::<MemLink>(|link| link, &disk, 1500, 2, 8, 1), 0);
}

#[test]
fn a_read_is_expected_to_hold_the_last_writes_before_it() {
    let mut disk = vec![0; SECTORS as usize];
    let write = Request::Write { lba: 3, count: 2 };
    assert_eq!(arrive(&mut disk, write, 7), []);
    assert_eq!(arrive(&mut disk, Request::Read { lba: 4, count: 2 }, 8), [7, 0]);
}
