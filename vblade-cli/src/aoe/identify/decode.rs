//! The IDENTIFY page in words (ATA8-ACS, IDENTIFY DEVICE).

use std::fmt::Write as _;

use aoe_initiator::Address;
use aoe_wire::{IdentifyDevice, Trim};
use bdev::SECTOR_SIZE;
use serde::Serialize;

use crate::text::decimal_size;

/// Words in a line of `--raw`.
const WORDS_PER_LINE: usize = 8;

/// The words in hexadecimal, as `hdparm --Istdin` takes them.
pub(super) fn words(page: &IdentifyDevice) -> String {
    let mut text = String::new();
    for (number, word) in (0..256).filter_map(|number| Some((number, page.word(number)?))) {
        let end = if number % WORDS_PER_LINE == WORDS_PER_LINE - 1 { '\n' } else { ' ' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{word:04x}{end}");
    }
    text
}

/// What the disk says of its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SmartStatus {
    Absent,
    Disabled,
    Healthy,
    Failing,
    /// It announces SMART, and does not answer to it.
    Unknown,
}

/// The page, decoded. Texts are escaped.
#[derive(Debug, Serialize)]
pub(super) struct Decoded {
    address: String,
    model: String,
    serial: String,
    firmware: String,
    sectors: u64,
    bytes: u64,
    lba48: bool,
    logical_sector: u64,
    physical_sector: u64,
    write_cache_supported: bool,
    write_cache_enabled: bool,
    flush: bool,
    flush_ext: bool,
    fua: bool,
    trim: bool,
    trim_zeroes: bool,
    smart: SmartStatus,
    /// Revolutions per minute; 1 for a disk without, 0 where nothing is said.
    rotation: u16,
    checksum: Checksum,
}

/// Word 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Checksum {
    Absent,
    Valid,
    Wrong,
}

impl Decoded {
    pub(super) fn new(address: Address, page: &IdentifyDevice, smart: SmartStatus) -> Self {
        let features = page.features();
        let logical_sector = logical_sector(page);
        let checksum = match page.word(255).map(u16::to_le_bytes) {
            _ if page.is_checksum_valid() => Checksum::Valid,
            Some([0xa5, _]) => Checksum::Wrong,
            _ => Checksum::Absent,
        };
        Self {
            address: address.to_string(),
            model: page.model().to_string(),
            serial: page.serial().to_string(),
            firmware: page.firmware().to_string(),
            sectors: page.capacity(),
            bytes: page.capacity().saturating_mul(SECTOR_SIZE as u64),
            lba48: page.supports_lba48(),
            logical_sector,
            physical_sector: logical_sector << features.physical_exponent,
            write_cache_supported: page.supports_write_cache(),
            write_cache_enabled: features.write_cache_enabled,
            flush: page.supports_flush(),
            flush_ext: page.supports_flush_ext(),
            fua: features.fua,
            trim: features.trim != Trim::Absent,
            trim_zeroes: features.trim == Trim::Zeroes,
            smart,
            rotation: features.rotation_rate,
            checksum,
        }
    }

    /// One line for each.
    pub(super) fn text(&self) -> String {
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let yes = |yes: bool, text: &str| if yes { text.to_owned() } else { "no".to_owned() };
        let mib = self.bytes >> 20;
        let cache = match (self.write_cache_supported, self.write_cache_enabled) {
            (_, true) => "on: what it acknowledges may be lost with its power, until it is flushed",
            (true, false) => "off",
            (false, false) => "not announced",
        };
        let flush = match (self.flush, self.flush_ext) {
            (true, true) => "FLUSH CACHE, FLUSH CACHE EXT",
            (true, false) => "FLUSH CACHE",
            (false, true) => "FLUSH CACHE EXT",
            (false, false) => "no",
        };
        let trim = match (self.trim, self.trim_zeroes) {
            (false, _) => "no",
            (true, false) => "yes; what trimmed sectors hold is not defined",
            (true, true) => "yes; trimmed sectors are zeros",
        };
        let smart = match self.smart {
            SmartStatus::Absent => "no",
            SmartStatus::Disabled => "off",
            SmartStatus::Healthy => "healthy",
            SmartStatus::Failing => "FAILING: it expects to fail soon; copy its data now",
            SmartStatus::Unknown => "announced, but it does not tell its status",
        };
        let rotation = match self.rotation {
            0 => "not told".to_owned(),
            1 => "solid state".to_owned(),
            rpm => format!("{rpm} rpm"),
        };
        let checksum = match self.checksum {
            Checksum::Absent => "none",
            Checksum::Valid => "valid",
            Checksum::Wrong => "WRONG: the page is damaged, or the target computes it wrongly",
        };
        let rows = [
            ("Target", self.address.clone()),
            ("Model", or_dash(&self.model)),
            ("Serial", or_dash(&self.serial)),
            ("Firmware", or_dash(&self.firmware)),
            (
                "Capacity",
                format!(
                    "{} sectors, {} bytes ({}, {mib} MiB)",
                    self.sectors,
                    self.bytes,
                    decimal_size(self.bytes)
                ),
            ),
            ("Addressing", if self.lba48 { "LBA48".to_owned() } else { "LBA28".to_owned() }),
            ("Sector size", format!("{} logical, {} physical", self.logical_sector, self.physical_sector)),
            ("Write cache", cache.to_owned()),
            ("Flush", flush.to_owned()),
            ("FUA writes", yes(self.fua, "yes")),
            ("TRIM", trim.to_owned()),
            ("SMART", smart.to_owned()),
            ("Rotation", rotation),
            ("Checksum", checksum.to_owned()),
        ];
        let mut text = String::new();
        for (name, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:13}{value}", format!("{name}:"));
        }
        text
    }
}

/// Bytes of a logical sector: words 117 and 118 count 16-bit words where word 106 bit 12 says so.
fn logical_sector(page: &IdentifyDevice) -> u64 {
    const VALID: u16 = 0x4000;
    let is_long = page.word(106).is_some_and(|word| word & 0xc000 == VALID && word & 1 << 12 != 0);
    match (page.word(117), page.word(118)) {
        (Some(low), Some(high)) if is_long => (u64::from(high) << 16 | u64::from(low)) * 2,
        _ => SECTOR_SIZE as u64,
    }
}

#[cfg(test)]
mod tests {
    use aoe_wire::{IdentifyFeatures, Identity};

    use super::*;

    fn page(features: IdentifyFeatures) -> IdentifyDevice {
        let identity = Identity::new("E7.3-0001", "0.1.0", "AOE DISK").expect("an identity");
        IdentifyDevice::build(identity, 2_097_152, features)
    }

    fn text(page: &IdentifyDevice, smart: SmartStatus) -> String {
        Decoded::new(Address::new(7, 3), page, smart).text()
    }

    #[test]
    fn a_disk_with_everything_is_described_in_words() {
        let features = IdentifyFeatures {
            write_cache_enabled: true,
            fua: true,
            trim: Trim::Zeroes,
            physical_exponent: 3,
            ..IdentifyFeatures::default()
        };
        assert_eq!(
            text(&page(features), SmartStatus::Absent),
            "Target:      e7.3\n\
             Model:       AOE DISK\n\
             Serial:      E7.3-0001\n\
             Firmware:    0.1.0\n\
             Capacity:    2097152 sectors, 1073741824 bytes (1.07 GB, 1024 MiB)\n\
             Addressing:  LBA48\n\
             Sector size: 512 logical, 4096 physical\n\
             Write cache: on: what it acknowledges may be lost with its power, until it is flushed\n\
             Flush:       FLUSH CACHE, FLUSH CACHE EXT\n\
             FUA writes:  yes\n\
             TRIM:        yes; trimmed sectors are zeros\n\
             SMART:       no\n\
             Rotation:    solid state\n\
             Checksum:    valid\n"
        );
    }

    #[test]
    fn a_damaged_page_is_told_from_one_without_a_checksum() {
        let mut bytes = [0; SECTOR_SIZE];
        let none = IdentifyDevice::parse(&bytes).copied().expect("a page");
        assert!(text(&none, SmartStatus::Absent).contains("Checksum:    none"));
        bytes[510] = 0xa5;
        let wrong = IdentifyDevice::parse(&bytes).copied().expect("a page");
        assert!(text(&wrong, SmartStatus::Absent).contains("Checksum:    WRONG"));
    }

    #[test]
    fn a_failing_disk_is_told_in_capitals() {
        assert!(
            text(&page(IdentifyFeatures::default()), SmartStatus::Failing).contains("SMART:       FAILING")
        );
    }

    #[test]
    fn the_words_are_as_hdparm_takes_them() {
        let words = words(&page(IdentifyFeatures::default()));
        assert_eq!(words.lines().count(), 32);
        assert!(words.starts_with("0040 0820 c837 0010 0000 0000 003f 0000\n"), "{words}");
        assert!(words.lines().nth(3).is_some_and(|line| line.contains("414f 4520 4449 534b")), "{words}");
    }

    #[test]
    fn a_page_of_any_bytes_is_decoded() {
        for fill in [0x00, 0xff, 0x1b, 0x7f] {
            let bytes = [fill; SECTOR_SIZE];
            let page = IdentifyDevice::parse(&bytes).copied().expect("a page");
            let text = text(&page, SmartStatus::Unknown);
            assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
        }
    }
}
