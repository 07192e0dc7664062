//! Ethernet header and MAC addresses (IEEE 802.3 §3.2; AoEr11 §2).

use core::fmt;
use core::str::FromStr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The EtherType registered for AoE.
pub const ETHERTYPE: u16 = 0x88a2;

/// Bytes of an Ethernet header without VLAN tag.
pub const ETH_HEADER_LEN: usize = 14;

/// Bytes of the shortest Ethernet frame, frame check sequence excluded. Shorter replies are padded with zeros.
pub const MIN_FRAME: usize = 60;

/// The Ethernet header: bytes 0 to 13 of a frame.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct EthHeader {
    /// Destination, bytes 0 to 5.
    pub dst: MacAddr,
    /// Source, bytes 6 to 11.
    pub src: MacAddr,
    /// EtherType, bytes 12 and 13: [`ETHERTYPE`] in every AoE frame.
    pub ethertype: U16,
}

const _: () = assert!(size_of::<EthHeader>() == ETH_HEADER_LEN);

/// A 48-bit MAC address in wire order.
///
/// ```
/// # use aoe_wire::MacAddr;
/// let mac: MacAddr = "02:00:00:00:00:A1".parse()?;
/// assert_eq!(mac, "0200000000a1".parse()?);
/// assert_eq!(mac, "02-00-00-00-00-a1".parse()?);
/// assert_eq!(format!("{mac}"), "02:00:00:00:00:a1");
/// # Ok::<(), aoe_wire::MacAddrError>(())
/// ```
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

const _: () = assert!(size_of::<MacAddr>() == 6);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff, every station on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// 00:00:00:00:00:00, which the loopback interface has and no other station may use.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether this is a group address: the low bit of the first byte is set. The broadcast address is one.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Whether this is [`MacAddr::BROADCAST`].
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether this is [`MacAddr::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

/// Six pairs of hexadecimal digits, all separated by `:`, all by `-`, or not at all. Nothing else is accepted.
impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let separator = match text.len() {
            12 => None,
            17 => match text.as_bytes().get(2) {
                Some(separator @ (b':' | b'-')) => Some(separator),
                _ => return Err(MacAddrError::Separator),
            },
            _ => return Err(MacAddrError::Length),
        };
        let group = if separator.is_some() { 3 } else { 2 };
        let mut mac = Self::ZERO;
        for (byte, digits) in mac.0.iter_mut().zip(text.as_bytes().chunks(group)) {
            let (&[high, low], rest) = digits.split_first_chunk().ok_or(MacAddrError::Length)?;
            *byte = hex_digit(high)? << 4 | hex_digit(low)?;
            if rest.first().is_some_and(|found| Some(found) != separator) {
                return Err(MacAddrError::Separator);
            }
        }
        Ok(mac)
    }
}

fn hex_digit(digit: u8) -> Result<u8, MacAddrError> {
    let value = char::from(digit).to_digit(16).ok_or(MacAddrError::Digit)?;
    u8::try_from(value).map_err(|_| MacAddrError::Digit)
}

/// Lower case with colons.
impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// As `Display`: six decimal numbers are of no use to anybody.
impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacAddrError {
    /// Not 12 characters, nor 17 with separators.
    #[error("a MAC address is six pairs of hexadecimal digits, such as 02:00:00:00:00:a1")]
    Length,
    /// A character that should be a hexadecimal digit is not.
    #[error("a MAC address holds a character that is not a hexadecimal digit")]
    Digit,
    /// A separator is not `:` or `-`, or the two are mixed.
    #[error("a MAC address is separated by ':' throughout, by '-' throughout, or not at all")]
    Separator,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);

    #[test]
    fn header_fields_lie_in_wire_order() {
        let header = EthHeader { dst: MacAddr::BROADCAST, src: A1, ethertype: U16::new(ETHERTYPE) };
        assert_eq!(header.as_bytes(), b"\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\xa1\x88\xa2");
    }

    #[test]
    fn every_accepted_spelling_gives_the_same_address() {
        for text in ["02:00:00:00:00:a1", "02-00-00-00-00-A1", "0200000000a1"] {
            assert_eq!(text.parse(), Ok(A1), "{text}");
        }
    }

    #[test]
    fn each_malformed_text_is_refused_for_its_own_reason() {
        use MacAddrError::{Digit, Length, Separator};
        let cases = [
            ("", Length),
            ("02:00:00:00:00", Length),
            ("02:00:00:00:00:a1:", Length),
            ("02:00:00:00:00:zz", Digit),
            ("02:00:00:00:0::a1", Digit),
            ("+2:00:00:00:00:a1", Digit),
            ("zzzzzzzzzzzz", Digit),
            ("02:00:00:00-00:a1", Separator),
            ("02.00.00.00.00.a1", Separator),
            ("0\u{e9}:00:00:00:00:a", Separator),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<MacAddr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn broadcast_and_multicast_are_groups_and_a_station_is_not() {
        assert!(MacAddr::BROADCAST.is_multicast() && MacAddr::BROADCAST.is_broadcast());
        assert!(MacAddr([1, 0, 0x5e, 0, 0, 1]).is_multicast());
        assert!(!A1.is_multicast() && !A1.is_broadcast() && !A1.is_zero());
        assert!(MacAddr::ZERO.is_zero() && !MacAddr::ZERO.is_multicast());
    }
}
