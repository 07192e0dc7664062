//! The answer to IDENTIFY DEVICE: 256 little-endian words (ATA8-ACS, IDENTIFY DEVICE; ACS-2 for words 69,
//! 105 and 169).

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ata::{ATA_HEADER_LEN, Lba, SECTOR};
use crate::error::WireError;
use crate::identity::{AtaText, Identity};

/// Word numbers that are used from more than one place, and the ranges of the texts.
mod field {
    use core::ops::Range;

    pub(super) const SERIAL: Range<usize> = 10..20;
    pub(super) const FIRMWARE: Range<usize> = 23..27;
    pub(super) const MODEL: Range<usize> = 27..47;
    pub(super) const CAPACITY_28: usize = 60;
    pub(super) const ADDITIONAL: usize = 69;
    pub(super) const SUPPORTED_82: usize = 82;
    pub(super) const SUPPORTED_83: usize = 83;
    pub(super) const SUPPORTED_84: usize = 84;
    pub(super) const ENABLED_85: usize = 85;
    pub(super) const CAPACITY_48: usize = 100;
    pub(super) const TRIM_BLOCKS: usize = 105;
    pub(super) const PHYSICAL_SECTOR: usize = 106;
    pub(super) const TRIM: usize = 169;
    pub(super) const ALIGNMENT: usize = 209;
    pub(super) const ROTATION: usize = 217;
    pub(super) const INTEGRITY: usize = 255;
}

/// The low byte of word 255, which says that the high byte is a checksum.
const SIGNATURE: u8 = 0xa5;

/// Words 83, 84, 86, 87, 106 and 209 hold something when their two high bits are 01.
const VALID: u16 = 0x4000;

const SMART: u16 = 1;
const WRITE_CACHE: u16 = 1 << 5;
const FUA: u16 = 1 << 6;
const LBA48: u16 = 1 << 10;
const FLUSH: u16 = 1 << 12;
const FLUSH_EXT: u16 = 1 << 13;
/// Word 69: trimmed sectors always read the same (bit 14), and as zeros (bit 5).
const TRIM_ZEROES: u16 = 1 << 14 | 1 << 5;

/// The 512 bytes of IDENTIFY DEVICE data, filled and read in place.
///
/// ```
/// # use aoe_wire::{Identity, IdentifyDevice, IdentifyFeatures};
/// let identity = Identity::new("e7.3", "0.1.0", "AOE DISK")?;
/// let page = IdentifyDevice::build(identity, 16_384, IdentifyFeatures::default());
/// assert_eq!(page.capacity(), 16_384);
/// assert_eq!(page.model(), "AOE DISK");
/// assert!(page.is_checksum_valid());
/// # Ok::<(), aoe_wire::IdentityError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct IdentifyDevice {
    words: [U16; 256],
}

const _: () = assert!(size_of::<IdentifyDevice>() == SECTOR);

impl IdentifyDevice {
    /// The page at the start of the payload of an ATA frame.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when the payload is shorter than 512 bytes.
    pub fn parse(payload: &[u8]) -> Result<&Self, WireError> {
        let have = payload.len();
        Self::ref_from_prefix(payload).map(|(page, _)| page).map_err(|_| truncated(have))
    }

    /// As [`parse`](Self::parse), to be [filled](Self::fill) in place.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_mut(payload: &mut [u8]) -> Result<&mut Self, WireError> {
        let have = payload.len();
        Self::mut_from_prefix(payload).map(|(page, _)| page).map_err(|_| truncated(have))
    }

    /// A page of its own; see [`fill`](Self::fill).
    #[must_use]
    pub fn build(identity: Identity<'_>, sectors: u64, features: IdentifyFeatures) -> Self {
        let mut page = Self { words: [U16::ZERO; 256] };
        page.fill(identity, sectors, features);
        page
    }

    /// Writes every word of the page, checksum included, for a disk of `sectors` 512-byte sectors.
    ///
    /// A size beyond 48 bits is written as the largest there is.
    pub fn fill(&mut self, identity: Identity<'_>, sectors: u64, features: IdentifyFeatures) {
        self.words = [U16::ZERO; 256];
        self.fill_device(sectors);
        AtaText::write(&mut self.words[field::SERIAL], identity.serial());
        AtaText::write(&mut self.words[field::FIRMWARE], identity.firmware());
        AtaText::write(&mut self.words[field::MODEL], identity.model());
        self.fill_features(features);
        self.words[field::INTEGRITY] = U16::from_bytes([SIGNATURE, 0]);
        self.words[field::INTEGRITY] = U16::from_bytes([SIGNATURE, 0_u8.wrapping_sub(self.sum())]);
    }

    /// What is the same for all disks, and the sizes.
    fn fill_device(&mut self, sectors: u64) {
        const HEADS: u16 = 16;
        const SECTORS_PER_TRACK: u16 = 63;
        let cylinders = (sectors / 1008).clamp(1, 16383);
        let [c0, c1, ..] = cylinders.to_le_bytes();
        let [s0, s1, s2, s3, ..] = sectors.min(Lba::MAX_28).to_le_bytes();
        let [e0, e1, e2, e3, e4, e5, e6, e7] = sectors.min(Lba::MAX_48).to_le_bytes();
        let words = &mut self.words;

        words[0].set(0x0040); // ATA, fixed
        words[1] = U16::from_bytes([c0, c1]);
        words[2].set(0xc837); // complete, and no SET FEATURES to spin up
        words[3].set(HEADS);
        words[6].set(SECTORS_PER_TRACK);
        words[47].set(0x8000); // no READ MULTIPLE
        words[49].set(0x0f00); // LBA, DMA, IORDY
        words[50].set(VALID);
        words[53].set(0x0006); // words 64 to 70 and 88 hold something
        words[field::CAPACITY_28] = U16::from_bytes([s0, s1]);
        words[61] = U16::from_bytes([s2, s3]);
        words[63].set(0x0007); // multiword DMA 0 to 2
        words[64].set(0x0003); // PIO 3 and 4
        words[65..69].fill(U16::new(120)); // ns of a DMA or PIO cycle
        words[80].set(0x03f0); // ATA/ATAPI-4 to ACS-2
        words[88].set(0x003f); // Ultra DMA 0 to 5
        words[field::CAPACITY_48] = U16::from_bytes([e0, e1]);
        words[101] = U16::from_bytes([e2, e3]);
        words[102] = U16::from_bytes([e4, e5]);
        words[103] = U16::from_bytes([e6, e7]);
    }

    fn fill_features(&mut self, features: IdentifyFeatures) {
        let fua = if features.fua { FUA } else { 0 };
        let smart = if features.smart == Smart::Absent { 0 } else { SMART };
        let smart_on = if features.smart == Smart::Enabled { SMART } else { 0 };
        let cache_on = if features.write_cache_enabled { WRITE_CACHE } else { 0 };
        let base_82 = 0x4008; // NOP, power management
        let words = &mut self.words;

        words[field::SUPPORTED_82].set(base_82 | WRITE_CACHE | smart);
        words[field::SUPPORTED_83].set(VALID | LBA48 | FLUSH | FLUSH_EXT);
        words[field::SUPPORTED_84].set(VALID | fua);
        words[field::ENABLED_85].set(base_82 | cache_on | smart_on);
        words[86].set(LBA48 | FLUSH | FLUSH_EXT);
        words[87].set(VALID | fua);
        words[field::PHYSICAL_SECTOR].set(VALID);
        if features.physical_exponent > 0 {
            words[field::PHYSICAL_SECTOR].set(VALID | 1 << 13 | u16::from(features.physical_exponent & 0x0f));
            words[field::ALIGNMENT].set(VALID);
        }
        if features.trim != Trim::Absent {
            words[field::TRIM_BLOCKS].set(1);
            words[field::TRIM].set(1);
        }
        if features.trim == Trim::Zeroes {
            words[field::ADDITIONAL].set(TRIM_ZEROES);
        }
        words[field::ROTATION].set(features.rotation_rate);
    }

    /// Word `number` as it is, `None` above 255.
    #[must_use]
    pub fn word(&self, number: usize) -> Option<u16> {
        self.words.get(number).map(|word| word.get())
    }

    /// Serial number, words 10 to 19.
    #[must_use]
    pub fn serial(&self) -> AtaText<'_> {
        AtaText::new(&self.words[field::SERIAL])
    }

    /// Firmware revision, words 23 to 26.
    #[must_use]
    pub fn firmware(&self) -> AtaText<'_> {
        AtaText::new(&self.words[field::FIRMWARE])
    }

    /// Model number, words 27 to 46.
    #[must_use]
    pub fn model(&self) -> AtaText<'_> {
        AtaText::new(&self.words[field::MODEL])
    }

    /// Cylinders, heads and sectors per track, words 1, 3 and 6; obsolete.
    #[must_use]
    pub fn geometry(&self) -> (u16, u16, u16) {
        (self.words[1].get(), self.words[3].get(), self.words[6].get())
    }

    /// Sectors: words 100 to 103 with 48-bit addressing, else words 60 and 61.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        if self.supports_lba48() { self.long::<4>(field::CAPACITY_48) } else { self.capacity_28() }
    }

    /// Sectors that 28-bit commands reach, words 60 and 61.
    #[must_use]
    pub fn capacity_28(&self) -> u64 {
        self.long::<2>(field::CAPACITY_28)
    }

    /// 48-bit addressing, word 83 bit 10.
    #[must_use]
    pub fn supports_lba48(&self) -> bool {
        self.has(field::SUPPORTED_83, LBA48)
    }

    /// FLUSH CACHE, word 83 bit 12.
    #[must_use]
    pub fn supports_flush(&self) -> bool {
        self.has(field::SUPPORTED_83, FLUSH)
    }

    /// FLUSH CACHE EXT, word 83 bit 13.
    #[must_use]
    pub fn supports_flush_ext(&self) -> bool {
        self.has(field::SUPPORTED_83, FLUSH_EXT)
    }

    /// A write cache that can be switched, word 82 bit 5.
    #[must_use]
    pub fn supports_write_cache(&self) -> bool {
        self.has(field::SUPPORTED_82, WRITE_CACHE)
    }

    /// The features a target chooses, as the page tells them.
    #[must_use]
    pub fn features(&self) -> IdentifyFeatures {
        let physical = self.words[field::PHYSICAL_SECTOR].get();
        let has_exponent = physical & 0xe000 == VALID | 1 << 13;
        let physical_exponent = if has_exponent { physical.to_le_bytes()[0] & 0x0f } else { 0 };
        let smart = match (self.has(field::SUPPORTED_82, SMART), self.has(field::ENABLED_85, SMART)) {
            (false, _) => Smart::Absent,
            (true, false) => Smart::Disabled,
            (true, true) => Smart::Enabled,
        };
        let trim = match (self.has(field::TRIM, 1), self.has(field::ADDITIONAL, TRIM_ZEROES)) {
            (false, _) => Trim::Absent,
            (true, false) => Trim::Indeterminate,
            (true, true) => Trim::Zeroes,
        };
        IdentifyFeatures {
            write_cache_enabled: self.has(field::ENABLED_85, WRITE_CACHE),
            fua: self.has(field::SUPPORTED_84, FUA),
            smart,
            trim,
            physical_exponent,
            rotation_rate: self.words[field::ROTATION].get(),
        }
    }

    /// Whether word 255 carries a checksum and all 512 bytes add up to zero.
    #[must_use]
    pub fn is_checksum_valid(&self) -> bool {
        self.words[field::INTEGRITY].to_bytes()[0] == SIGNATURE && self.sum() == 0
    }

    fn sum(&self) -> u8 {
        self.as_bytes().iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    fn has(&self, word: usize, bits: u16) -> bool {
        self.word(word).is_some_and(|found| found & bits == bits)
    }

    /// `N` words from `first` on, the lowest first.
    fn long<const N: usize>(&self, first: usize) -> u64 {
        let words = self.words.iter().skip(first).take(N);
        words.rev().fold(0, |value, word| value << 16 | u64::from(word.get()))
    }
}

fn truncated(payload: usize) -> WireError {
    let need = ATA_HEADER_LEN.saturating_add(SECTOR);
    WireError::Truncated { need, have: ATA_HEADER_LEN.saturating_add(payload) }
}

/// What a target chooses to announce. The default is a plain solid-state disk that writes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifyFeatures {
    /// The write cache is on: a reply to a write is no promise of stable storage. Word 85 bit 5.
    pub write_cache_enabled: bool,
    /// The FUA write commands work. Words 84 and 87 bit 6.
    pub fua: bool,
    /// Words 82 and 85 bit 0.
    pub smart: Smart,
    /// Words 69, 105 and 169.
    pub trim: Trim,
    /// Logical sectors per physical sector as a power of two, 0 to 15: 3 for 4 KiB. Words 106 and 209.
    pub physical_exponent: u8,
    /// Revolutions per minute, 1 for a device that does not rotate, 0 for no statement. Word 217.
    pub rotation_rate: u16,
}

impl Default for IdentifyFeatures {
    fn default() -> Self {
        Self {
            write_cache_enabled: false,
            fua: false,
            smart: Smart::Absent,
            trim: Trim::Absent,
            physical_exponent: 0,
            rotation_rate: 1,
        }
    }
}

/// SMART as announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Smart {
    /// Not supported.
    #[default]
    Absent,
    /// Supported, switched off.
    Disabled,
    /// Supported, switched on.
    Enabled,
}

/// TRIM as announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trim {
    /// Not supported.
    #[default]
    Absent,
    /// Supported; what trimmed sectors read is not defined.
    Indeterminate,
    /// Supported; trimmed sectors read as zeros.
    Zeroes,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All words of a page that are not zero, but for the texts, as `number=value`.
    fn numbers(page: &IdentifyDevice) -> String {
        let is_text =
            |n: &usize| [field::SERIAL, field::FIRMWARE, field::MODEL].iter().any(|text| text.contains(n));
        let words = (0..256).filter(|n| !is_text(n)).filter_map(|n| Some((n, page.word(n)?)));
        let shown: Vec<_> =
            words.filter(|(_, word)| *word != 0).map(|(n, word)| format!("{n}={word:04X}")).collect();
        shown.join(" ")
    }

    #[test]
    fn a_disk_with_everything_is_described_word_by_word() {
        let features = IdentifyFeatures {
            write_cache_enabled: true,
            fua: true,
            trim: Trim::Zeroes,
            physical_exponent: 3,
            ..IdentifyFeatures::default()
        };
        let identity = Identity::new("E7.3-0001", "0.1.0", "AOE DISK").unwrap();
        let page = IdentifyDevice::build(identity, 2_097_152, features);
        let expected = "0=0040 1=0820 2=C837 3=0010 6=003F 47=8000 49=0F00 50=4000 53=0006 61=0020 63=0007 64=0003 \
                        65=0078 66=0078 67=0078 68=0078 69=4020 80=03F0 82=4028 83=7400 84=4040 85=4028 86=3400 \
                        87=4040 88=003F 101=0020 105=0001 106=6003 169=0001 209=4000 217=0001 255=5EA5";
        assert_eq!(numbers(&page), expected);
        assert_eq!(page.features(), features);
    }

    #[test]
    fn a_plain_disk_is_described_word_by_word() {
        let features = IdentifyFeatures { write_cache_enabled: true, ..IdentifyFeatures::default() };
        let identity = Identity::new("7.3:target", "0.1.0", "AOE DISK").unwrap();
        let page = IdentifyDevice::build(identity, 16_384, features);
        let expected = "0=0040 1=0010 2=C837 3=0010 6=003F 47=8000 49=0F00 50=4000 53=0006 60=4000 63=0007 64=0003 \
                        65=0078 66=0078 67=0078 68=0078 80=03F0 82=4028 83=7400 84=4000 85=4028 86=3400 87=4000 \
                        88=003F 100=4000 106=4000 217=0001 255=0DA5";
        assert_eq!(numbers(&page), expected);
        assert_eq!(page.as_bytes()[54..62], *b"OA EIDKS");
        assert_eq!(
            (page.serial().to_string(), page.firmware().to_string()),
            ("7.3:target".into(), "0.1.0".into())
        );
    }

    #[test]
    fn sizes_beyond_a_field_are_its_largest_value() {
        let identity = Identity::new("s", "f", "m").unwrap();
        let size = |sectors| {
            let page = IdentifyDevice::build(identity, sectors, IdentifyFeatures::default());
            (page.geometry().0, page.capacity_28(), page.capacity())
        };
        assert_eq!(size(0), (1, 0, 0));
        assert_eq!(size(1 << 28), (16383, Lba::MAX_28, 1 << 28));
        assert_eq!(size(u64::MAX), (16383, Lba::MAX_28, Lba::MAX_48));
    }

    #[test]
    fn without_48_bit_addressing_the_capacity_is_the_28_bit_one() {
        let mut page = IdentifyDevice { words: [U16::ZERO; 256] };
        page.words[61].set(2);
        page.words[100].set(9);
        assert_eq!(page.capacity(), 0x2_0000);
        page.words[83].set(LBA48);
        assert_eq!(page.capacity(), 9);
    }

    #[test]
    fn filling_leaves_nothing_of_what_was_there() {
        let identity = Identity::new("s", "f", "m").unwrap();
        let mut payload = [0xff; 600];
        let page = IdentifyDevice::parse_mut(&mut payload).unwrap();
        page.fill(identity, 16_384, IdentifyFeatures::default());
        assert_eq!(*page, IdentifyDevice::build(identity, 16_384, IdentifyFeatures::default()));
        assert_eq!(payload[512..], [0xff; 88]);
    }

    #[test]
    fn a_checksum_fails_with_any_changed_byte() {
        let identity = Identity::new("s", "f", "m").unwrap();
        let good = IdentifyDevice::build(identity, 16_384, IdentifyFeatures::default());
        assert!(good.is_checksum_valid());
        for at in 0..512 {
            let mut page = good;
            page.as_mut_bytes()[at] ^= 0x10;
            assert!(!page.is_checksum_valid(), "byte {at}");
        }
    }

    #[test]
    fn a_payload_shorter_than_a_page_is_refused() {
        let error = WireError::Truncated { need: 548, have: 547 };
        assert_eq!(IdentifyDevice::parse(&[0; 511]), Err(error));
        assert_eq!(IdentifyDevice::parse_mut(&mut [0; 511]), Err(error));
    }
}
