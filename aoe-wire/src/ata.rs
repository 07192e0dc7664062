//! Command 0, issue ATA command (AoEr11 §3.1): the registers of an ATA device (ATA8-ACS) in twelve bytes.

use core::fmt;

use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::aoe::HEADER_LEN;
use crate::error::WireError;
use crate::eth::ETH_HEADER_LEN;
use crate::register::{AtaCommand, AtaError, AtaStatus};
use crate::value::wire_flags;

/// Bytes of a sector. AoE carries no other size.
pub const SECTOR: usize = 512;

/// Bytes of the Ethernet, AoE and ATA headers: where the data of an ATA frame begins.
pub const ATA_HEADER_LEN: usize = 36;

/// The ATA argument: bytes 24 to 35 of a frame. Request and reply share the layout, not the meaning of two bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct AtaArg {
    /// Flags, byte 24; copied into the reply.
    pub aflags: AFlags,
    /// Byte 25: the feature register in a request, the error register in a reply.
    pub err_feature: u8,
    /// Byte 26: the sector count in a request, the sectors *not* transferred in a reply.
    pub sector_count: u8,
    /// Byte 27: the command register in a request, the status register in a reply.
    pub cmd_status: u8,
    /// Bytes 28 to 33; copied into the reply.
    pub lba: Lba,
    /// Bytes 34 and 35, zero.
    pub reserved: [u8; 2],
}

const _: () = assert!(size_of::<AtaArg>() == 12);
const _: () = assert!(HEADER_LEN + size_of::<AtaArg>() == ATA_HEADER_LEN);

impl AtaArg {
    /// The registers of a request; feature 0.
    #[must_use]
    pub const fn request(command: AtaCommand, aflags: AFlags, lba: Lba, sector_count: u8) -> Self {
        Self { aflags, err_feature: 0, sector_count, cmd_status: command.0, lba, reserved: [0; 2] }
    }

    /// The same registers with the feature register set.
    #[must_use]
    pub const fn with_feature(self, feature: u8) -> Self {
        Self { err_feature: feature, ..self }
    }

    /// Request: the feature register.
    #[must_use]
    pub const fn feature(&self) -> u8 {
        self.err_feature
    }

    /// Request: the command register.
    #[must_use]
    pub const fn command(&self) -> AtaCommand {
        AtaCommand(self.cmd_status)
    }

    /// Reply: the error register.
    #[must_use]
    pub const fn error(&self) -> AtaError {
        AtaError(self.err_feature)
    }

    /// Reply: the status register.
    #[must_use]
    pub const fn status(&self) -> AtaStatus {
        AtaStatus(self.cmd_status)
    }

    /// Turns the registers of a request into those of a reply; flags and LBA stay, reserved bytes become zero.
    pub fn reply(&mut self, status: AtaStatus, error: AtaError, sector_count: u8) {
        self.cmd_status = status.0;
        self.err_feature = error.0;
        self.sector_count = sector_count;
        self.reserved = [0; 2];
    }

    /// Replies that everything was done and transferred: status 40, error 0, count 0.
    pub fn succeed(&mut self) {
        self.reply(AtaStatus::GOOD, AtaError::NONE, 0);
    }

    /// Replies that the command failed: status 41, and the sector count as it was, since nothing was transferred.
    pub fn fail(&mut self, error: AtaError) {
        self.reply(AtaStatus::FAILED, error, self.sector_count);
    }
}

wire_flags! {
    /// Byte 24: flags of an ATA frame. Bits without a constant are reserved: ignored, and echoed in the reply.
    AFlags {
        /// E: the LBA registers hold 48 bits.
        EXTENDED = 0x40, "E";
        /// D: the device bit of the device register.
        DEVICE = 0x10, "D";
        /// A: the write may be acknowledged before it is done.
        ASYNC = 0x02, "A";
        /// W: the frame carries data to the target.
        WRITE = 0x01, "W";
    }
}

impl AFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
}

/// Bytes 28 to 33: the LBA registers, least significant byte first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct Lba(pub [u8; 6]);

const _: () = assert!(size_of::<Lba>() == 6);

impl Lba {
    /// All registers zero.
    pub const ZERO: Self = Self([0; 6]);
    /// The largest 28-bit LBA.
    pub const MAX_28: u64 = 0x0fff_ffff;
    /// The largest 48-bit LBA.
    pub const MAX_48: u64 = 0xffff_ffff_ffff;

    /// The registers of a 48-bit LBA, `None` above [`Lba::MAX_48`].
    #[must_use]
    pub const fn from_lba48(lba: u64) -> Option<Self> {
        let [a, b, c, d, e, f, 0, 0] = lba.to_le_bytes() else { return None };
        Some(Self([a, b, c, d, e, f]))
    }

    /// The registers of a 28-bit LBA, `None` above [`Lba::MAX_28`]. The high four bits of `device` go into the high
    /// four of the device register, byte 3 of the six; Linux sends E0 with data and A0 with IDENTIFY.
    #[must_use]
    pub const fn from_lba28(lba: u64, device: u8) -> Option<Self> {
        let [a, b, c, d @ 0..=0x0f, 0, 0, 0, 0] = lba.to_le_bytes() else { return None };
        Some(Self([a, b, c, d | device & 0xf0, 0, 0]))
    }

    /// The LBA of a 48-bit command: all six bytes.
    #[must_use]
    pub const fn lba48(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// The LBA of a 28-bit command: three bytes and the low half of the fourth; the rest is ignored.
    #[must_use]
    pub const fn lba28(self) -> u64 {
        let [a, b, c, d, _, _] = self.0;
        u64::from_le_bytes([a, b, c, d & 0x0f, 0, 0, 0, 0])
    }
}

/// The six bytes as sent.
impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One entry of a TRIM payload (ATA8-ACS DATA SET MANAGEMENT): eight little-endian bytes, 48 bits of LBA and 16 of count.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct TrimRange(pub U64);

const RANGES_PER_BLOCK: usize = SECTOR / 8;

const _: () = assert!(size_of::<TrimRange>() == 8);

impl TrimRange {
    /// An entry, `None` when `lba` is above [`Lba::MAX_48`].
    #[must_use]
    pub fn new(lba: u64, sectors: u16) -> Option<Self> {
        (lba <= Lba::MAX_48).then(|| Self(U64::new(lba | u64::from(sectors) << 48)))
    }

    /// The first sector.
    #[must_use]
    pub fn lba(self) -> u64 {
        self.0.get() & Lba::MAX_48
    }

    /// How many sectors; 0 marks an unused entry.
    #[must_use]
    pub fn sectors(self) -> u16 {
        let [.., low, high] = self.0.to_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// The entries of a TRIM payload of `blocks` 512-byte blocks, 64 to the block.
///
/// # Errors
/// [`WireError::Truncated`] when `payload` is shorter than that.
pub fn trim_ranges(payload: &[u8], blocks: u8) -> Result<&[TrimRange], WireError> {
    let count = usize::from(blocks).saturating_mul(RANGES_PER_BLOCK);
    match <[TrimRange]>::ref_from_prefix_with_elems(payload, count) {
        Ok((ranges, _)) => Ok(ranges),
        Err(_) => {
            let need = ATA_HEADER_LEN.saturating_add(usize::from(blocks).saturating_mul(SECTOR));
            Err(WireError::Truncated { need, have: ATA_HEADER_LEN.saturating_add(payload.len()) })
        }
    }
}

/// How many sectors a target should advertise for an interface MTU (which excludes the Ethernet header): 1 to 255.
///
/// Linux and aoetools subtract the whole 36-byte header from the MTU; advertising by the same rule keeps both sides in
/// agreement. A request that fits by [`max_sectors_fitting`] is served all the same.
#[must_use]
pub fn max_sectors_advertised(mtu: usize) -> u8 {
    sectors_in(mtu.saturating_sub(ATA_HEADER_LEN)).max(1)
}

/// How many sectors really fit a frame at an interface MTU (which excludes the Ethernet header): 0 to 255.
#[must_use]
pub fn max_sectors_fitting(mtu: usize) -> u8 {
    sectors_in(mtu.saturating_add(ETH_HEADER_LEN).saturating_sub(ATA_HEADER_LEN))
}

fn sectors_in(bytes: usize) -> u8 {
    u8::try_from(bytes / SECTOR).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_in_wire_order() {
        let lba = Lba::from_lba48(6144).unwrap();
        let aflags = AFlags::EXTENDED.with(AFlags::WRITE);
        let arg = AtaArg::request(AtaCommand::WRITE_SECTORS_EXT, aflags, lba, 1).with_feature(9);
        assert_eq!(arg.as_bytes(), b"\x41\x09\x01\x34\x00\x18\x00\x00\x00\x00\x00\x00");
    }

    #[test]
    fn success_clears_count_and_error_and_keeps_flags_and_lba() {
        let mut arg = AtaArg::read_from_bytes(b"\x41\x09\x02\x34\x01\x02\x03\x04\x05\x06\x07\x08").unwrap();
        arg.succeed();
        assert_eq!(arg.as_bytes(), b"\x41\x00\x00\x40\x01\x02\x03\x04\x05\x06\x00\x00");
        assert!(!arg.status().is_failure());
    }

    #[test]
    fn failure_keeps_the_count() {
        let mut arg =
            AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, Lba([0xff, 0x3f, 0, 0, 0, 0]), 2);
        arg.fail(AtaError::IDNF);
        assert_eq!(arg.as_bytes(), b"\x40\x10\x02\x41\xff\x3f\x00\x00\x00\x00\x00\x00");
        assert!(arg.status().is_failure());
    }

    #[test]
    fn a_28_bit_lba_ignores_the_device_bits_and_the_last_two_bytes() {
        let lba = Lba([1, 2, 3, 0xe4, 5, 6]);
        assert_eq!(lba.lba28(), 0x0403_0201);
        assert_eq!(lba.lba48(), 0x0605_e403_0201);
    }

    #[test]
    fn an_lba_is_refused_where_it_does_not_fit() {
        assert_eq!(Lba::from_lba48(Lba::MAX_48).map(Lba::lba48), Some(Lba::MAX_48));
        assert_eq!(Lba::from_lba48(Lba::MAX_48 + 1), None);
        assert_eq!(Lba::from_lba28(Lba::MAX_28, 0xef), Some(Lba([0xff, 0xff, 0xff, 0xef, 0, 0])));
        assert_eq!(Lba::from_lba28(Lba::MAX_28 + 1, 0), None);
    }

    #[test]
    fn a_trim_range_is_48_bits_of_lba_and_16_of_count() {
        let range = TrimRange::new(0x0605_0403_0201, 0x0807).unwrap();
        assert_eq!(range.as_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((range.lba(), range.sectors()), (0x0605_0403_0201, 0x0807));
        assert_eq!(TrimRange::new(Lba::MAX_48 + 1, 0), None);
    }

    #[test]
    fn trim_ranges_are_64_to_the_block_and_never_beyond_the_payload() {
        let payload = [0; 1024];
        assert_eq!(trim_ranges(&payload, 1).map(<[_]>::len), Ok(64));
        assert_eq!(trim_ranges(&payload, 2).map(<[_]>::len), Ok(128));
        assert_eq!(trim_ranges(&payload, 3), Err(WireError::Truncated { need: 36 + 1536, have: 36 + 1024 }));
    }

    #[test]
    fn advertised_sectors_leave_room_for_36_bytes_in_the_mtu_and_fitting_ones_for_22() {
        let cases = [
            (0, 1, 0),
            (533, 1, 0),
            (534, 1, 1),
            (1045, 1, 1),
            (1046, 1, 2),
            (1059, 1, 2),
            (1060, 2, 2),
            (1500, 2, 2),
            (4118, 7, 8),
            (9000, 17, 17),
            (65536, 127, 127),
            (usize::MAX, 255, 255),
        ];
        for (mtu, advertised, fitting) in cases {
            assert_eq!(
                (max_sectors_advertised(mtu), max_sectors_fitting(mtu)),
                (advertised, fitting),
                "{mtu}"
            );
        }
    }
}
