//! The requests of recorded initiators, replayed. Every reply must be the one the recorded target gave, except where this
//! file says how and why ours differs.

use std::collections::BTreeMap;

use e2e::disk::SECTORS;
use e2e::reply::start;
use e2e::{Lab, Mac, SECTOR, Setup, pcap};

/// A request and the reply the recorded target gave to it, if it gave one.
struct Exchange<'a> {
    number: usize,
    request: &'a [u8],
    reply: Option<&'a [u8]>,
}

/// Pairs requests with replies. Tags repeat, so the reply to a request is the first one with its tag after it, before
/// any other request has that tag.
fn exchanges<'a>(frames: &[&'a [u8]]) -> Vec<Exchange<'a>> {
    let mut exchanges: Vec<Exchange<'a>> = Vec::new();
    let aoe = |frame: &&[u8]| frame[12..14] == [0x88, 0xa2];
    for (index, frame) in frames.iter().enumerate().filter(|(_, frame)| aoe(frame)) {
        if frame[14] & 8 == 0 {
            exchanges.push(Exchange { number: index + 1, request: frame, reply: None });
            continue;
        }
        let asked = |exchange: &&mut Exchange<'_>| {
            exchange.reply.is_none() && exchange.request[20..24] == frame[20..24]
        };
        let exchange = exchanges.iter_mut().rev().find(asked);
        exchange.unwrap_or_else(|| panic!("frame {} answers nothing", index + 1)).reply = Some(frame);
    }
    exchanges
}

/// What the recorded disk held before the first request: whatever was read of it before it was written.
fn recorded_disk(exchanges: &[Exchange<'_>]) -> Vec<u8> {
    let mut image = vec![0; SECTORS as usize * SECTOR];
    let mut written = BTreeMap::new();
    for Exchange { request, reply, .. } in exchanges {
        let Some(reply) = reply else { continue };
        let lba = lba(request);
        match (request[19], request.get(27)) {
            (0, Some(0x24)) => {
                for (at, sector) in (lba..).zip(reply[36..].chunks_exact(SECTOR)) {
                    if !written.contains_key(&at) {
                        image[at * SECTOR..][..SECTOR].copy_from_slice(sector);
                    }
                }
            }
            (0, Some(0x34)) => written.extend((lba..lba + usize::from(request[26])).map(|at| (at, ()))),
            _ => {}
        }
    }
    image
}

/// The LBA of an ATA request.
fn lba(request: &[u8]) -> usize {
    request.iter().skip(28).take(6).rev().fold(0, |lba, byte| lba << 8 | usize::from(*byte))
}

/// The recorded reply with the differences that are meant.
fn expected(request: &[u8], recorded: &[u8], ours: &[u8]) -> Vec<u8> {
    let mut want = recorded.to_vec();
    match (request[19], request.get(27)) {
        (1, _) => {
            // Buffer count and firmware version are each target's own.
            want[24..28].copy_from_slice(&ours[24..28]);
        }
        (0, Some(0xec)) if want.len() == 36 + SECTOR && ours.len() == want.len() => {
            // Other features and names than the recorded target's, and a checksum. What the initiators go by is compared.
            assert_eq!(ours[36 + 200..36 + 208], want[36 + 200..36 + 208], "capacity, words 100 to 103");
            assert_eq!(ours[36 + 120..36 + 124], want[36 + 120..36 + 124], "capacity, words 60 and 61");
            assert_ne!(ours[36 + 2 * 83 + 1] & 4, 0, "48-bit addresses");
            want[36..].copy_from_slice(&ours[36..]);
        }
        // The recorded target leaves the first bytes of the payload in its reply to a write.
        (0, Some(0x34)) if want[27] == 0x40 => want[36..].fill(0),
        // SMART is not offered, so nobody would ask for it; the experimental target had it.
        (0, Some(0xb0)) => {
            want.truncate(36);
            want[24..28].copy_from_slice(&[request[24], 0x04, request[26], 0x41]);
            want[28..36].copy_from_slice(&request[28..36]);
        }
        _ => {}
    }
    // No reply is shorter than the smallest Ethernet frame.
    want.resize(want.len().max(60), 0);
    want
}

/// Replays a capture, after which the disk must be what the recorded writes made it.
#[track_caller]
fn replay(file: &[u8], shelf: u16, slot: u8, mtu: u32, count: usize) {
    let frames = pcap::frames(file);
    let exchanges = exchanges(&frames);
    assert_eq!(exchanges.len(), count, "requests in the capture");
    let answered = exchanges.iter().find_map(|exchange| exchange.reply).expect("a reply");
    let address = |range: std::ops::Range<usize>| -> Mac { answered[range].try_into().expect("six bytes") };
    let setup = Setup::default()
        .address(shelf, slot)
        .mtu(mtu)
        .macs(address(6..12), address(0..6))
        .image(recorded_disk(&exchanges));
    setup.run(|lab| {
        for exchange in &exchanges {
            replay_one(lab, exchange);
        }
    });
}

#[track_caller]
fn replay_one(lab: &mut Lab, exchange: &Exchange<'_>) {
    let Exchange { number, request, reply } = exchange;
    let Some(recorded) = reply else { return lab.quiet_bytes(request) };
    let reply = lab.ask_bytes(request);
    let want = expected(request, recorded, reply.bytes());
    assert!(
        reply.bytes() == want,
        "frame {number} was answered otherwise\n  > {}\n  < {}\nnot {}",
        start(request),
        start(reply.bytes()),
        start(&want)
    );
    if request[19] == 0 && request[27] == 0x34 {
        let count = usize::from(request[26]);
        lab.disk.expect(lba(request) as u64, &request[36..36 + count * SECTOR]);
    }
}

#[test]
fn case_68_the_linux_driver_replayed_at_mtu_1500() {
    replay(include_bytes!("../data/linux-aoe-mtu1500.pcap"), 7, 3, 1500, 78);
}

#[test]
fn case_68_the_linux_driver_replayed_at_mtu_9000() {
    replay(include_bytes!("../data/linux-aoe-mtu9000.pcap"), 7, 3, 9000, 31);
}

#[test]
fn case_68_ipxe_replayed() {
    replay(include_bytes!("../data/ipxe-boot.pcap"), 0, 0, 1500, 7);
}

#[test]
fn case_68_aoetools_replayed() {
    replay(include_bytes!("../data/aoetools.pcap"), 7, 3, 1500, 15);
}

#[test]
fn case_68_aoeping_with_smart_replayed() {
    replay(include_bytes!("../data/aoetools-smart.pcap"), 7, 3, 1500, 22);
}
