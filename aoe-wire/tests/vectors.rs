//! Frames that real initiators and targets sent, and a few composed by hand: what they print, that the builders write
//! the requests and the reply helpers the replies, byte for byte.
//!
//! `tests/data/*.hex` holds them. A line with `#` says who sent a frame and what it is, a line with `=` how it prints,
//! the lines below hold its bytes: hexadecimal digits, where `ed*1024` stands for 1024 times ed. A reply follows its
//! request.

use std::path::Path;
use std::{fs, iter};

use aoe_wire::*;

struct Vector {
    /// File and comment, for messages.
    origin: String,
    line: String,
    bytes: Vec<u8>,
}

fn all() -> Vec<Vector> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let paths = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "hex")).collect();
    paths.sort();
    let vectors: Vec<Vector> = paths.iter().flat_map(|path| vectors(path)).collect();
    assert!(vectors.len() >= 60, "only {} vectors found", vectors.len());
    vectors
}

fn file(name: &str) -> Vec<Vector> {
    vectors(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

fn vectors(path: &Path) -> Vec<Vector> {
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("\n\n").filter(|block| block.contains("\n= "));
    let vector = |block: &str| Vector {
        origin: format!("{}: {}", path.display(), block.lines().next().unwrap_or_default()),
        line: block.lines().find_map(|line| line.strip_prefix("= ")).unwrap().to_owned(),
        bytes: block.lines().filter(|line| !line.starts_with(['#', '='])).flat_map(bytes).collect(),
    };
    blocks.map(vector).collect()
}

fn bytes(line: &str) -> Vec<u8> {
    let token = |token: &str| {
        let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        let unit: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        unit.repeat(times.parse().unwrap())
    };
    line.split_whitespace().flat_map(token).collect()
}

/// Each request of the vectors with the reply that follows it.
fn exchanges(vectors: &[Vector]) -> impl Iterator<Item = (&Vector, &Vector)> {
    let is_reply = |vector: &Vector| Packet::parse(&vector.bytes).unwrap().aoe.ver_flags.is_response();
    let pairs = iter::zip(vectors, vectors.iter().skip(1));
    pairs.filter(move |(request, reply)| !is_reply(request) && is_reply(reply))
}

#[test]
fn every_frame_prints_as_its_line() {
    for vector in all() {
        assert_eq!(show(&vector.bytes).to_string(), vector.line, "{}", vector.origin);
    }
}

#[test]
fn an_exclusive_view_reads_the_same_frame() {
    for mut vector in all() {
        let packet = PacketMut::parse(&mut vector.bytes).unwrap();
        assert_eq!(packet.view().to_string(), vector.line, "{}", vector.origin);
    }
}

#[test]
fn the_builders_write_what_initiators_send() {
    let mut built = 0;
    for vector in all() {
        let packet = Packet::parse(&vector.bytes).unwrap();
        if packet.aoe.ver_flags.is_response() {
            continue;
        }
        let Packet { eth, aoe, arg } = packet;
        let header = RequestHeader { dst: eth.dst, src: eth.src, address: aoe.address(), tag: aoe.tag };
        let mut frame = vec![0xee; 9014];
        let mut expected = vector.bytes.clone();
        let len = match arg {
            Arg::Ata(arg, payload) => build_ata(&mut frame, header, *arg, payload).unwrap(),
            Arg::Config(arg, payload) => {
                let string =
                    if arg.command() == ConfigCommand::READ { &[] } else { arg.string(payload).unwrap() };
                // No initiator fills the version in, some announce a string with a read, and one sends its stack.
                expected[29] |= 0x10;
                expected[30..32].copy_from_slice(&u16::try_from(string.len()).unwrap().to_be_bytes());
                expected.truncate(CONFIG_HEADER_LEN + string.len());
                build_config(&mut frame, header, arg.command(), string).unwrap()
            }
            Arg::Mask(arg, payload) => {
                let directives = arg.directives(payload).unwrap();
                build_mask(&mut frame, header, arg.command, directives).unwrap()
            }
            Arg::Reserve(arg, payload) => {
                let macs = arg.macs(payload).unwrap();
                build_reserve(&mut frame, header, arg.command, macs).unwrap()
            }
            Arg::Unknown(_) => continue,
        };
        // The builders write version 1 and no flag; the vectors also have a stray flag and another version.
        expected[14] = 0x10;
        expected.resize(expected.len().max(MIN_FRAME), 0);
        assert_eq!(frame[..len], expected, "{}", vector.origin);
        built += 1;
    }
    assert!(built >= 30, "only {built} requests built");
}

#[test]
fn the_headers_of_every_reply_are_made_from_its_request() {
    let vectors = all();
    let mut answered = 0;
    for (request, reply) in exchanges(&vectors) {
        let mut frame = request.bytes.clone();
        let mut packet = PacketMut::parse(&mut frame).unwrap();
        let sent = Packet::parse(&reply.bytes).unwrap();
        match sent.aoe.error {
            ErrorCode::NONE => packet.respond(sent.eth.src, sent.aoe.address()),
            code => packet.refuse(sent.eth.src, sent.aoe.address(), code),
        }
        assert_eq!(frame[..HEADER_LEN], reply.bytes[..HEADER_LEN], "{}", reply.origin);
        answered += 1;
    }
    assert!(answered >= 30, "only {answered} exchanges found");
}

#[test]
fn the_registers_of_every_ata_reply_are_made_from_its_request() {
    let vectors = all();
    let mut answered = 0;
    for (request, reply) in exchanges(&vectors) {
        let (Arg::Ata(asked, _), Packet { aoe, arg: Arg::Ata(answer, _), .. }) =
            (Packet::parse(&request.bytes).unwrap().arg, Packet::parse(&reply.bytes).unwrap())
        else {
            continue;
        };
        if aoe.ver_flags.is_error() {
            continue;
        }
        let mut registers = *asked;
        if answer.status().is_failure() {
            registers.fail(answer.error());
        } else {
            registers.succeed();
        }
        assert_eq!(registers, *answer, "{}", reply.origin);
        answered += 1;
    }
    assert!(answered >= 15, "only {answered} exchanges found");
}

#[test]
fn the_identify_page_of_vblade_is_read() {
    let discovery = file("linux-1500-discovery.hex");
    let Arg::Ata(_, data) = Packet::parse(&discovery[3].bytes).unwrap().arg else { panic!("not ATA") };
    let page = IdentifyDevice::parse(data).unwrap();
    assert_eq!(page.model(), "Coraid EtherDrive vblade");
    assert_eq!(page.serial(), "7.3:target");
    assert_eq!(page.firmware(), "V25");
    assert_eq!((page.capacity(), page.capacity_28()), (16_384, 16_384));
    assert!(page.supports_lba48() && page.supports_flush() && !page.supports_flush_ext());
    assert!(!page.is_checksum_valid(), "it carries none");
    assert_eq!(page.features(), IdentifyFeatures { rotation_rate: 0, ..IdentifyFeatures::default() });
}

const TARGET: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb2]);
const OWN: Address = Address::new(7, 3);
const INFO: ConfigInfo = ConfigInfo { buffer_count: 16, firmware: 1, sector_count: 2 };

/// Answers the composed request with this tag by `edit`, which returns where the reply ends, and compares.
fn composed(tag: u32, edit: impl FnOnce(PacketMut<'_>) -> usize) {
    let vectors = file("composed.hex");
    let with_tag = |vector: &&Vector| Packet::parse(&vector.bytes).unwrap().aoe.tag.to_u32() == tag;
    let mut found = vectors.iter().filter(with_tag);
    let (request, reply) = (found.next().unwrap(), found.next().unwrap());
    let mut slot = vec![0xee; 1514];
    slot[..request.bytes.len()].copy_from_slice(&request.bytes);
    let end = edit(PacketMut::parse(&mut slot).unwrap());
    let len = pad(&mut slot, end).unwrap();
    assert_eq!(slot[..len], reply.bytes, "{}", reply.origin);
}

#[test]
fn a_config_read_is_answered_in_place() {
    composed(0, |mut packet| {
        packet.respond(TARGET, OWN);
        let ArgMut::Config(arg, _) = packet.arg else { panic!("not config") };
        *arg = ConfigArg::reply(INFO, arg.command(), 0);
        CONFIG_HEADER_LEN
    });
}

#[test]
fn a_read_beyond_the_end_is_answered_in_place() {
    composed(0x18ae_0003, |mut packet| {
        packet.respond(TARGET, OWN);
        let ArgMut::Ata(arg, _) = packet.arg else { panic!("not ATA") };
        assert_eq!(arg.lba.lba48() + u64::from(arg.sector_count), 16_385);
        arg.fail(AtaError::IDNF);
        ATA_HEADER_LEN
    });
}

#[test]
fn a_config_conflict_is_answered_in_place() {
    composed(1, |mut packet| {
        packet.refuse(TARGET, OWN, ErrorCode::CONFIG_PRESENT);
        let ArgMut::Config(arg, payload) = packet.arg else { panic!("not config") };
        *arg = ConfigArg::reply(INFO, arg.command(), 5);
        payload[..5].copy_from_slice(b"alpha");
        CONFIG_HEADER_LEN + 5
    });
}

#[test]
fn a_mask_edit_is_answered_in_place() {
    composed(2, |mut packet| {
        packet.respond(TARGET, OWN);
        let ArgMut::Mask(arg, payload) = packet.arg else { panic!("not mask") };
        for directive in arg.directives_mut(payload).unwrap() {
            assert_eq!(directive.command, DirectiveCommand::ADD);
            *directive = Directive::new(DirectiveCommand::NOP, directive.mac);
        }
        MASK_HEADER_LEN + 16
    });
}

#[test]
fn a_bad_directive_is_answered_in_place() {
    composed(3, |mut packet| {
        packet.respond(TARGET, OWN);
        let ArgMut::Mask(arg, payload) = packet.arg else { panic!("not mask") };
        let bad = arg.directives(payload).unwrap().iter().position(|entry| entry.command.name().is_none());
        arg.error = MaskError::BAD_DIRECTIVE;
        arg.count = bad.unwrap().try_into().unwrap();
        MASK_HEADER_LEN
    });
}

#[test]
fn a_reservation_is_answered_in_place() {
    composed(4, |mut packet| {
        packet.respond(TARGET, OWN);
        let ArgMut::Reserve(arg, payload) = packet.arg else { panic!("not reserve") };
        RESERVE_HEADER_LEN + 6 * arg.macs(payload).unwrap().len()
    });
}

#[test]
fn a_refused_read_keeps_its_registers() {
    composed(5, |mut packet| {
        packet.refuse(TARGET, OWN, ErrorCode::TARGET_RESERVED);
        ATA_HEADER_LEN
    });
}

#[test]
fn an_unknown_command_is_refused_without_argument() {
    composed(6, |mut packet| {
        packet.refuse(TARGET, OWN, ErrorCode::UNRECOGNISED_COMMAND);
        HEADER_LEN
    });
}

#[test]
fn another_version_is_refused_in_version_1() {
    composed(7, |mut packet| {
        assert_eq!(packet.aoe.ver_flags.version(), 2);
        packet.refuse(TARGET, OWN, ErrorCode::UNSUPPORTED_VERSION);
        let ArgMut::Config(arg, _) = packet.arg else { panic!("not config") };
        *arg = ConfigArg::reply(INFO, arg.command(), 0);
        CONFIG_HEADER_LEN
    });
}
