//! Capture files that Wireshark opens: the blocks of pcapng (draft-ietf-opsawg-pcapng) that a trace is made of.
//!
//! Each function gives one whole block, little-endian. The one crate for this is between two major versions; these are five layouts.

use std::time::Duration;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const LINKTYPE_ETHERNET: u16 = 1;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const EPB_FLAGS: u16 = 2;
const SHB_USER_APPLICATION: u16 = 4;
const IF_TSRESOL: u16 = 9;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From an initiator.
    Received,
    /// To one.
    Sent,
}

/// The block that a file begins with.
#[must_use]
pub fn section_header(application: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend([1, 0, 0, 0]);
    // How long the section is, is not known.
    body.extend((-1i64).to_le_bytes());
    option(&mut body, SHB_USER_APPLICATION, application.as_bytes());
    block(SECTION_HEADER, body)
}

/// Tells of an Ethernet interface; they are numbered from 0 in the order of these blocks. Times at it are in nanoseconds.
#[must_use]
pub fn interface(name: &str, snap_len: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_ETHERNET.to_le_bytes());
    body.extend([0; 2]);
    body.extend(snap_len.to_le_bytes());
    option(&mut body, IF_NAME, name.as_bytes());
    option(&mut body, IF_TSRESOL, &[9]);
    block(INTERFACE_DESCRIPTION, body)
}

/// A frame: `data` is what was kept of `len` bytes, `time` since 1970.
#[must_use]
pub fn packet(interface: u32, direction: Direction, time: Duration, data: &[u8], len: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(data.len() + 48);
    body.extend(interface.to_le_bytes());
    timestamp(&mut body, time);
    body.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(data);
    pad(&mut body);
    let flags: u32 = match direction {
        Direction::Received => 1,
        Direction::Sent => 2,
    };
    option(&mut body, EPB_FLAGS, &flags.to_le_bytes());
    block(ENHANCED_PACKET, body)
}

/// What is to be said of an interface in the end.
#[must_use]
pub fn statistics(interface: u32, time: Duration, comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(interface.to_le_bytes());
    timestamp(&mut body, time);
    option(&mut body, COMMENT, comment.as_bytes());
    block(INTERFACE_STATISTICS, body)
}

fn timestamp(body: &mut Vec<u8>, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // The upper half comes first, whatever the byte order.
    body.extend(((nanoseconds >> 32) as u32).to_le_bytes());
    body.extend((nanoseconds as u32).to_le_bytes());
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    option(&mut body, END_OF_OPTIONS, &[]);
    let len = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &body, &len].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_length_at_both_ends_and_is_padded() {
        let packet = packet(1, Direction::Sent, Duration::new(5, 7), b"abcde", 9000);
        assert_eq!(packet.len() % 4, 0);
        let len = u32::try_from(packet.len()).expect("a length").to_le_bytes();
        assert_eq!((&packet[4..8], &packet[packet.len() - 4..]), (&len[..], &len[..]));
        let nanoseconds = 5_000_000_007_u64;
        let time = [(nanoseconds >> 32) as u32, nanoseconds as u32].map(u32::to_le_bytes).concat();
        assert_eq!(packet[8..12], [1, 0, 0, 0]);
        assert_eq!(packet[12..20], time);
        assert_eq!(packet[20..36], *b"\x05\0\0\0\x28\x23\0\0abcde\0\0\0");
        assert_eq!(packet[36..48], [2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
}
