//! Any bytes, as a frame and as a text.
//!
//! Lengths are computed here once more, from the layout of AoEr11 §2 and §3, and every reader must agree with them. What can be written
//! again must come out as it was read.

use aoe_wire::{
    ATA_HEADER_LEN, Address, Arg, ArgMut, CONFIG_HEADER_LEN, Command, ConfigArg, ConfigCommand, ErrorCode,
    HEADER_LEN, MASK_HEADER_LEN, MAX_CONFIG, MIN_FRAME, MacAddr, MaskArg, Packet, PacketMut,
    RESERVE_HEADER_LEN, RequestHeader, ReserveArg, VerFlags, WireError, build_ata, build_config, build_mask,
    build_reserve, pad, show, trim_ranges,
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 7, 3]);
const OWN: Address = Address::new(7, 3);

/// Takes `bytes` apart in every way there is.
///
/// # Panics
///
/// When something is wrong.
pub fn run(bytes: &[u8]) {
    print(bytes);
    text(bytes);
    frame(bytes);
    answer(bytes);
    let mut copy = bytes.to_vec();
    let _ = pad(&mut copy, bytes.first().copied().unwrap_or(0).into());
}

/// A line is one line, of printable characters.
fn print(bytes: &[u8]) {
    let line = show(bytes).to_string();
    assert!(!line.is_empty());
    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "unprintable: {line:?}");
}

/// A text that is an address prints as one that is the same address.
fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(mac) = text.parse::<MacAddr>() {
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
        assert_eq!(Address::owned(address.major, address.minor).is_err(), address.is_wildcard());
    }
}

/// What [`Packet::parse`] must say of the lengths: where the payload begins.
fn payload_at(bytes: &[u8]) -> Result<usize, WireError> {
    let truncated = |need| WireError::Truncated { need, have: bytes.len() };
    let ethertype = bytes.get(12..14).ok_or(truncated(HEADER_LEN))?;
    if ethertype != [0x88, 0xa2] {
        return Err(WireError::NotAoe(u16::from_be_bytes([ethertype[0], ethertype[1]])));
    }
    let command = bytes.get(..HEADER_LEN).ok_or(truncated(HEADER_LEN))?[19];
    let arguments = [ATA_HEADER_LEN, CONFIG_HEADER_LEN, MASK_HEADER_LEN, RESERVE_HEADER_LEN];
    let need = arguments.get(usize::from(command)).copied().unwrap_or(HEADER_LEN);
    if bytes.len() < need { Err(truncated(need)) } else { Ok(need) }
}

fn frame(bytes: &[u8]) {
    let parsed = Packet::parse(bytes);
    let mut copy = bytes.to_vec();
    let exclusive = PacketMut::parse(&mut copy);
    let (packet, at) = match (parsed, payload_at(bytes)) {
        (Ok(packet), Ok(at)) => (packet, at),
        (Err(found), Err(expected)) => {
            assert_eq!(found, expected);
            assert_eq!(exclusive.err(), Some(expected));
            return;
        }
        (found, expected) => panic!("parsed as {found:?} instead of {expected:?}"),
    };
    assert_eq!(exclusive.map(|packet| packet.view().to_string()), Ok(packet.to_string()));
    assert_eq!(payload(&packet), &bytes[at..], "the payload is all that follows the argument");
    match packet.arg {
        Arg::Config(arg, payload) => config(*arg, payload),
        Arg::Mask(arg, payload) => mask(*arg, payload),
        Arg::Reserve(arg, payload) => reserve(*arg, payload),
        Arg::Ata(arg, payload) => {
            let ranges = trim_ranges(payload, arg.sector_count).map(<[_]>::len);
            let blocks = usize::from(arg.sector_count);
            assert_eq!(ranges.ok(), (payload.len() >= blocks * 512).then_some(blocks * 64));
        }
        Arg::Unknown(_) => {}
    }
    rebuild(bytes, &packet);
}

fn payload<'a>(packet: &Packet<'a>) -> &'a [u8] {
    match packet.arg {
        Arg::Ata(_, p) | Arg::Config(_, p) | Arg::Mask(_, p) | Arg::Reserve(_, p) | Arg::Unknown(p) => p,
    }
}

fn config(arg: ConfigArg, payload: &[u8]) {
    let len = usize::from(arg.len.get());
    let check = |payload: &[u8]| {
        let fits = len <= payload.len() && len <= MAX_CONFIG;
        assert_eq!(arg.string(payload).ok(), fits.then(|| &payload[..len]));
    };
    check(payload);
    // Whether a string of this length is taken must not depend on how long an input the fuzzer is willing to make.
    static LONG: [u8; 0x10000] = [0; 0x10000];
    [len.saturating_sub(1), len, LONG.len()].into_iter().for_each(|have| check(&LONG[..have]));
}

fn mask(arg: MaskArg, payload: &[u8]) {
    let (count, fits) = (usize::from(arg.count), usize::from(arg.count) * 8 <= payload.len());
    let found = arg.directives(payload);
    assert_eq!(found.map(<[_]>::len).ok(), fits.then_some(count));
    for (directive, bytes) in found.unwrap_or_default().iter().zip(payload.chunks(8)) {
        assert_eq!((directive.command.0, &directive.mac.0[..]), (bytes[1], &bytes[2..]));
    }
}

fn reserve(arg: ReserveArg, payload: &[u8]) {
    let (count, fits) = (usize::from(arg.count), usize::from(arg.count) * 6 <= payload.len());
    let found = arg.macs(payload);
    assert_eq!(found.map(<[_]>::len).ok(), fits.then_some(count));
    for (mac, bytes) in found.unwrap_or_default().iter().zip(payload.chunks(6)) {
        assert_eq!(mac.0, bytes);
        assert_eq!(mac.to_string().parse(), Ok(*mac));
    }
}

/// A request that says nothing unusual is written by the builders as it was read.
fn rebuild(bytes: &[u8], packet: &Packet<'_>) {
    let (eth, aoe) = (packet.eth, packet.aoe);
    if aoe.ver_flags != VerFlags::REQUEST || aoe.error != ErrorCode::NONE {
        return;
    }
    let header = RequestHeader { dst: eth.dst, src: eth.src, address: aoe.address(), tag: aoe.tag };
    let mut buf = vec![0xee; bytes.len().max(MIN_FRAME)];
    let built = match packet.arg {
        Arg::Ata(arg, payload) => build_ata(&mut buf, header, *arg, payload),
        Arg::Config(arg, payload) => {
            let Ok(string) = arg.string(payload) else { return };
            if *arg != ConfigArg::request(arg.command(), arg.len.get()) || string.len() != payload.len() {
                return;
            }
            build_config(&mut buf, header, arg.command(), string)
        }
        Arg::Mask(arg, payload) => {
            let Ok(list) = arg.directives(payload) else { return };
            if *arg != MaskArg::request(arg.command, arg.count) || list.len() * 8 != payload.len() {
                return;
            }
            build_mask(&mut buf, header, arg.command, list)
        }
        Arg::Reserve(arg, payload) => {
            let Ok(list) = arg.macs(payload) else { return };
            if list.len() * 6 != payload.len() {
                return;
            }
            build_reserve(&mut buf, header, arg.command, list)
        }
        Arg::Unknown(_) => return,
    };
    let mut expected = bytes.to_vec();
    expected.resize(bytes.len().max(MIN_FRAME), 0);
    assert_eq!(built, Ok(expected.len()));
    assert_eq!(buf, expected);
}

/// The helpers for replies change the headers, and only those.
fn answer(bytes: &[u8]) {
    for code in [ErrorCode::NONE, ErrorCode::BAD_ARGUMENT] {
        let mut reply = bytes.to_vec();
        let Ok(mut packet) = PacketMut::parse(&mut reply) else { return };
        let vf = if code == ErrorCode::NONE {
            packet.respond(MAC, OWN);
            0x18
        } else {
            packet.refuse(MAC, OWN, code);
            0x1c
        };
        let mut expected = bytes.to_vec();
        expected[..6].copy_from_slice(&bytes[6..12]);
        expected[6..12].copy_from_slice(&MAC.0);
        expected[14..19].copy_from_slice(&[vf, code.0, 0, 7, 3]);
        assert_eq!(reply, expected);
        edit(&mut reply);
    }
}

/// Writing through the exclusive view stays within the list, string or payload.
fn edit(bytes: &mut [u8]) {
    let Ok(packet) = PacketMut::parse(bytes) else { return };
    match packet.arg {
        ArgMut::Ata(arg, _) => {
            arg.succeed();
            assert_eq!((arg.status().0, arg.error().0, arg.sector_count), (0x40, 0, 0));
        }
        ArgMut::Config(arg, payload) => {
            *arg = ConfigArg::reply(arg.info(), ConfigCommand::READ, 0);
            assert_eq!(arg.string(payload), Ok(&[][..]));
        }
        ArgMut::Mask(arg, payload) => {
            for directive in arg.directives_mut(payload).unwrap_or_default() {
                directive.mac = MAC;
            }
            assert!(arg.directives(payload).unwrap_or_default().iter().all(|entry| entry.mac == MAC));
        }
        ArgMut::Reserve(arg, payload) => {
            arg.macs_mut(payload).unwrap_or_default().fill(MAC);
            assert!(arg.macs(payload).unwrap_or_default().iter().all(|mac| *mac == MAC));
        }
        ArgMut::Unknown(_) => assert!(packet.aoe.command > Command::RESERVE),
    }
}
