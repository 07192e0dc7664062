//! Whether what is read is what was written: [`Ledger`].

use std::collections::HashMap;

use bdev::{Extent, SECTOR_SIZE};

use super::plan::Chance;

/// Bytes of a number in a sector.
const WORD: usize = 8;

/// What was written in this run, block by block, and so what a read may return.
///
/// Every write of a block has a version, 1 for the first. A block is written by one request at a time, so its versions reach the disk in
/// order: a read returns in each sector a version that is no older than the last one acknowledged when the read was made, and no newer
/// than the last one begun when it ended. A version older than that is a lost write, or a repeated one that came late.
///
/// What was on the disk before is not known, so a block is judged from its first acknowledged write on.
#[derive(Debug)]
pub(crate) struct Ledger {
    seed: u64,
    blocks: HashMap<u64, Block>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    acknowledged: u32,
    begun: u32,
    writing: bool,
    /// A write failed: it may still arrive at any time, and nothing can be said of this block any more.
    doubtful: bool,
}

/// A sector that holds what nobody wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sector {lba} holds {found}, where version {oldest} to {newest} is due")]
pub(crate) struct Mismatch {
    pub(crate) lba: u64,
    pub(crate) oldest: u32,
    pub(crate) newest: u32,
    pub(crate) found: Found,
}

/// What a sector holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole sector of this run: its version, and where it belongs.
    Stamp { lba: u64, version: u32 },
    /// Anything else.
    Other,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stamp { lba, version } => write!(f, "version {version} of sector {lba}"),
            Self::Other => f.write_str("foreign or torn data"),
        }
    }
}

impl Ledger {
    /// `seed` tells the sectors of this run from those of others.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, blocks: HashMap::new() }
    }

    /// Begins a write of `block` and fills `data` for it; false if one is in flight, or the block is in doubt.
    pub(crate) fn begin_write(&mut self, block: u64, extent: Extent, data: &mut [u8]) -> bool {
        let entry = self.blocks.entry(block).or_default();
        if entry.writing || entry.doubtful {
            return false;
        }
        entry.writing = true;
        entry.begun += 1;
        let version = entry.begun;
        for (sector, lba) in data.chunks_exact_mut(SECTOR_SIZE).zip(extent.lba..) {
            stamp(sector, self.seed, lba, version);
        }
        true
    }

    pub(crate) fn end_write(&mut self, block: u64, ok: bool) {
        let entry = self.blocks.entry(block).or_default();
        entry.writing = false;
        if ok {
            entry.acknowledged = entry.begun;
        } else {
            entry.doubtful = true;
        }
    }

    /// The oldest version that a read which is made now may return; 0 if anything may be there.
    pub(crate) fn begin_read(&self, block: u64) -> u32 {
        self.blocks.get(&block).map_or(0, |entry| entry.acknowledged)
    }

    /// Judges what a read returned for which [`begin_read`](Self::begin_read) answered `oldest`. Returns whether it could be judged.
    pub(crate) fn end_read(
        &self,
        block: u64,
        oldest: u32,
        extent: Extent,
        data: &[u8],
    ) -> Result<bool, Mismatch> {
        let Some(entry) = self.blocks.get(&block).filter(|entry| oldest > 0 && !entry.doubtful) else {
            return Ok(false);
        };
        for (sector, lba) in data.chunks_exact(SECTOR_SIZE).zip(extent.lba..) {
            let found = self.look(sector);
            let right = matches!(found, Found::Stamp { lba: at, version }
                if at == lba && (oldest..=entry.begun).contains(&version));
            if !right {
                return Err(Mismatch { lba, oldest, newest: entry.begun, found });
            }
        }
        Ok(true)
    }

    fn look(&self, sector: &[u8]) -> Found {
        let (Some(lba), Some(version)) = (word(sector, 0), word(sector, 1)) else { return Found::Other };
        let Ok(version) = u32::try_from(version) else { return Found::Other };
        let whole = (2..).zip(pattern(self.seed, lba, version)).take(SECTOR_SIZE / WORD - 2);
        for (number, expected) in whole {
            if word(sector, number) != Some(expected) {
                return Found::Other;
            }
        }
        Found::Stamp { lba, version }
    }
}

/// Fills a sector so that every byte of it tells run, place and version.
fn stamp(sector: &mut [u8], seed: u64, lba: u64, version: u32) {
    let words = [lba, u64::from(version)].into_iter().chain(pattern(seed, lba, version));
    for (bytes, word) in sector.chunks_exact_mut(WORD).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

fn pattern(seed: u64, lba: u64, version: u32) -> impl Iterator<Item = u64> {
    let mut chance = Chance::new(seed ^ lba.rotate_left(32) ^ u64::from(version).rotate_left(17));
    std::iter::repeat_with(move || chance.next())
}

fn word(sector: &[u8], number: usize) -> Option<u64> {
    let bytes = sector.get(number * WORD..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Extent = Extent::new(80, 2);

    fn written(ledger: &mut Ledger) -> Vec<u8> {
        let mut data = vec![0; AT.bytes()];
        assert!(ledger.begin_write(10, AT, &mut data));
        data
    }

    #[test]
    fn what_was_acknowledged_is_what_may_be_read() {
        let mut ledger = Ledger::new(1);
        let data = written(&mut ledger);
        ledger.end_write(10, true);
        let oldest = ledger.begin_read(10);
        assert_eq!(ledger.end_read(10, oldest, AT, &data), Ok(true));
    }

    #[test]
    fn a_lost_write_is_found() {
        let mut ledger = Ledger::new(1);
        let first = written(&mut ledger);
        ledger.end_write(10, true);
        let _second = written(&mut ledger);
        ledger.end_write(10, true);
        let oldest = ledger.begin_read(10);
        let found = Found::Stamp { lba: 80, version: 1 };
        assert_eq!(
            ledger.end_read(10, oldest, AT, &first),
            Err(Mismatch { lba: 80, oldest: 2, newest: 2, found })
        );
    }

    #[test]
    fn a_read_beside_a_write_may_return_either_version_in_each_sector() {
        let mut ledger = Ledger::new(1);
        let first = written(&mut ledger);
        ledger.end_write(10, true);
        let oldest = ledger.begin_read(10);
        let second = written(&mut ledger);
        let torn = [&first[..512], &second[512..]].concat();
        assert_eq!(ledger.end_read(10, oldest, AT, &torn), Ok(true));
        assert_eq!(ledger.end_read(10, oldest, AT, &second), Ok(true));
    }

    #[test]
    fn one_wrong_bit_or_a_sector_in_the_wrong_place_is_found() {
        let mut ledger = Ledger::new(1);
        let data = written(&mut ledger);
        ledger.end_write(10, true);
        let wrong = |data: &[u8]| ledger.end_read(10, 1, AT, data).expect_err("a mismatch");
        for byte in [0, 9, 16, 511, 512, 1023] {
            let mut data = data.clone();
            data[byte] ^= 4;
            assert_eq!(wrong(&data).lba, 80 + byte as u64 / 512, "byte {byte}");
        }
        let swapped = [&data[512..], &data[..512]].concat();
        assert_eq!(wrong(&swapped).found, Found::Stamp { lba: 81, version: 1 });
        assert_eq!(wrong(&vec![0; AT.bytes()]).found, Found::Other);
    }

    #[test]
    fn what_another_run_wrote_is_foreign() {
        let data = written(&mut Ledger::new(1));
        let mut ledger = Ledger::new(2);
        let _ = written(&mut ledger);
        ledger.end_write(10, true);
        assert_eq!(ledger.end_read(10, 1, AT, &data).map_err(|wrong| wrong.found), Err(Found::Other));
    }

    #[test]
    fn what_was_not_written_here_is_not_judged() {
        let mut ledger = Ledger::new(1);
        assert_eq!(ledger.begin_read(10), 0);
        assert_eq!(ledger.end_read(10, 0, AT, &vec![7; AT.bytes()]), Ok(false));
        let _ = written(&mut ledger);
        assert_eq!(ledger.begin_read(10), 0, "not acknowledged yet");
    }

    #[test]
    fn one_write_of_a_block_at_a_time_and_none_after_a_failed_one() {
        let mut ledger = Ledger::new(1);
        let mut other = written(&mut ledger);
        assert!(!ledger.begin_write(10, AT, &mut other));
        ledger.end_write(10, false);
        assert!(!ledger.begin_write(10, AT, &mut other));
        assert_eq!(ledger.end_read(10, 1, AT, &vec![0; AT.bytes()]), Ok(false));
    }
}
