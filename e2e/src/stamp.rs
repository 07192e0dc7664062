//! Sectors that say which write they are of, and what is known of each: what must be on the disk after a power cut.

use crate::SECTOR;
use crate::rng::Rng;

/// The content that write number `stamp` gives to sector `lba`. Write 0 is the state before all others: zeros.
#[must_use]
pub fn content(stamp: u64, lba: u64) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    if stamp != 0 {
        let mut rng = Rng::new(stamp.rotate_left(32) ^ lba);
        rng.fill(&mut sector[16..]);
        sector[..8].copy_from_slice(&stamp.to_le_bytes());
        sector[8..16].copy_from_slice(&lba.to_le_bytes());
    }
    sector
}

/// The write that a sector is of; none if it is of none as a whole: torn, or another sector's.
#[must_use]
pub fn stamp_of(sector: &[u8], lba: u64) -> Option<u64> {
    let stamp = u64::from_le_bytes(sector.get(..8)?.try_into().ok()?);
    (sector == content(stamp, lba)).then_some(stamp)
}

/// What was done with one sector. The numbers are those of writes, and grow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sector {
    /// The last write that was sent.
    pub sent: u64,
    /// The last write that was answered.
    pub answered: u64,
    /// The last write that was answered before a flush was sent that was answered, too.
    pub flushed: u64,
}

/// What an answer to a write promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The write is on stable storage.
    Write,
    /// It is there after the next flush.
    Flush,
}

/// What became of the sectors.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Sectors that were promised, whole and no older than promised.
    pub kept: usize,
    /// Sectors that are older than was promised.
    pub lost: Vec<u64>,
    /// Sectors that are of no write, or of one that was not sent.
    pub torn: Vec<u64>,
    /// Sectors of which an answered write is not there that was not promised to be.
    pub forgotten: usize,
}

/// Compares an image with what is known of its sectors.
#[must_use]
pub fn judge(image: &[u8], sectors: &[Sector], promise: Promise) -> Verdict {
    let mut verdict = Verdict::default();
    for (lba, (known, found)) in sectors.iter().zip(image.chunks(SECTOR)).enumerate() {
        let lba = lba as u64;
        let promised = if promise == Promise::Write { known.answered } else { known.flushed };
        match stamp_of(found, lba) {
            Some(stamp) if stamp > known.sent => verdict.torn.push(lba),
            Some(stamp) if stamp < promised => verdict.lost.push(lba),
            Some(stamp) => {
                verdict.kept += usize::from(promised > 0);
                verdict.forgotten += usize::from(stamp < known.answered);
            }
            None => verdict.torn.push(lba),
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sector of which writes 1 to 5 were sent, 1 to 3 answered, 1 flushed, with this content.
    fn verdict(content: [u8; SECTOR], promise: Promise) -> Verdict {
        judge(&content, &[Sector { sent: 5, answered: 3, flushed: 1 }], promise)
    }

    #[test]
    fn what_was_promised_must_be_there_and_what_is_newer_may() {
        for (stamp, by_write, by_flush) in
            [(0, true, true), (1, true, false), (2, true, false), (3, false, false), (5, false, false)]
        {
            let lost = |promise| !verdict(content(stamp, 0), promise).lost.is_empty();
            assert_eq!((lost(Promise::Write), lost(Promise::Flush)), (by_write, by_flush), "write {stamp}");
        }
        assert_eq!(verdict(content(1, 0), Promise::Flush).forgotten, 1);
        assert_eq!(verdict(content(3, 0), Promise::Flush).forgotten, 0);
    }

    #[test]
    fn a_sector_of_no_write_or_of_two_is_torn() {
        let (old, new) = (content(3, 0), content(4, 0));
        let mut torn = old;
        torn[256..].copy_from_slice(&new[256..]);
        for content in [torn, content(3, 1), content(6, 0), [1; SECTOR]] {
            assert_eq!(verdict(content, Promise::Write).torn, [0]);
        }
    }
}
