//! A target's replies without a target: [`answer`].

use aoe_target::{Frame, LinkInfo};
use aoe_wire::{
    ATA_HEADER_LEN, AoeHeader, ArgMut, AtaCommand, ConfigArg, ConfigCommand, ConfigInfo, IdentifyDevice,
    IdentifyFeatures, Identity, PacketMut, SECTOR,
};

use crate::OWN;

/// Sectors of the disk that there is not: 512 MiB.
const SECTORS: u64 = 1 << 20;

/// Makes `frame`, a request that came over a link such as `link`, its reply; false when it is none that can be answered. Every command
/// succeeds. What a read returns is whatever the frame last held; what is written goes nowhere. `buffers` is the buffer count that is told.
pub fn answer(frame: &mut impl Frame, link: &LinkInfo, buffers: u16) -> bool {
    let Ok(packet) = PacketMut::parse(frame.bytes_mut()) else { return false };
    if packet.aoe.ver_flags.is_response() || !AoeHeader::address(packet.aoe).matches(OWN) {
        return false;
    }
    let len = match packet.arg {
        ArgMut::Ata(arg, _) if arg.command() == AtaCommand::READ_SECTORS_EXT => {
            ATA_HEADER_LEN + usize::from(arg.sector_count) * SECTOR
        }
        ArgMut::Ata(arg, _) if arg.command() == AtaCommand::IDENTIFY_DEVICE => ATA_HEADER_LEN + SECTOR,
        _ => 60,
    };
    if len > frame.capacity() {
        return false;
    }
    frame.set_len(len);
    let Ok(mut packet) = PacketMut::parse(frame.bytes_mut()) else { return false };
    packet.respond(link.mac, OWN);
    match packet.arg {
        ArgMut::Ata(arg, payload) => {
            if arg.command() == AtaCommand::IDENTIFY_DEVICE
                && let Ok(page) = IdentifyDevice::parse_mut(payload)
            {
                let identity = Identity::new("mirror", "1", "MIRROR").expect("printable names");
                page.fill(identity, SECTORS, IdentifyFeatures::default());
            }
            arg.succeed();
        }
        ArgMut::Config(arg, _) => {
            let sector_count = aoe_wire::max_sectors_advertised(link.mtu as usize);
            let info = ConfigInfo { buffer_count: buffers, firmware: 1, sector_count };
            *arg = ConfigArg::reply(info, ConfigCommand::READ, 0);
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use aoe_target::bdev::{AlignedBuf, IoBuf};
    use aoe_wire::Packet;

    use super::*;
    use crate::{HOST, TARGET};

    const LINK: LinkInfo = LinkInfo { mac: TARGET, mtu: 1500, payload_align: 1, up: true, generation: 0 };

    fn frame(bytes: &[u8]) -> AlignedBuf {
        let mut frame = AlignedBuf::new(1514, 64, ATA_HEADER_LEN);
        frame.set_len(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }

    #[test]
    fn every_request_becomes_its_reply_and_no_reply_is_answered() {
        let requests = [
            (crate::read(1, 8, 2), 36 + 1024),
            (crate::write(2, 8, 2), 60),
            (crate::identify(3), 36 + 512),
            (crate::config(4), 60),
            (crate::flush(5), 60),
        ];
        for (number, (request, len)) in (1..).zip(requests) {
            let mut frame = frame(&request);
            assert!(answer(&mut frame, &LINK, 16), "request {number}");
            let Packet { eth, aoe, .. } = Packet::parse(frame.bytes()).expect("a frame");
            assert_eq!((frame.bytes().len(), eth.dst, eth.src), (len, HOST, TARGET), "request {number}");
            assert!(aoe.ver_flags.is_response() && aoe.tag.to_u32() == number, "request {number}");
            assert!(!answer(&mut frame, &LINK, 16), "a reply is no request");
        }
    }

    #[test]
    fn a_read_of_more_than_a_frame_carries_is_not_answered() {
        assert!(!answer(&mut frame(&crate::read(1, 8, 3)), &LINK, 16));
    }
}
