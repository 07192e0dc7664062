//! Properties over generated input: what is built is parsed again, what is printed is read again, and no bytes at all
//! make anything panic.

use aoe_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn address() -> impl Strategy<Value = Address> {
    (any::<u16>(), any::<u8>()).prop_map(|(major, minor)| Address::new(major, minor))
}

fn header() -> impl Strategy<Value = RequestHeader> {
    let tag = any::<u32>().prop_map(Tag::from_u32);
    (mac(), mac(), address(), tag).prop_map(|(dst, src, address, tag)| RequestHeader {
        dst,
        src,
        address,
        tag,
    })
}

fn directive() -> impl Strategy<Value = Directive> {
    (any::<u8>(), mac()).prop_map(|(command, mac)| Directive::new(DirectiveCommand(command), mac))
}

fn registers() -> impl Strategy<Value = AtaArg> {
    (any::<[u8; 4]>(), any::<[u8; 6]>()).prop_map(|([aflags, feature, count, command], lba)| {
        AtaArg::request(AtaCommand(command), AFlags(aflags), Lba(lba), count).with_feature(feature)
    })
}

fn text(max: usize) -> impl Strategy<Value = String> {
    vec(b'!'..=b'~', 1..=max).prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Bytes that are an AoE frame more often than not: the EtherType right, the command small, counts and lengths any.
fn nearly_a_frame() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..1100), 0..6_u8, any::<bool>()).prop_map(|(mut bytes, command, aoe)| {
        if aoe && let Some(bytes) = bytes.get_mut(12..20) {
            bytes[..2].copy_from_slice(&[0x88, 0xa2]);
            bytes[7] = command;
        }
        bytes
    })
}

/// Headers of a built frame, its argument, and the frame cut or padded as it is sent.
fn check_headers(packet: &Packet<'_>, header: RequestHeader, command: Command) {
    let Packet { eth, aoe, .. } = packet;
    assert_eq!((eth.dst, eth.src, eth.ethertype.get()), (header.dst, header.src, ETHERTYPE));
    assert_eq!((aoe.ver_flags, aoe.error, aoe.command), (VerFlags::REQUEST, ErrorCode::NONE, command));
    assert_eq!((aoe.address(), aoe.tag), (header.address, header.tag));
}

fn check_padded(payload: &[u8], expected: &[u8]) {
    let (content, padding) = payload.split_at(expected.len());
    assert_eq!(content, expected);
    assert!(padding.iter().all(|byte| *byte == 0), "padding is not zero");
}

proptest! {
    #[test]
    fn an_ata_request_is_parsed_as_built(header in header(), arg in registers(), data in vec(any::<u8>(), 0..1024)) {
        let mut buf = [0xee; 1500];
        let len = build_ata(&mut buf, header, arg, &data).unwrap();
        prop_assert_eq!(len, (ATA_HEADER_LEN + data.len()).max(MIN_FRAME));
        let packet = Packet::parse(&buf[..len]).unwrap();
        check_headers(&packet, header, Command::ATA);
        let Arg::Ata(found, payload) = packet.arg else { panic!("not ATA") };
        prop_assert_eq!(*found, arg);
        check_padded(payload, &data);
    }

    #[test]
    fn a_config_request_is_parsed_as_built(
        header in header(),
        command in 0..16_u8,
        string in vec(any::<u8>(), 0..=MAX_CONFIG),
    ) {
        let mut buf = [0xee; 1500];
        let len = build_config(&mut buf, header, ConfigCommand(command), &string).unwrap();
        let packet = Packet::parse(&buf[..len]).unwrap();
        check_headers(&packet, header, Command::CONFIG);
        let Arg::Config(arg, payload) = packet.arg else { panic!("not config") };
        prop_assert_eq!(arg.command(), ConfigCommand(command));
        prop_assert_eq!(arg.string(payload), Ok(&string[..]));
        check_padded(payload, &string);
    }

    #[test]
    fn a_mask_request_is_parsed_as_built(
        header in header(),
        command in any::<u8>().prop_map(MaskCommand),
        directives in vec(directive(), 0..=255),
    ) {
        let mut buf = [0xee; 2100];
        let len = build_mask(&mut buf, header, command, &directives).unwrap();
        let packet = Packet::parse(&buf[..len]).unwrap();
        check_headers(&packet, header, Command::MASK);
        let Arg::Mask(arg, payload) = packet.arg else { panic!("not mask") };
        prop_assert_eq!(arg.command, command);
        prop_assert_eq!(arg.directives(payload), Ok(&directives[..]));
    }

    #[test]
    fn a_reserve_request_is_parsed_as_built(
        header in header(),
        command in any::<u8>().prop_map(ReserveCommand),
        macs in vec(mac(), 0..=255),
    ) {
        let mut buf = [0xee; 1600];
        let len = build_reserve(&mut buf, header, command, &macs).unwrap();
        let packet = Packet::parse(&buf[..len]).unwrap();
        check_headers(&packet, header, Command::RESERVE);
        let Arg::Reserve(arg, payload) = packet.arg else { panic!("not reserve") };
        prop_assert_eq!(arg.command, command);
        prop_assert_eq!(arg.macs(payload), Ok(&macs[..]));
    }

    #[test]
    fn an_advertisement_is_parsed_as_built(
        (dst, src, own) in (mac(), mac(), address()),
        (buffer_count, firmware, sector_count) in any::<(u16, u16, u8)>(),
        string in vec(any::<u8>(), 0..=MAX_CONFIG),
    ) {
        let info = ConfigInfo { buffer_count, firmware, sector_count };
        let mut buf = [0xee; 1500];
        let len = build_advertisement(&mut buf, dst, src, own, info, &string).unwrap();
        let Packet { eth, aoe, arg } = Packet::parse(&buf[..len]).unwrap();
        prop_assert_eq!((eth.dst, eth.src, aoe.address()), (dst, src, own));
        prop_assert_eq!((aoe.ver_flags, aoe.error, aoe.tag), (VerFlags::RESPONSE, ErrorCode::NONE, Tag::ZERO));
        let Arg::Config(arg, payload) = arg else { panic!("not config") };
        prop_assert_eq!((arg.info(), arg.command()), (info, ConfigCommand::READ));
        prop_assert_eq!(arg.string(payload), Ok(&string[..]));
    }

    #[test]
    fn a_reply_leaves_argument_and_payload_alone(mut bytes in nearly_a_frame(), mac in mac(), own in address()) {
        let before = bytes.clone();
        if let Ok(mut packet) = PacketMut::parse(&mut bytes) {
            packet.respond(mac, own);
            prop_assert_eq!(&bytes[HEADER_LEN..], &before[HEADER_LEN..]);
            prop_assert_eq!(&bytes[..6], &before[6..12]);
            prop_assert_eq!(&bytes[19..24], &before[19..24]);
        } else {
            prop_assert_eq!(bytes, before);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in nearly_a_frame()) {
        let line = show(&bytes).to_string();
        prop_assert!(line.chars().all(|c| (' '..='~').contains(&c)), "not printable: {line}");
        if let Ok(packet) = Packet::parse(&bytes) {
            match packet.arg {
                Arg::Ata(arg, payload) => {
                    let _ = trim_ranges(payload, arg.sector_count);
                }
                Arg::Config(arg, payload) => prop_assert!(arg.string(payload).is_ok_and(|s| s.len() <= payload.len())
                    || usize::from(arg.len.get()) > payload.len().min(MAX_CONFIG)),
                Arg::Mask(arg, payload) => prop_assert_eq!(
                    arg.directives(payload).is_ok(),
                    usize::from(arg.count) * 8 <= payload.len()
                ),
                Arg::Reserve(arg, payload) => prop_assert_eq!(
                    arg.macs(payload).is_ok(),
                    usize::from(arg.count) * 6 <= payload.len()
                ),
                Arg::Unknown(rest) => prop_assert_eq!(rest.len(), bytes.len() - HEADER_LEN),
            }
        }
    }

    #[test]
    fn shared_and_exclusive_views_agree(mut bytes in nearly_a_frame()) {
        let shared = Packet::parse(&bytes).map(|packet| packet.to_string());
        let exclusive = PacketMut::parse(&mut bytes).map(|packet| packet.view().to_string());
        prop_assert_eq!(shared, exclusive);
    }

    #[test]
    fn any_512_bytes_can_be_read_as_a_page(payload in vec(any::<u8>(), 512)) {
        let page = IdentifyDevice::parse(&payload).unwrap();
        let texts = [page.serial(), page.firmware(), page.model()].map(|text| text.to_string());
        prop_assert!(texts.concat().chars().all(|c| (' '..='~').contains(&c)));
        prop_assert!(page.features().physical_exponent <= 15);
        let _ = (page.capacity(), page.capacity_28(), page.geometry(), page.is_checksum_valid());
    }

    #[test]
    fn a_page_is_read_as_filled(
        (serial, firmware, model) in (text(20), text(8), text(40)),
        sectors in 0..=Lba::MAX_48,
        (write_cache_enabled, fua) in any::<(bool, bool)>(),
        smart in prop_oneof![Just(Smart::Absent), Just(Smart::Disabled), Just(Smart::Enabled)],
        trim in prop_oneof![Just(Trim::Absent), Just(Trim::Indeterminate), Just(Trim::Zeroes)],
        physical_exponent in 0..16_u8,
        rotation_rate in any::<u16>(),
    ) {
        let features =
            IdentifyFeatures { write_cache_enabled, fua, smart, trim, physical_exponent, rotation_rate };
        let page = IdentifyDevice::build(Identity::new(&serial, &firmware, &model).unwrap(), sectors, features);
        prop_assert!(page.is_checksum_valid());
        prop_assert_eq!(page.features(), features);
        prop_assert_eq!(page.capacity(), sectors);
        prop_assert_eq!(page.capacity_28(), sectors.min(Lba::MAX_28));
        prop_assert!(page.serial() == *serial && page.firmware() == *firmware && page.model() == *model);
    }

    #[test]
    fn a_mac_address_is_read_as_printed(mac in mac()) {
        let printed = mac.to_string();
        prop_assert_eq!(printed.parse(), Ok(mac));
        prop_assert_eq!(printed.to_uppercase().replace(':', "-").parse(), Ok(mac));
        prop_assert_eq!(printed.replace(':', "").parse(), Ok(mac));
    }

    #[test]
    fn an_address_is_read_as_printed(address in address()) {
        prop_assert_eq!(address.to_string().parse(), Ok(address));
        let hexadecimal = format!("{:#x}.{:#x}", address.major, address.minor);
        prop_assert_eq!(hexadecimal.parse(), Ok(address));
    }

    #[test]
    fn any_text_is_an_address_or_a_mac_or_an_error(text in any::<String>()) {
        let _ = (text.parse::<Address>(), text.parse::<MacAddr>());
    }

    #[test]
    fn an_address_matches_itself_and_by_wildcards_only(asked in address(), own in address()) {
        let expected = [asked.major == own.major || asked.major == 0xffff, asked.minor == own.minor || asked.minor == 0xff];
        prop_assert_eq!(asked.matches(own), expected == [true; 2]);
        prop_assert!(own.matches(own));
    }

    #[test]
    fn an_lba_is_read_as_written(lba in 0..=Lba::MAX_48, device in any::<u8>()) {
        prop_assert_eq!(Lba::from_lba48(lba).map(Lba::lba48), Some(lba));
        let short = lba & Lba::MAX_28;
        prop_assert_eq!(Lba::from_lba28(short, device).map(Lba::lba28), Some(short));
    }

    #[test]
    fn a_trim_range_is_read_as_written(lba in 0..=Lba::MAX_48, sectors in any::<u16>()) {
        let range = TrimRange::new(lba, sectors).unwrap();
        prop_assert_eq!((range.lba(), range.sectors()), (lba, sectors));
    }
}
