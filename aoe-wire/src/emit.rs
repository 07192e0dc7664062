//! Writing a fresh frame into a caller's buffer: an initiator's requests, and a target's advertisement.
//!
//! Every function returns the length to send, at least [`MIN_FRAME`](crate::MIN_FRAME); bytes between the end of the
//! payload and that length are zero, bytes behind it untouched. A reply is not built but edited out of its request, see
//! [`PacketMut`](crate::PacketMut).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{Immutable, IntoBytes};

use crate::address::Address;
use crate::aoe::{AoeHeader, Command, HEADER_LEN, Tag, VerFlags};
use crate::ata::AtaArg;
use crate::error::WireError;
use crate::eth::{ETHERTYPE, EthHeader, MacAddr};
use crate::frame::pad;
use crate::mask::{Directive, MaskArg, MaskCommand};
use crate::query::{ConfigArg, ConfigCommand, ConfigInfo, MAX_CONFIG};
use crate::reserve::{ReserveArg, ReserveCommand};

/// What an initiator chooses about the headers of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestHeader {
    /// Where to: a target's MAC, or [`MacAddr::BROADCAST`].
    pub dst: MacAddr,
    /// The initiator's own MAC, where replies go.
    pub src: MacAddr,
    /// Shelf and slot; either may be a wildcard.
    pub address: Address,
    /// Comes back in the reply.
    pub tag: Tag,
}

impl RequestHeader {
    fn eth(&self) -> EthHeader {
        EthHeader { dst: self.dst, src: self.src, ethertype: U16::new(ETHERTYPE) }
    }

    fn aoe(&self, command: Command) -> AoeHeader {
        AoeHeader::request(self.address, command, self.tag)
    }
}

/// Writes an ATA request: registers, then `payload` as it is.
///
/// # Errors
/// [`WireError::NoRoom`].
pub fn build_ata(
    buf: &mut [u8],
    header: RequestHeader,
    arg: AtaArg,
    payload: &[u8],
) -> Result<usize, WireError> {
    write(buf, header.eth(), header.aoe(Command::ATA), arg, payload)
}

/// Writes a config request with `string` as argument.
///
/// # Errors
/// [`WireError::NoRoom`]; [`WireError::ConfigTooLong`] above [`MAX_CONFIG`] bytes.
pub fn build_config(
    buf: &mut [u8],
    header: RequestHeader,
    command: ConfigCommand,
    string: &[u8],
) -> Result<usize, WireError> {
    let arg = ConfigArg::request(command, config_len(string)?);
    write(buf, header.eth(), header.aoe(Command::CONFIG), arg, string)
}

/// Writes a mask request with `directives`.
///
/// # Errors
/// [`WireError::NoRoom`]; [`WireError::ListTooLong`] above 255 directives.
pub fn build_mask(
    buf: &mut [u8],
    header: RequestHeader,
    command: MaskCommand,
    directives: &[Directive],
) -> Result<usize, WireError> {
    let arg = MaskArg::request(command, list_len(directives)?);
    write(buf, header.eth(), header.aoe(Command::MASK), arg, directives)
}

/// Writes a reserve request with `macs`; none releases.
///
/// # Errors
/// [`WireError::NoRoom`]; [`WireError::ListTooLong`] above 255 MACs.
pub fn build_reserve(
    buf: &mut [u8],
    header: RequestHeader,
    command: ReserveCommand,
    macs: &[MacAddr],
) -> Result<usize, WireError> {
    let arg = ReserveArg::request(command, list_len(macs)?);
    write(buf, header.eth(), header.aoe(Command::RESERVE), arg, macs)
}

/// Writes an advertisement: the config reply to a read that nobody sent, tag 0, from the interface `src` and the target
/// `own` to everybody or to one initiator.
///
/// # Errors
/// [`WireError::NoRoom`]; [`WireError::ConfigTooLong`] above [`MAX_CONFIG`] bytes.
pub fn build_advertisement(
    buf: &mut [u8],
    dst: MacAddr,
    src: MacAddr,
    own: Address,
    info: ConfigInfo,
    string: &[u8],
) -> Result<usize, WireError> {
    let eth = EthHeader { dst, src, ethertype: U16::new(ETHERTYPE) };
    let aoe =
        AoeHeader { ver_flags: VerFlags::RESPONSE, ..AoeHeader::request(own, Command::CONFIG, Tag::ZERO) };
    let arg = ConfigArg::reply(info, ConfigCommand::READ, config_len(string)?);
    write(buf, eth, aoe, arg, string)
}

fn config_len(string: &[u8]) -> Result<u16, WireError> {
    let len = u16::try_from(string.len()).ok().filter(|_| string.len() <= MAX_CONFIG);
    len.ok_or(WireError::ConfigTooLong { len: string.len(), have: MAX_CONFIG })
}

fn list_len<T>(list: &[T]) -> Result<u8, WireError> {
    let have = usize::from(u8::MAX);
    u8::try_from(list.len()).map_err(|_| WireError::ListTooLong { count: list.len(), have })
}

fn write<A, P>(
    buf: &mut [u8],
    eth: EthHeader,
    aoe: AoeHeader,
    arg: A,
    payload: &P,
) -> Result<usize, WireError>
where
    A: IntoBytes + Immutable,
    P: IntoBytes + Immutable + ?Sized,
{
    let parts = [eth.as_bytes(), aoe.as_bytes(), arg.as_bytes(), payload.as_bytes()];
    let len = HEADER_LEN.saturating_add(size_of::<A>()).saturating_add(size_of_val(payload));
    let frame_len = pad(buf, len)?;
    let mut rest = buf;
    for part in parts {
        let no_room = WireError::NoRoom { need: frame_len, have: rest.len() };
        let (place, behind) = rest.split_at_mut_checked(part.len()).ok_or(no_room)?;
        place.copy_from_slice(part);
        rest = behind;
    }
    Ok(frame_len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::DirectiveCommand;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);
    const B2: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb2]);
    const HEADER: RequestHeader =
        RequestHeader { dst: B2, src: A1, address: Address::new(7, 3), tag: Tag([1, 2, 3, 4]) };

    #[test]
    fn a_short_frame_is_padded_with_zeros_and_the_buffer_behind_it_left_alone() {
        let mut buf = [0xee; 100];
        assert_eq!(build_reserve(&mut buf, HEADER, ReserveCommand::SET, &[A1]), Ok(60));
        assert_eq!(buf[12..32], *b"\x88\xa2\x10\x00\x00\x07\x03\x03\x01\x02\x03\x04\x01\x01\x02\0\0\0\0\xa1");
        assert_eq!((&buf[32..60], &buf[60..]), (&[0; 28][..], &[0xee; 40][..]));
    }

    #[test]
    fn a_long_frame_has_the_length_of_its_parts() {
        let mut buf = [0; 600];
        assert_eq!(build_ata(&mut buf, HEADER, AtaArg::default(), &[7; 512]), Ok(548));
        assert_eq!((buf[35], buf[36], buf[547], buf[548]), (0, 7, 7, 0));
    }

    #[test]
    fn an_advertisement_is_a_config_reply_with_tag_zero() {
        let info = ConfigInfo { buffer_count: 16, firmware: 1, sector_count: 2 };
        let mut buf = [0xee; 60];
        assert_eq!(
            build_advertisement(&mut buf, MacAddr::BROADCAST, B2, HEADER.address, info, b"ab"),
            Ok(60)
        );
        assert_eq!(buf[..12], *b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\xb2");
        assert_eq!(
            buf[12..34],
            *b"\x88\xa2\x18\x00\x00\x07\x03\x01\0\0\0\0\x00\x10\x00\x01\x02\x10\x00\x02ab"
        );
    }

    #[test]
    fn a_buffer_without_room_is_refused() {
        let no_room = |have| Err(WireError::NoRoom { need: 60, have });
        assert_eq!(build_config(&mut [0; 59], HEADER, ConfigCommand::READ, &[]), no_room(59));
        assert_eq!(build_config(&mut [], HEADER, ConfigCommand::READ, &[]), no_room(0));
    }

    #[test]
    fn a_string_or_list_beyond_its_count_field_is_refused() {
        let mut buf = [0; 4096];
        let string = build_config(&mut buf, HEADER, ConfigCommand::SET, &[0; 1025]);
        assert_eq!(string, Err(WireError::ConfigTooLong { len: 1025, have: 1024 }));
        let list = [Directive::new(DirectiveCommand::NOP, A1); 256];
        let mask = build_mask(&mut buf, HEADER, MaskCommand::EDIT, &list);
        assert_eq!(mask, Err(WireError::ListTooLong { count: 256, have: 255 }));
        assert_eq!(build_mask(&mut buf, HEADER, MaskCommand::EDIT, &list[..255]), Ok(28 + 255 * 8));
    }
}
