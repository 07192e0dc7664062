//! What may leave the target: for any bytes that come in, a reply is well formed and holds nothing that it should not.

mod common;

use aoe_target::bdev::testing::{Fault, Faults, Faulty};
use aoe_target::bdev::{AlignedBuf, Extent, Inline, MemDisk};
use aoe_target::{
    Backend, DeviceInfo, IoBuf, IoQueue, LinkInfo, MacAddr, State, Status, Step, Submit, Target,
    TargetOptions,
};
use common::frames::any_frame;
use common::{HOST, OWN, TARGET};
use proptest::prelude::*;

const MTU: u32 = 1500;
const LINK: LinkInfo = LinkInfo { mac: TARGET, mtu: MTU, payload_align: 512, up: true, generation: 0 };
/// What an earlier request has left in the buffer.
const STALE: u8 = 0xee;
const DISK: u8 = 0x11;

/// A frame buffer that somebody else has used.
fn used_frame(bytes: &[u8]) -> AlignedBuf {
    let mut frame = AlignedBuf::new(2048, 512, 36);
    frame.set_len(2048);
    frame.bytes_mut().fill(STALE);
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

/// The whole life of a request, the disk's part included.
fn serve(target: &mut Target, queue: &mut dyn IoQueue<AlignedBuf>, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut step = target.handle(&LINK, used_frame(bytes));
    for _ in 0..600 {
        step = match step {
            Step::Ignore(_) => return None,
            Step::Reply(frame) => return Some(frame.bytes().to_vec()),
            Step::Change(frame) => target.change(&LINK, frame, &mut |_| Ok(())),
            Step::Submit { io, .. } => match queue.submit(io) {
                Submit::Done(done) => target.finish(&LINK, done),
                other => panic!("an inline disk answered {other:?}"),
            },
        };
    }
    panic!("a request without end")
}

fn filled_disk() -> Inline<MemDisk> {
    use aoe_target::BlockingBackend;
    let disk = MemDisk::new(4096);
    disk.write_at(0, &[DISK; 4096 * 512]).unwrap();
    Inline::new(disk)
}

fn check_reply(request: &[u8], reply: &[u8]) {
    assert!(reply.len() >= 60 && reply.len() <= MTU as usize + 14, "length {}", reply.len());
    assert_eq!(reply[..6], request[6..12], "goes to who asked");
    assert_eq!(reply[6..12], TARGET.0, "comes from the interface");
    assert_eq!(reply[12..14], [0x88, 0xa2]);
    assert!(matches!(reply[14], 0x18 | 0x1c), "version and flags {:02x}", reply[14]);
    assert_eq!(reply[14] == 0x1c, reply[15] != 0, "an error code with the flag and only with it");
    assert_eq!(reply[16..19], [0, 7, 3], "the target's own address");
    assert_eq!(reply[19..24], request[19..24], "command and tag");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frame_gets_a_well_formed_reply_or_none_and_no_stale_byte_leaves(
        frames in prop::collection::vec(any_frame(), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let disk = filled_disk();
        let mut queue = disk.open_queue(1).unwrap();
        let mut target = Target::new(TargetOptions::new(OWN), Backend::<AlignedBuf>::info(&disk), State::default());
        for mut frame in frames {
            for byte in &mut frame[..] {
                if *byte == STALE { *byte = 0; }
            }
            frame.truncate(1514);
            let shorter = cut.index(frame.len() + 1);
            for request in [&frame[..], &frame[..shorter]] {
                if let Some(reply) = serve(&mut target, &mut *queue, request) {
                    check_reply(request, &reply);
                    prop_assert!(!reply.contains(&STALE), "stale bytes in {reply:02x?} to {request:02x?}");
                }
            }
        }
    }

    #[test]
    fn random_bytes_are_never_answered_with_anything_malformed(bytes in prop::collection::vec(any::<u8>(), 0..1514)) {
        let disk = filled_disk();
        let mut queue = disk.open_queue(1).unwrap();
        let mut target = Target::new(TargetOptions::new(OWN), Backend::<AlignedBuf>::info(&disk), State::default());
        if let Some(reply) = serve(&mut target, &mut *queue, &bytes) {
            check_reply(&bytes, &reply);
        }
    }
}

#[test]
fn a_failed_read_gives_away_neither_old_nor_half_read_data() {
    let faults = Faults::default();
    faults.add(Fault::status(Status::Media).touching(Extent::new(9, 1)));
    let disk = Faulty::new(filled_disk(), &faults);
    let mut queue = disk.open_queue(1).unwrap();
    let mut target =
        Target::new(TargetOptions::new(OWN), Backend::<AlignedBuf>::info(&disk), State::default());
    let reply = serve(&mut target, &mut *queue, &common::read(1, 8, 2)).unwrap();
    assert_eq!(reply.len(), 60);
    assert_eq!(common::registers(&reply), [0x40, 0x40, 2, 0x41]);
    assert_eq!(reply[36..], [0; 24]);
    let reply = serve(&mut target, &mut *queue, &common::write(2, 9, &[5; 512])).unwrap();
    assert_eq!(common::registers(&reply), [0x41, 0x04, 1, 0x41]);
    assert_eq!(target.stats().disk_errors, 2);
}

#[test]
fn a_reply_never_goes_to_a_group_address() {
    let disk = filled_disk();
    let mut queue = disk.open_queue(1).unwrap();
    let mut target =
        Target::new(TargetOptions::new(OWN), Backend::<AlignedBuf>::info(&disk), State::default());
    for src in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr::ZERO] {
        let request = common::request(src, 1, 1, &[0; 8]);
        assert_eq!(serve(&mut target, &mut *queue, &request), None);
    }
}

/// A target for `disk`, on the link of this file.
fn target_of(disk: &dyn Backend<AlignedBuf>) -> Target {
    Target::new(TargetOptions::new(OWN), disk.info(), State::default())
}

#[test]
fn data_that_no_longer_fits_the_link_is_an_error_and_not_cut() {
    let disk = filled_disk();
    let mut queue = disk.open_queue(1).unwrap();
    let mut target = target_of(&disk);
    let jumbo = LinkInfo { mtu: 9000, ..LINK };
    let mut frame = AlignedBuf::new(9216, 512, 36);
    let request = common::read(1, 0, 17);
    frame.set_len(request.len());
    frame.bytes_mut().copy_from_slice(&request);
    let Step::Submit { io, .. } = target.handle(&jumbo, frame) else { panic!("a read goes to the disk") };
    let Submit::Done(done) = queue.submit(io) else { panic!("an inline disk") };
    let Step::Reply(reply) = target.finish(&LINK, done) else { panic!("a read is answered") };
    assert_eq!(reply.bytes().len(), 60);
    assert_eq!(common::registers(reply.bytes()), [0x40, 0x04, 17, 0x41]);
    assert_eq!(reply.bytes()[36..], [0; 24]);

    let small = LinkInfo { mtu: 500, ..LINK };
    let Step::Reply(reply) = target.handle(&small, used_frame(&common::ata(2, [0, 0, 1, 0xec], 0, &[])))
    else {
        panic!("IDENTIFY is answered")
    };
    assert_eq!(common::registers(reply.bytes()), [0, 0x04, 1, 0x41]);
    assert_eq!(reply.bytes().len(), 60);
}

#[test]
fn a_read_only_export_neither_announces_nor_takes_a_trim() {
    let disk = filled_disk();
    let mut queue = disk.open_queue(1).unwrap();
    let info = DeviceInfo { read_only: true, ..Backend::<AlignedBuf>::info(&disk) };
    let mut target = Target::new(TargetOptions::new(OWN), info, State::default());
    let page = serve(&mut target, &mut *queue, &common::ata(1, [0, 0, 1, 0xec], 0, &[])).unwrap();
    assert_eq!(page[36 + 2 * 169..36 + 2 * 169 + 2], [0, 0], "word 169");
    let mut ranges = (1u64 | 1 << 48).to_le_bytes().to_vec();
    ranges.resize(512, 0);
    let reply = serve(&mut target, &mut *queue, &common::ata(2, [0x41, 1, 1, 0x06], 0, &ranges)).unwrap();
    assert_eq!(common::registers(&reply), [0x41, 0x04, 1, 0x41]);
    let held = serve(&mut target, &mut *queue, &common::read(3, 1, 1)).unwrap();
    assert_eq!(held[36..], [DISK; 512]);
}

#[test]
fn the_48_bits_of_an_lba_reach_the_disk_whole() {
    let disk = filled_disk();
    let info = DeviceInfo { sectors: 1 << 47, ..Backend::<AlignedBuf>::info(&disk) };
    let mut target = Target::new(TargetOptions::new(OWN), info, State::default());
    let lba_of = |target: &mut Target, aflags, lba| match target
        .handle(&LINK, used_frame(&common::ata(1, [aflags, 0, 1, 0x24], lba, &[])))
    {
        Step::Submit { io, .. } => Some((io.extent().lba, io.abandon()).0),
        _ => None,
    };
    assert_eq!(lba_of(&mut target, 0x40, 0x1234_5678_9abc), Some(0x1234_5678_9abc));
    assert_eq!(lba_of(&mut target, 0, 0x0fff_ffff), Some(0x0fff_ffff), "the last that needs no E flag");
    assert_eq!(lba_of(&mut target, 0, 0x1000_0000), None);
}

#[test]
fn the_reserved_byte_of_a_mask_request_is_not_echoed() {
    let disk = filled_disk();
    let mut queue = disk.open_queue(1).unwrap();
    let mut target = target_of(&disk);
    for directive in [0, 7] {
        let mut edit = vec![0x5a, 1, 0, 1, 0, directive];
        edit.extend(HOST.0);
        let reply = serve(&mut target, &mut *queue, &common::request(HOST, 2, 1, &edit)).unwrap();
        assert_eq!(reply[24], 0, "directive {directive}");
    }
}
