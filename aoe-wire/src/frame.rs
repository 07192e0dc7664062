//! A whole frame: headers, argument and payload as disjoint borrows of one buffer (AoEr11 §2, §3).
//!
//! [`Packet`] reads, [`PacketMut`] reads and edits in place. Both check lengths once, when parsing; after that nothing
//! they offer can fail for want of bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::address::Address;
use crate::aoe::{AOE_HEADER_LEN, AoeHeader, Command, ErrorCode, HEADER_LEN, VerFlags};
use crate::ata::AtaArg;
use crate::error::WireError;
use crate::eth::{ETH_HEADER_LEN, ETHERTYPE, EthHeader, MIN_FRAME, MacAddr};
use crate::mask::MaskArg;
use crate::query::ConfigArg;
use crate::reserve::ReserveArg;

/// A frame, shared. Requests and replies have the same layout; [`VerFlags::is_response`] tells them apart.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Ethernet header, bytes 0 to 13.
    pub eth: &'a EthHeader,
    /// AoE header, bytes 14 to 23.
    pub aoe: &'a AoeHeader,
    /// Argument of the command and what follows it, byte 24 on.
    pub arg: Arg<'a>,
}

/// The argument of a command, and all bytes after it: data, string or list, then padding.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// Command 0; the payload begins at byte 36.
    Ata(&'a AtaArg, &'a [u8]),
    /// Command 1; the payload begins at byte 32.
    Config(&'a ConfigArg, &'a [u8]),
    /// Command 2; the payload begins at byte 28.
    Mask(&'a MaskArg, &'a [u8]),
    /// Command 3; the payload begins at byte 26.
    Reserve(&'a ReserveArg, &'a [u8]),
    /// Any other command: everything from byte 24 on.
    Unknown(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// Splits a frame into headers, argument and payload.
    ///
    /// Version, flags, addresses and sub-commands are not judged, and a command above 3 is [`Arg::Unknown`].
    ///
    /// # Errors
    /// [`WireError::Truncated`] when the frame ends within its headers or argument; [`WireError::NotAoe`] when the
    /// EtherType is another.
    pub fn parse(frame: &'a [u8]) -> Result<Self, WireError> {
        let (eth, aoe, rest) = headers(frame)?;
        let arg = match aoe.command {
            Command::ATA => split(rest, HEADER_LEN).map(|(arg, payload)| Arg::Ata(arg, payload))?,
            Command::CONFIG => split(rest, HEADER_LEN).map(|(arg, payload)| Arg::Config(arg, payload))?,
            Command::MASK => split(rest, HEADER_LEN).map(|(arg, payload)| Arg::Mask(arg, payload))?,
            Command::RESERVE => split(rest, HEADER_LEN).map(|(arg, payload)| Arg::Reserve(arg, payload))?,
            _ => Arg::Unknown(rest),
        };
        Ok(Self { eth, aoe, arg })
    }

    /// Splits a frame after its headers only: the argument is [`Arg::Unknown`] whatever the command.
    ///
    /// For a frame whose argument cannot be trusted to have the layout its command names, as in another version.
    ///
    /// # Errors
    /// As [`Packet::parse`], for the 24 bytes of headers.
    pub fn parse_headers(frame: &'a [u8]) -> Result<Self, WireError> {
        let (eth, aoe, rest) = headers(frame)?;
        Ok(Self { eth, aoe, arg: Arg::Unknown(rest) })
    }
}

/// A frame, exclusive: [`Packet`] with every field writable in place.
#[derive(Debug)]
pub struct PacketMut<'a> {
    /// Ethernet header, bytes 0 to 13.
    pub eth: &'a mut EthHeader,
    /// AoE header, bytes 14 to 23.
    pub aoe: &'a mut AoeHeader,
    /// Argument of the command and what follows it, byte 24 on.
    pub arg: ArgMut<'a>,
}

/// [`Arg`], writable.
#[derive(Debug)]
pub enum ArgMut<'a> {
    /// Command 0; the payload begins at byte 36.
    Ata(&'a mut AtaArg, &'a mut [u8]),
    /// Command 1; the payload begins at byte 32.
    Config(&'a mut ConfigArg, &'a mut [u8]),
    /// Command 2; the payload begins at byte 28.
    Mask(&'a mut MaskArg, &'a mut [u8]),
    /// Command 3; the payload begins at byte 26.
    Reserve(&'a mut ReserveArg, &'a mut [u8]),
    /// Any other command: everything from byte 24 on.
    Unknown(&'a mut [u8]),
}

impl<'a> PacketMut<'a> {
    /// As [`Packet::parse`].
    ///
    /// The payload reaches to the end of `frame`. To judge a request, hand in the bytes that were received and no more;
    /// to write a reply longer than its request, parse the whole buffer again.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    pub fn parse(frame: &'a mut [u8]) -> Result<Self, WireError> {
        let (eth, aoe, rest) = headers_mut(frame)?;
        let arg = match aoe.command {
            Command::ATA => split_mut(rest, HEADER_LEN).map(|(arg, payload)| ArgMut::Ata(arg, payload))?,
            Command::CONFIG => {
                split_mut(rest, HEADER_LEN).map(|(arg, payload)| ArgMut::Config(arg, payload))?
            }
            Command::MASK => split_mut(rest, HEADER_LEN).map(|(arg, payload)| ArgMut::Mask(arg, payload))?,
            Command::RESERVE => {
                split_mut(rest, HEADER_LEN).map(|(arg, payload)| ArgMut::Reserve(arg, payload))?
            }
            _ => ArgMut::Unknown(rest),
        };
        Ok(Self { eth, aoe, arg })
    }

    /// As [`Packet::parse_headers`].
    ///
    /// # Errors
    /// As [`Packet::parse_headers`].
    pub fn parse_headers(frame: &'a mut [u8]) -> Result<Self, WireError> {
        let (eth, aoe, rest) = headers_mut(frame)?;
        Ok(Self { eth, aoe, arg: ArgMut::Unknown(rest) })
    }

    /// The same frame, to be read.
    #[must_use]
    pub fn view(&self) -> Packet<'_> {
        let arg = match &self.arg {
            ArgMut::Ata(arg, payload) => Arg::Ata(arg, payload),
            ArgMut::Config(arg, payload) => Arg::Config(arg, payload),
            ArgMut::Mask(arg, payload) => Arg::Mask(arg, payload),
            ArgMut::Reserve(arg, payload) => Arg::Reserve(arg, payload),
            ArgMut::Unknown(rest) => Arg::Unknown(rest),
        };
        Packet { eth: self.eth, aoe: self.aoe, arg }
    }

    /// Turns the headers of a request into those of its reply, from the interface `mac` and the target `own`.
    ///
    /// The destination becomes the request's source; nothing else of the request's identity is used. Version, flags and
    /// error are written, tag and command stay, argument and payload are untouched.
    pub fn respond(&mut self, mac: MacAddr, own: Address) {
        self.answer(mac, own, VerFlags::RESPONSE, ErrorCode::NONE);
    }

    /// As [`respond`](Self::respond), with the error flag and `code`.
    pub fn refuse(&mut self, mac: MacAddr, own: Address, code: ErrorCode) {
        self.answer(mac, own, VerFlags::ERROR_RESPONSE, code);
    }

    fn answer(&mut self, mac: MacAddr, own: Address, ver_flags: VerFlags, error: ErrorCode) {
        self.eth.dst = self.eth.src;
        self.eth.src = mac;
        self.aoe.ver_flags = ver_flags;
        self.aoe.error = error;
        self.aoe.set_address(own);
    }
}

/// Ends a frame after `len` bytes: zeros up to [`MIN_FRAME`], and the length to send.
///
/// # Errors
/// [`WireError::NoRoom`] when `buf` is shorter than that length.
pub fn pad(buf: &mut [u8], len: usize) -> Result<usize, WireError> {
    let (need, have) = (len.max(MIN_FRAME), buf.len());
    let frame = buf.get_mut(..need).ok_or(WireError::NoRoom { need, have })?;
    if let Some(padding) = frame.get_mut(len..) {
        padding.fill(0);
    }
    Ok(need)
}

type Headers<'a> = (&'a EthHeader, &'a AoeHeader, &'a [u8]);
type HeadersMut<'a> = (&'a mut EthHeader, &'a mut AoeHeader, &'a mut [u8]);

fn headers(frame: &[u8]) -> Result<Headers<'_>, WireError> {
    check_headers(frame)?;
    let (eth, rest) = split(frame, 0)?;
    let (aoe, rest) = split(rest, ETH_HEADER_LEN)?;
    Ok((eth, aoe, rest))
}

fn headers_mut(frame: &mut [u8]) -> Result<HeadersMut<'_>, WireError> {
    check_headers(frame)?;
    let (eth, rest) = split_mut(frame, 0)?;
    let (aoe, rest) = split_mut(rest, ETH_HEADER_LEN)?;
    Ok((eth, aoe, rest))
}

fn check_headers(frame: &[u8]) -> Result<(), WireError> {
    let truncated = WireError::Truncated { need: HEADER_LEN, have: frame.len() };
    let (eth, rest) = EthHeader::ref_from_prefix(frame).map_err(|_| truncated)?;
    match eth.ethertype.get() {
        ETHERTYPE if rest.len() < AOE_HEADER_LEN => Err(truncated),
        ETHERTYPE => Ok(()),
        other => Err(WireError::NotAoe(other)),
    }
}

fn split<T>(bytes: &[u8], offset: usize) -> Result<(&T, &[u8]), WireError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(bytes).map_err(|_| truncated::<T>(offset, bytes.len()))
}

fn split_mut<T>(bytes: &mut [u8], offset: usize) -> Result<(&mut T, &mut [u8]), WireError>
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
{
    let have = bytes.len();
    T::mut_from_prefix(bytes).map_err(|_| truncated::<T>(offset, have))
}

fn truncated<T>(offset: usize, have: usize) -> WireError {
    WireError::Truncated { need: offset.saturating_add(size_of::<T>()), have: offset.saturating_add(have) }
}

impl WireError {
    pub(crate) fn list_too_long<Entry>(count: u8, payload: usize) -> Self {
        let have = payload.checked_div(size_of::<Entry>()).unwrap_or(0);
        Self::ListTooLong { count: usize::from(count), have }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aoe::Tag;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);
    const B2: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb2]);
    const OWN: Address = Address::new(7, 3);

    fn frame(command: u8) -> [u8; 64] {
        let mut bytes = [0xee; 64];
        bytes[..6].copy_from_slice(&MacAddr::BROADCAST.0);
        bytes[6..12].copy_from_slice(&A1.0);
        bytes[12..24].copy_from_slice(&[0x88, 0xa2, 0x17, 9, 0xff, 0xff, 0xff, command, 1, 2, 3, 4]);
        bytes
    }

    #[test]
    fn each_command_has_its_shortest_frame() {
        for (command, need) in [(0, 36), (1, 32), (2, 28), (3, 26), (4, 24), (0xf0, 24)] {
            let mut bytes = frame(command);
            assert!(Packet::parse(&bytes[..need]).is_ok(), "command {command}");
            let have = need - 1;
            let error = WireError::Truncated { need, have };
            assert_eq!(Packet::parse(&bytes[..have]).unwrap_err(), error, "command {command}");
            assert_eq!(PacketMut::parse(&mut bytes[..have]).unwrap_err(), error, "command {command}");
        }
    }

    #[test]
    fn the_payload_begins_behind_the_argument() {
        let payload = |command| match Packet::parse(&frame(command)).unwrap().arg {
            Arg::Ata(_, p) | Arg::Config(_, p) | Arg::Mask(_, p) | Arg::Reserve(_, p) | Arg::Unknown(p) => {
                p.len()
            }
        };
        assert_eq!([0, 1, 2, 3, 4].map(payload), [28, 32, 36, 38, 40]);
    }

    #[test]
    fn a_foreign_ethertype_is_told_from_a_short_frame() {
        let mut bytes = frame(0);
        bytes[12] = 0x08;
        assert_eq!(Packet::parse(&bytes).unwrap_err(), WireError::NotAoe(0x08a2));
        assert_eq!(Packet::parse(&bytes[..14]).unwrap_err(), WireError::NotAoe(0x08a2));
        let short = WireError::Truncated { need: 24, have: 13 };
        assert_eq!(Packet::parse(&bytes[..13]).unwrap_err(), short);
    }

    #[test]
    fn the_headers_can_be_read_without_trusting_the_argument() {
        let mut bytes = frame(0);
        let packet = Packet::parse_headers(&bytes[..30]).unwrap();
        assert_eq!(packet.aoe.ver_flags, VerFlags(0x17));
        assert!(matches!(packet.arg, Arg::Unknown(rest) if rest.len() == 6));
        assert!(matches!(PacketMut::parse_headers(&mut bytes).unwrap().arg, ArgMut::Unknown(_)));
    }

    #[test]
    fn a_reply_takes_nothing_but_source_tag_and_command_from_its_request() {
        let mut bytes = frame(1);
        PacketMut::parse(&mut bytes).unwrap().respond(B2, OWN);
        let Packet { eth, aoe, .. } = Packet::parse(&bytes).unwrap();
        assert_eq!((eth.dst, eth.src, eth.ethertype.get()), (A1, B2, ETHERTYPE));
        assert_eq!((aoe.ver_flags, aoe.error, aoe.address()), (VerFlags::RESPONSE, ErrorCode::NONE, OWN));
        assert_eq!((aoe.command, aoe.tag), (Command::CONFIG, Tag([1, 2, 3, 4])));
        assert_eq!(bytes[24..], [0xee; 40]);
    }

    #[test]
    fn a_refusal_carries_the_error_flag_and_code() {
        let mut bytes = frame(9);
        PacketMut::parse(&mut bytes).unwrap().refuse(B2, OWN, ErrorCode::UNRECOGNISED_COMMAND);
        assert_eq!(
            bytes[..24],
            *b"\x02\0\0\0\0\xa1\x02\0\0\0\0\xb2\x88\xa2\x1c\x01\x00\x07\x03\x09\x01\x02\x03\x04"
        );
    }

    #[test]
    fn padding_is_zero_up_to_the_shortest_frame_and_no_further() {
        let mut bytes = frame(0);
        assert_eq!(pad(&mut bytes, 36), Ok(60));
        assert_eq!((&bytes[36..60], &bytes[60..]), (&[0; 24][..], &[0xee; 4][..]));
        assert_eq!(pad(&mut bytes, 61), Ok(61));
        assert_eq!(bytes[60], 0xee);
        assert_eq!(pad(&mut bytes, 65), Err(WireError::NoRoom { need: 65, have: 64 }));
        assert_eq!(pad(&mut bytes[..59], 1), Err(WireError::NoRoom { need: 60, have: 59 }));
    }
}
