//! Any bytes, as the answer to IDENTIFY DEVICE (ATA8-ACS §7.16).

use aoe_wire::{IdentifyDevice, IdentifyFeatures, Identity, Lba, Smart, Trim};
use arbitrary::Unstructured;
use zerocopy::IntoBytes;

/// Reads `bytes` as a page, and builds a page from what they say and from what can be drawn from them.
///
/// # Panics
///
/// When something is wrong.
pub fn run(bytes: &[u8]) {
    match IdentifyDevice::parse(bytes) {
        Ok(page) => read(page, &bytes[..512]),
        Err(_) => assert!(bytes.len() < 512),
    }
    let _ = draw(&mut Unstructured::new(bytes));
}

fn word(bytes: &[u8], number: usize) -> u64 {
    u16::from_le_bytes([bytes[2 * number], bytes[2 * number + 1]]).into()
}

/// A page of any content: every reader says what the words say.
fn read(page: &IdentifyDevice, bytes: &[u8]) {
    assert_eq!(page.as_bytes(), bytes);
    assert_eq!(page.word(256), None);
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!(page.is_checksum_valid(), sum == 0 && bytes[510] == 0xa5);
    let lba28 = word(bytes, 60) | word(bytes, 61) << 16;
    let lba48 = (100..104).rev().fold(0, |sectors, number| sectors << 16 | word(bytes, number));
    assert_eq!(page.capacity_28(), lba28);
    assert_eq!(page.supports_lba48(), word(bytes, 83) & 1 << 10 != 0);
    assert_eq!(page.capacity(), if page.supports_lba48() { lba48 } else { lba28 });
    let (cylinders, heads, sectors) = page.geometry();
    assert_eq!([cylinders, heads, sectors].map(u64::from), [1, 3, 6].map(|number| word(bytes, number)));
    for flag in [page.supports_flush(), page.supports_flush_ext(), page.supports_write_cache()] {
        let _: bool = flag;
    }
    let names = [page.serial(), page.firmware(), page.model()].map(|text| text.to_string());
    for name in &names {
        assert!(name.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "unprintable: {name:?}");
    }
    // What one target told, another can tell again.
    if let Ok(identity) = Identity::new(&names[0], &names[1], &names[2]) {
        build(identity, page.capacity().min(Lba::MAX_48), page.features());
    }
}

/// Names and numbers from the input, valid or not.
fn draw(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let features = IdentifyFeatures {
        write_cache_enabled: u.arbitrary()?,
        fua: u.arbitrary()?,
        smart: *u.choose(&[Smart::Absent, Smart::Disabled, Smart::Enabled])?,
        trim: *u.choose(&[Trim::Absent, Trim::Indeterminate, Trim::Zeroes])?,
        physical_exponent: u.int_in_range(0..=15)?,
        rotation_rate: u.arbitrary()?,
    };
    let sectors = u.arbitrary::<u64>()? >> u.int_in_range(0..=63)?;
    let names = [u.arbitrary::<&str>()?, u.arbitrary()?, u.arbitrary()?];
    if let Ok(identity) = Identity::new(names[0], names[1], names[2]) {
        build(identity, sectors, features);
    }
    Ok(())
}

/// What is built reads back, and a page with one byte changed is told from it.
fn build(identity: Identity<'_>, sectors: u64, features: IdentifyFeatures) {
    let page = IdentifyDevice::build(identity, sectors, features);
    let mut dirty = [0xee; 512];
    IdentifyDevice::parse_mut(&mut dirty).expect("512 bytes are a page").fill(identity, sectors, features);
    assert_eq!(page.as_bytes(), dirty, "every word is written");

    assert!(page.is_checksum_valid());
    assert_eq!(page.capacity(), sectors.min(Lba::MAX_48));
    assert_eq!(page.capacity_28(), sectors.min(Lba::MAX_28));
    assert_eq!(page.features(), features);
    assert!(page.supports_lba48() && page.supports_flush() && page.supports_flush_ext());
    assert_eq!(page.serial(), identity.serial().trim_matches(' '));
    assert_eq!(page.firmware(), identity.firmware().trim_matches(' '));
    assert_eq!(page.model(), identity.model().trim_matches(' '));

    let at = (sectors % 512) as usize;
    dirty[at] ^= 1 << ((sectors >> 9) % 8);
    let changed = IdentifyDevice::parse(&dirty).expect("512 bytes are a page");
    assert!(!changed.is_checksum_valid(), "byte {at} changed unnoticed");
}
