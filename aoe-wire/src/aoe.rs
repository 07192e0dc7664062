//! The AoE header common to all commands (AoEr11 §2).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::address::Address;
use crate::eth::ETH_HEADER_LEN;
use crate::value::wire_code;

/// Bytes of the AoE header alone.
pub const AOE_HEADER_LEN: usize = 10;

/// Bytes of the Ethernet and AoE headers: where the argument of a command begins.
pub const HEADER_LEN: usize = 24;

/// The AoE header: bytes 14 to 23 of a frame.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct AoeHeader {
    /// Version and flags, byte 14.
    pub ver_flags: VerFlags,
    /// Error code, byte 15; meaningful only with the error flag.
    pub error: ErrorCode,
    /// Shelf, bytes 16 and 17.
    pub major: U16,
    /// Slot, byte 18.
    pub minor: u8,
    /// Command, byte 19.
    pub command: Command,
    /// Tag, bytes 20 to 23.
    pub tag: Tag,
}

const _: () = assert!(size_of::<AoeHeader>() == AOE_HEADER_LEN);
const _: () = assert!(ETH_HEADER_LEN + AOE_HEADER_LEN == HEADER_LEN);

impl AoeHeader {
    /// The header of a request without error, version 1.
    #[must_use]
    pub fn request(address: Address, command: Command, tag: Tag) -> Self {
        Self {
            ver_flags: VerFlags::REQUEST,
            error: ErrorCode::NONE,
            major: U16::new(address.major),
            minor: address.minor,
            command,
            tag,
        }
    }

    /// Shelf and slot; in a request either may be a wildcard.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::new(self.major.get(), self.minor)
    }

    /// Writes shelf and slot.
    pub fn set_address(&mut self, address: Address) {
        self.major = U16::new(address.major);
        self.minor = address.minor;
    }
}

/// Byte 14: the protocol version in the high four bits, flags in the low four.
///
/// Bit 3 marks a response, bit 2 an error response; bits 1 and 0 are reserved, ignored on receipt and zero when sent.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct VerFlags(pub u8);

const _: () = assert!(size_of::<VerFlags>() == 1);

impl VerFlags {
    /// The only version there is.
    pub const VERSION: u8 = 1;
    /// Version 1, request.
    pub const REQUEST: Self = Self(0x10);
    /// Version 1, response.
    pub const RESPONSE: Self = Self(0x18);
    /// Version 1, response that reports an error of the AoE layer.
    pub const ERROR_RESPONSE: Self = Self(0x1c);

    /// The version, 0 to 15.
    #[must_use]
    pub const fn version(self) -> u8 {
        self.0 >> 4
    }

    /// The four flag bits.
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.0 & 0x0f
    }

    /// Whether the response flag (R) is set.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Whether the error flag (E) is set. It means nothing in a request.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 & 0x04 != 0
    }
}

wire_code! {
    /// Byte 15: what was wrong with an AoE request (AoEr11 §2). A failed ATA command is not an error here: it has its
    /// own status and error registers.
    ErrorCode {
        /// No error.
        NONE = 0, "none";
        /// The command byte is not one this target knows.
        UNRECOGNISED_COMMAND = 1, "unrecognised-command";
        /// A sub-command, count or length that cannot be carried out.
        BAD_ARGUMENT = 2, "bad-argument";
        /// The target is known, its medium is not there at present.
        DEVICE_UNAVAILABLE = 3, "device-unavailable";
        /// The config string is already set to something else.
        CONFIG_PRESENT = 4, "config-string-present";
        /// The version is not 1.
        UNSUPPORTED_VERSION = 5, "unsupported-version";
        /// Another initiator has reserved the target.
        TARGET_RESERVED = 6, "target-reserved";
    }
}

wire_code! {
    /// Byte 19: the command (AoEr11 §2).
    Command {
        /// Issue an ATA command: [`AtaArg`](crate::AtaArg) follows.
        ATA = 0, "ATA";
        /// Query config information: [`ConfigArg`](crate::ConfigArg) follows.
        CONFIG = 1, "config";
        /// MAC mask list: [`MaskArg`](crate::MaskArg) follows.
        MASK = 2, "mask";
        /// Reserve or release: [`ReserveArg`](crate::ReserveArg) follows.
        RESERVE = 3, "reserve";
    }
}

/// Bytes 20 to 23: chosen by the initiator, copied into the reply, of no meaning to a target.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct Tag(pub [u8; 4]);

const _: () = assert!(size_of::<Tag>() == 4);

impl Tag {
    /// The tag of an unsolicited advertisement.
    pub const ZERO: Self = Self([0; 4]);

    /// The tag whose bytes are `value` in network order.
    #[must_use]
    pub const fn from_u32(value: u32) -> Self {
        Self(value.to_be_bytes())
    }

    /// The bytes read in network order.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        u32::from_be_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_lie_in_wire_order() {
        let header = AoeHeader::request(Address::new(0x0102, 3), Command::MASK, Tag::from_u32(0x0a0b_0c0d));
        assert_eq!(header.as_bytes(), b"\x10\x00\x01\x02\x03\x02\x0a\x0b\x0c\x0d");
    }

    #[test]
    fn flags_are_told_from_the_version() {
        assert_eq!(VerFlags::ERROR_RESPONSE.version(), 1);
        assert!(VerFlags::ERROR_RESPONSE.is_response() && VerFlags::ERROR_RESPONSE.is_error());
        assert!(VerFlags::RESPONSE.is_response() && !VerFlags::RESPONSE.is_error());
        assert!(!VerFlags::REQUEST.is_response());
        assert_eq!(VerFlags(0x2f).version(), 2);
        assert_eq!(VerFlags(0x2f).flags(), 15);
    }

    #[test]
    fn a_tag_is_read_in_network_order() {
        assert_eq!(Tag([0x18, 0xae, 0, 3]).to_u32(), 0x18ae_0003);
    }
}
