//! Frames in several pieces are answered as frames in one: whatever the request, wherever the cuts.

mod common;

use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{
    Address, Backend, BlockingBackend, DeviceInfo, Frame, IoQueue, LinkInfo, MacAddr, State, Step, Submit,
    Target, TargetOptions,
};
use bytes::BytesMut;
use common::frames::any_frame;
use common::pieces::{Cut, CutLink, Pieces, STALE};
use common::{HOST, OTHER, OWN, TARGET, World, ata, read, request, write};
use proptest::prelude::*;

const MTU: u32 = 9000;
const LINK: LinkInfo = LinkInfo { mac: TARGET, mtu: MTU, payload_align: 512, up: true, generation: 0 };
const SECTORS: usize = 1024;

/// As AF_XDP cuts frames; after each header and list that can stand in a frame; and at odd places.
const CUTS: [Cut; 6] =
    [[3620, 3620, 3620], [36, 512, 8600], [36, 1, 9000], [37, 300, 8800], [60, 1000, 8000], [2067, 1, 7000]];

/// A target over frames of a kind, and the disk behind it.
struct Served<F> {
    target: Target,
    disk: Inline<MemDisk>,
    queue: Box<dyn IoQueue<F>>,
}

impl<F: Frame + std::fmt::Debug> Served<F> {
    fn new() -> Self {
        let memory = MemDisk::new(SECTORS);
        let content: Vec<u8> = (0..SECTORS * 512).map(|at| (at / 512 % 200) as u8).collect();
        memory.write_at(0, &content).unwrap();
        let disk = Inline::new(memory);
        let target = Target::new(TargetOptions::new(OWN), Backend::<F>::info(&disk), State::default());
        let queue = disk.open_queue(1).unwrap();
        Self { target, disk, queue }
    }

    /// The whole life of a request, the disk's part included.
    fn serve(&mut self, frame: F) -> Option<Vec<u8>> {
        let mut step = self.target.handle(&LINK, frame);
        for _ in 0..600 {
            step = match step {
                Step::Ignore(_) => return None,
                Step::Reply(frame) => return Some(frame.segments().flatten().copied().collect()),
                Step::Change(frame) => self.target.change(&LINK, frame, &mut |_| Ok(())),
                Step::Submit { io, .. } => match self.queue.submit(io) {
                    Submit::Done(done) => self.target.finish(&LINK, done),
                    other => panic!("an inline disk answered {other:?}"),
                },
            };
        }
        panic!("a request without end")
    }
}

/// Gives `requests` to a target over frames in one piece and to one over frames cut at `cut`. Both do the same.
fn alike(requests: &[Vec<u8>], cut: Cut) {
    let (mut whole, mut pieces) = (Served::<BytesMut>::new(), Served::<Pieces>::new());
    for request in requests {
        let mut frame = BytesMut::with_capacity(cut.iter().sum());
        frame.extend_from_slice(request);
        let expected = whole.serve(frame);
        let reply = pieces.serve(Pieces::holding(request, cut));
        assert_eq!(reply, expected, "{cut:?}: reply to {request:02x?}");
        let dirty = reply.is_some_and(|reply| reply.contains(&STALE));
        assert!(!dirty || request.contains(&STALE), "{cut:?}: stale bytes in the reply to {request:02x?}");
    }
    assert_eq!(pieces.target.state(), whole.target.state(), "{cut:?}");
    assert_eq!(pieces.target.stats(), whole.target.stats(), "{cut:?}");
    assert!(pieces.disk.disk().content() == whole.disk.disk().content(), "{cut:?}: the disks differ");
}

fn alike_however_cut(requests: &[Vec<u8>]) {
    CUTS.into_iter().for_each(|cut| alike(requests, cut));
}

fn config(command: u8, text: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(text.len()).unwrap().to_be_bytes();
    let mut arg = vec![0, 0, 0, 0, 0, command, high, low];
    arg.extend(text);
    request(HOST, 1, 1, &arg)
}

fn macs(count: u8) -> impl Iterator<Item = [u8; 6]> {
    (0..count).map(|number| [2, 0, 0, 0, number / 100, number % 100])
}

fn trim(ranges: &[(u64, u64)]) -> Vec<u8> {
    let mut data: Vec<u8> = ranges.iter().flat_map(|(lba, n)| (lba | n << 48).to_le_bytes()).collect();
    data.resize(512, 0);
    ata(1, [0x41, 1, 1, 0x06], 0, &data)
}

#[test]
fn reads_and_writes_of_17_sectors_go_through_every_cut() {
    let data: Vec<u8> = (0..17 * 512).map(|at| (at % 199) as u8).collect();
    alike_however_cut(&[
        write(1, 100, &data),
        read(2, 100, 17),
        read(3, 99, 17),
        write(4, 7, &data[..512]),
        read(5, 0, 17),
    ]);
    let mut served = Served::<Pieces>::new();
    served.serve(Pieces::holding(&write(1, 100, &data), CUTS[1])).unwrap();
    let reply = served.serve(Pieces::holding(&read(2, 100, 17), CUTS[2])).unwrap();
    assert!(reply[36..] == data, "what is written is read");
}

#[test]
fn a_write_that_is_shorter_than_it_says_is_refused_in_pieces_too() {
    let mut short = write(1, 100, &[7; 17 * 512]);
    short.truncate(36 + 17 * 512 - 1);
    alike_however_cut(&[short, read(2, 100, 1)]);
}

#[test]
fn short_replies_to_long_requests_are_padded_with_zeros() {
    let data = [7; 17 * 512];
    let bad = [
        ata(1, [0x41, 0, 17, 0x34], SECTORS as u64, &data),
        ata(2, [0x41, 0, 0, 0x34], 0, &data),
        ata(3, [0x41, 0, 17, 0xc0], 0, &data),
        ata(4, [0, 0, 0, 0xe5], 0, &data),
        request(HOST, 9, 5, &data),
        request(HOST, 2, 6, &[0; 4000]),
        request(HOST, 3, 7, &[0; 4000]),
    ];
    alike_however_cut(&bad);
}

#[test]
fn identify_data_spans_pieces() {
    alike_however_cut(&[ata(1, [0, 0, 1, 0xec], 0, &[]), ata(2, [0, 0, 1, 0xec], 0, &[1; 8000])]);
}

#[test]
fn config_strings_of_1024_bytes_span_pieces_in_requests_and_replies() {
    let long: Vec<u8> = (0..1024).map(|at| (at % 191) as u8 + 1).collect();
    let mut other = long.clone();
    other[1023] = 0;
    alike_however_cut(&[
        config(3, &long),
        config(0, b""),
        config(1, &long),
        config(1, &other),
        config(2, &long[..1000]),
        config(3, &other),
        config(4, &other),
        config(0, b""),
        request(HOST, 1, 2, &[0, 0, 0, 0, 0, 4, 4, 0]),
        config(4, &[1; 1025]),
    ]);
}

#[test]
fn lists_of_255_entries_span_pieces() {
    let mut mask = vec![0, 1, 0, 255];
    mask.extend([0, 1].into_iter().chain(HOST.0));
    mask.extend(macs(254).flat_map(|mac| [0, 1].into_iter().chain(mac)));
    let mut stopped = mask.clone();
    stopped[4 + 8 * 200 + 1] = 9;
    let mut holders = vec![1, 255];
    holders.extend(HOST.0.into_iter().chain(macs(254).flatten()));
    alike_however_cut(&[
        request(HOST, 2, 1, &stopped),
        request(HOST, 2, 2, &mask),
        request(HOST, 2, 3, &[0; 4]),
        request(OTHER, 2, 4, &[0; 4]),
        request(HOST, 3, 5, &holders),
        request(HOST, 3, 6, &[0; 2]),
        request(HOST, 2, 7, &[0, 1, 0, 200]),
    ]);
}

#[test]
fn ranges_of_a_trim_lie_across_pieces() {
    let many: Vec<_> = (0..64).map(|n| (n * 15 + 3, n % 5)).collect();
    alike_however_cut(&[
        trim(&many),
        read(2, 15, 17),
        trim(&[(0, 0), (900, 90)]),
        trim(&[(5, 5), (SECTORS as u64, 1)]),
        trim(&[]),
    ]);
    let mut cut_trim = trim(&[(9, 9)]);
    cut_trim.truncate(36 + 511);
    alike_however_cut(&[cut_trim]);
    for first in 36..=60 {
        alike(&[trim(&many)], [first, 9, 9000]);
    }
}

#[test]
fn advertisements_and_copies_of_wildcard_requests_are_whole() {
    let text: Vec<u8> = (0..1024).map(|at| (at % 190) as u8 + 1).collect();
    let mut set = config(3, &text);
    set[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    set[16..19].fill(0xff);
    for cut in CUTS {
        let disk = Inline::new(MemDisk::new(64));
        let info = Backend::<Pieces>::info(&disk);
        let mut world = World::over(|link| CutLink::new(link, cut), &disk, 1, MTU, TargetOptions::new(OWN));
        let second = Target::new(TargetOptions::new(Address::new(7, 4)), info, State::default());
        let queue = disk.open_queue(4).unwrap();
        world.server.add_target(second, queue, Box::new(|_| Ok(())), &[world.links[0]]).unwrap();
        let _ = world.turn();
        assert_eq!(world.received(0).len(), 1, "it is advertised");

        let replies = world.ask(&set);
        assert_eq!(replies.iter().map(|reply| reply[18]).collect::<Vec<_>>(), [3, 4], "{cut:?}");
        assert!(replies.iter().all(|reply| reply[32..] == text), "{cut:?}: {replies:02x?}");
        world.server.set_disk(world.target, DeviceInfo { sectors: 32, ..info });
        let _ = world.turn();
        let advertised = world.received(0);
        assert!(advertised.len() == 1 && advertised[0][32..] == text, "{cut:?}: {advertised:02x?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_in_pieces_is_answered_as_one_in_one(
        mut frames in prop::collection::vec(any_frame(), 1..8),
        first in prop_oneof![36..80usize, 36..2100usize],
        second in 1..600usize,
    ) {
        for byte in frames.iter_mut().flatten().filter(|byte| **byte == STALE) {
            *byte = 0;
        }
        alike(&frames, [first, second, 9014]);
    }
}
