//! Frames as initiators would write them, byte by byte: nothing of the codec under test is used.

use super::input::{Body, Mac, Mangle, Place, Request};

/// The address of a link of the server.
pub(super) fn own_mac(link: usize) -> [u8; 6] {
    [2, 0, 0, link as u8, 7, 3]
}

/// The address of an initiator.
pub(super) fn host_mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, 0xa0 + number]
}

/// A list with this host in it cannot be saved; see [`super::model::is_refused_by_disk`].
pub(super) const UNSAVABLE: [u8; 6] = [2, 0, 0, 0, 0, 0xa7];

pub(super) fn mac(mac: Mac, link: usize) -> [u8; 6] {
    match mac {
        Mac::Own => own_mac(link),
        Mac::Broadcast => [0xff; 6],
        Mac::Host(number) => host_mac(number),
        Mac::Group => [1, 0, 0x5e, 0, 0, 1],
        Mac::Zero => [0; 6],
    }
}

/// The frame of a request to a disk of `sectors`.
pub(super) fn build(request: &Request, sectors: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(mac(request.to, request.link));
    frame.extend(mac(request.from, request.link));
    frame.extend([0x88, 0xa2, request.ver_flags, request.error]);
    frame.extend(request.address.0.to_be_bytes());
    frame.extend([request.address.1, 0, 0, 0, 0, 0]);
    frame[19] = append(&mut frame, request, sectors);
    match request.mangle {
        Mangle::None => {}
        Mangle::Cut(at) => frame.truncate(usize::from(at) % (frame.len() + 1)),
        Mangle::Extend(by) => frame.resize(frame.len() + usize::from(by) % 1100, 0x5a),
        Mangle::Flip(at, bits) => {
            let at = usize::from(at) % frame.len().min(64);
            frame[at] ^= bits;
        }
    }
    frame
}

/// Appends the argument and what follows it; the command.
fn append(frame: &mut Vec<u8>, request: &Request, sectors: u64) -> u8 {
    let lba = |place: Place| match place {
        Place::At(lba) => lba,
        Place::BeforeEnd(by) => sectors.saturating_sub(by),
    };
    match &request.body {
        Body::Ata { registers, lba: place, sectors: carried } => {
            frame.extend(registers);
            frame.extend(&lba(*place).to_le_bytes()[..6]);
            frame.extend([0, 0]);
            frame.resize(frame.len() + usize::from(*carried) * 512, 0x77);
            0
        }
        Body::Trim { feature, count, ranges } => {
            frame.extend([0x41, *feature, *count, 0x06, 0, 0, 0, 0, 0, 0, 0, 0]);
            let mut block = Vec::new();
            for (place, count) in ranges {
                block.extend((lba(*place) | u64::from(*count) << 48).to_le_bytes());
            }
            block.resize(512, 0);
            frame.extend(block);
            0
        }
        Body::Config { command, longer, string } => {
            let len = (string.len() + usize::from(*longer)) as u16;
            frame.extend([0, 0, 0, 0, 0, *command]);
            frame.extend(len.to_be_bytes());
            frame.extend(string);
            1
        }
        Body::Mask { command, more, directives } => {
            frame.extend([0, *command, 0, directives.len() as u8 + more]);
            for (directive, who) in directives {
                frame.extend([0, *directive]);
                frame.extend(mac(*who, request.link));
            }
            2
        }
        Body::Reserve { command, more, macs } => {
            frame.extend([*command, macs.len() as u8 + more]);
            macs.iter().for_each(|who| frame.extend(mac(*who, request.link)));
            3
        }
        Body::Unknown { command, len } => {
            frame.resize(frame.len() + usize::from(*len), 0x33);
            *command
        }
    }
}

/// Writes into the data of a write, sector by sector, which frame brought it.
pub(super) fn stamp(frame: &mut [u8], number: u64) {
    let writes = [0x30, 0xca, 0x34, 0x35, 0x3d, 0xce];
    if frame.len() < 36 || frame[19] != 0 || !writes.contains(&frame[27]) {
        return;
    }
    for (sector, data) in frame[36..].chunks_exact_mut(512).enumerate() {
        data.fill(0x80 | sector as u8);
        data[..8].copy_from_slice(&number.to_le_bytes());
        data[504..].copy_from_slice(&number.to_be_bytes());
    }
}
