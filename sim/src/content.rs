//! What sectors hold in simulations: [`content`], and back, [`stamp_of`].

use bdev::SECTOR_SIZE;

use crate::Chance;

/// The content of a sector that the write `stamp` has left at `lba`: the stamp, the place, and bytes that follow from both, so that a
/// sector made of two is no content of any. Stamp 0 is zeros: never written.
#[must_use]
pub fn content(stamp: u64, lba: u64) -> [u8; SECTOR_SIZE] {
    let mut sector = [0; SECTOR_SIZE];
    if stamp == 0 {
        return sector;
    }
    let mut chance = Chance::new(stamp.rotate_left(32) ^ lba);
    for (at, word) in sector.chunks_exact_mut(8).enumerate() {
        let number = match at {
            0 => stamp,
            1 => lba,
            _ => chance.number(),
        };
        word.copy_from_slice(&number.to_le_bytes());
    }
    sector
}

/// Which write has left this at `lba`; `None` when it is torn, or of another place.
#[must_use]
pub fn stamp_of(sector: &[u8], lba: u64) -> Option<u64> {
    let stamp = u64::from_le_bytes(*sector.first_chunk()?);
    (content(stamp, lba) == sector).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_tells_its_write_and_one_of_two_halves_or_of_another_place_tells_none() {
        assert_eq!(stamp_of(&content(7, 3), 3), Some(7));
        assert_eq!(stamp_of(&[0; SECTOR_SIZE], 3), Some(0));
        assert_eq!(stamp_of(&content(7, 3), 4), None);
        let torn = [&content(7, 3)[..256], &content(8, 3)[256..]].concat();
        assert_eq!(stamp_of(&torn, 3), None);
        assert_eq!(stamp_of(&[&[0; 256], &content(8, 3)[256..]].concat(), 3), None);
    }
}
