//! Command 1, query config information (AoEr11 §3.2).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::aoe::{HEADER_LEN, VerFlags};
use crate::error::WireError;
use crate::value::wire_code;

/// Bytes of the longest config string.
pub const MAX_CONFIG: usize = 1024;

/// Bytes of the Ethernet, AoE and config headers: where the config string begins.
pub const CONFIG_HEADER_LEN: usize = 32;

/// The config argument: bytes 24 to 31 of a frame. The first three fields mean something in replies only.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ConfigArg {
    /// Requests the target can queue, bytes 24 and 25. Linux never attaches to a target that says 0 or 1.
    pub buffer_count: U16,
    /// Firmware version, bytes 26 and 27; free.
    pub firmware: U16,
    /// Most sectors in one ATA request, byte 28; 0 means 2.
    pub sector_count: u8,
    /// AoE version in the high four bits and the config command in the low four, byte 29. Initiators are known to
    /// leave the version 0 in requests.
    pub aoe_ccmd: u8,
    /// Bytes of the string that follows, bytes 30 and 31.
    pub len: U16,
}

const _: () = assert!(size_of::<ConfigArg>() == 8);
const _: () = assert!(HEADER_LEN + size_of::<ConfigArg>() == CONFIG_HEADER_LEN);

impl ConfigArg {
    /// The argument of a request with a string of `len` bytes.
    #[must_use]
    pub fn request(command: ConfigCommand, len: u16) -> Self {
        Self { aoe_ccmd: version_and(command), len: U16::new(len), ..Self::default() }
    }

    /// The argument of a reply with a string of `len` bytes.
    #[must_use]
    pub fn reply(info: ConfigInfo, command: ConfigCommand, len: u16) -> Self {
        Self {
            buffer_count: U16::new(info.buffer_count),
            firmware: U16::new(info.firmware),
            sector_count: info.sector_count,
            aoe_ccmd: version_and(command),
            len: U16::new(len),
        }
    }

    /// The config command.
    #[must_use]
    pub const fn command(&self) -> ConfigCommand {
        ConfigCommand(self.aoe_ccmd & 0x0f)
    }

    /// What a reply tells about the target.
    #[must_use]
    pub fn info(&self) -> ConfigInfo {
        ConfigInfo {
            buffer_count: self.buffer_count.get(),
            firmware: self.firmware.get(),
            sector_count: self.sector_count,
        }
    }

    /// The string, which is the first [`len`](Self::len) bytes of `payload`.
    ///
    /// The length of a [`ConfigCommand::READ`] request means nothing (aoeping sends 1024): do not ask for its string.
    ///
    /// # Errors
    /// [`WireError::ConfigTooLong`] when the length exceeds [`MAX_CONFIG`] or the payload.
    pub fn string<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], WireError> {
        let len = usize::from(self.len.get());
        let string = payload.get(..len).filter(|string| string.len() <= MAX_CONFIG);
        string.ok_or(WireError::ConfigTooLong { len, have: payload.len().min(MAX_CONFIG) })
    }
}

const fn version_and(command: ConfigCommand) -> u8 {
    VerFlags::VERSION << 4 | command.0 & 0x0f
}

/// What a target tells about itself in every config reply. A host type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfigInfo {
    /// Requests the target can queue; at least 2 for Linux to attach.
    pub buffer_count: u16,
    /// Firmware version; free.
    pub firmware: u16,
    /// Most sectors in one ATA request, see [`max_sectors_advertised`](crate::max_sectors_advertised).
    pub sector_count: u8,
}

wire_code! {
    /// The config command, four bits.
    ConfigCommand {
        /// Read the string; the request's own string and length are ignored.
        READ = 0, "read";
        /// Answer if the string is equal.
        TEST = 1, "test";
        /// Answer if the request's string is a prefix.
        PREFIX = 2, "prefix";
        /// Set the string if it is empty or the same.
        SET = 3, "set";
        /// Set the string whatever it was.
        FORCE = 4, "force";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_lies_in_wire_order() {
        let info = ConfigInfo { buffer_count: 16, firmware: 0x4019, sector_count: 2 };
        let arg = ConfigArg::reply(info, ConfigCommand::SET, 5);
        assert_eq!(arg.as_bytes(), b"\x00\x10\x40\x19\x02\x13\x00\x05");
        assert_eq!((arg.info(), arg.command()), (info, ConfigCommand::SET));
    }

    #[test]
    fn the_command_is_the_low_half_whatever_the_version() {
        let arg = ConfigArg { aoe_ccmd: 0x09, ..ConfigArg::default() };
        assert_eq!(arg.command(), ConfigCommand(9));
    }

    #[test]
    fn a_string_ends_within_payload_and_limit() {
        let payload = [b'x'; 1500];
        let string = |len, have: usize| ConfigArg::request(ConfigCommand::SET, len).string(&payload[..have]);
        assert_eq!(string(28, 28).map(<[_]>::len), Ok(28));
        assert_eq!(string(29, 28), Err(WireError::ConfigTooLong { len: 29, have: 28 }));
        assert_eq!(string(1024, 1500).map(<[_]>::len), Ok(1024));
        assert_eq!(string(1025, 1500), Err(WireError::ConfigTooLong { len: 1025, have: 1024 }));
        assert_eq!(string(0, 0), Ok(&[][..]));
    }
}
