//! Which sectors a command is about, and which of them are done: [`Sectors`], [`DoneMap`].

use std::fmt;

use bdev::{Extent, SECTOR_SIZE};

/// The sectors from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sectors {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Why `--offset` and `--length` choose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    #[error("--offset {offset} is at or beyond the end, which is at {size} sectors; give a smaller one")]
    Offset { offset: u64, size: u64 },
    #[error(
        "--length {length} reaches beyond the end: there are {left} sectors from {offset} on; give no more than that"
    )]
    Length { length: u64, offset: u64, left: u64 },
    #[error("--length 0 chooses no sector; give at least 1, or leave it out for all that follow")]
    Empty,
    #[error("there is no sector to choose from")]
    NoSectors,
}

impl Sectors {
    /// What `--offset` and `--length` choose of `size` sectors; without a length, all after the offset.
    pub(crate) fn choose(offset: u64, length: Option<u64>, size: u64) -> Result<Self, RangeError> {
        let left = match size.checked_sub(offset) {
            _ if size == 0 => return Err(RangeError::NoSectors),
            None | Some(0) => return Err(RangeError::Offset { offset, size }),
            Some(left) => left,
        };
        match length {
            Some(0) => Err(RangeError::Empty),
            Some(length) if length > left => Err(RangeError::Length { length, offset, left }),
            Some(length) => Ok(Self { start: offset, end: offset.saturating_add(length) }),
            None => Ok(Self { start: offset, end: size }),
        }
    }

    pub(crate) fn count(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(crate) fn bytes(self) -> u64 {
        self.count().saturating_mul(SECTOR_SIZE as u64)
    }

    /// At most `sectors` of them, from `at` on, up to the next multiple of `sectors`; `None` at the end. So a range that begins
    /// anywhere is walked in steps that pages and drives like.
    pub(crate) fn step(self, at: u64, sectors: u32) -> Option<Extent> {
        let left = self.end.checked_sub(at).filter(|left| *left > 0)?;
        let to_boundary = u64::from(sectors) - at % u64::from(sectors);
        let count = u32::try_from(left.min(to_boundary)).unwrap_or(sectors);
        Some(Extent::new(at, count))
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            0 => f.write_str("no sector"),
            1 => write!(f, "sector {}", self.start),
            _ => write!(f, "sectors {} to {}", self.start, self.end - 1),
        }
    }
}

/// What is done of a range whose parts end in any order.
#[derive(Clone, Debug)]
pub(crate) struct DoneMap {
    start: u64,
    contiguous: u64,
    /// Done, and not yet reached by `contiguous`: as many as are in flight at most.
    ahead: Vec<Extent>,
}

impl DoneMap {
    pub(crate) fn new(start: u64) -> Self {
        Self { start, contiguous: start, ahead: Vec::new() }
    }

    /// `extent` is done.
    pub(crate) fn mark(&mut self, extent: Extent) {
        self.ahead.push(extent);
        while let Some(next) = self.ahead.iter().position(|done| done.lba <= self.contiguous) {
            self.contiguous = self.contiguous.max(self.ahead.swap_remove(next).end());
        }
    }

    /// All before this sector, from the start on, are done.
    pub(crate) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// Sectors that are done, with those beyond a gap.
    pub(crate) fn count(&self) -> u64 {
        let ahead: u64 = self.ahead.iter().map(|extent| u64::from(extent.sectors)).sum();
        self.contiguous - self.start + ahead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_length_all_after_the_offset_is_chosen() {
        assert_eq!(Sectors::choose(0, None, 10), Ok(Sectors { start: 0, end: 10 }));
        assert_eq!(Sectors::choose(4, None, 10), Ok(Sectors { start: 4, end: 10 }));
        assert_eq!(Sectors::choose(4, Some(6), 10), Ok(Sectors { start: 4, end: 10 }));
    }

    #[test]
    fn a_choice_of_nothing_or_beyond_the_end_is_refused_for_its_own_reason() {
        assert_eq!(Sectors::choose(10, None, 10), Err(RangeError::Offset { offset: 10, size: 10 }));
        assert_eq!(
            Sectors::choose(u64::MAX, Some(1), 10),
            Err(RangeError::Offset { offset: u64::MAX, size: 10 })
        );
        assert_eq!(
            Sectors::choose(4, Some(7), 10),
            Err(RangeError::Length { length: 7, offset: 4, left: 6 })
        );
        assert_eq!(
            Sectors::choose(1, Some(u64::MAX), 10),
            Err(RangeError::Length { length: u64::MAX, offset: 1, left: 9 })
        );
        assert_eq!(Sectors::choose(0, Some(0), 10), Err(RangeError::Empty));
        assert_eq!(Sectors::choose(0, None, 0), Err(RangeError::NoSectors));
    }

    #[test]
    fn a_range_is_walked_in_aligned_steps() {
        let range = Sectors { start: 5, end: 21 };
        let mut steps = Vec::new();
        let mut at = range.start;
        while let Some(step) = range.step(at, 8) {
            steps.push((step.lba, step.sectors));
            at = step.end();
        }
        assert_eq!(steps, [(5, 3), (8, 8), (16, 5)]);
    }

    #[test]
    fn a_part_that_ends_early_counts_but_does_not_move_the_contiguous_end() {
        let mut map = DoneMap::new(100);
        map.mark(Extent::new(108, 8));
        assert_eq!((map.contiguous(), map.count()), (100, 8));
        map.mark(Extent::new(100, 8));
        assert_eq!((map.contiguous(), map.count()), (116, 16));
    }

    #[test]
    fn ranges_name_their_first_and_last_sector() {
        assert_eq!(Sectors { start: 0, end: 8 }.to_string(), "sectors 0 to 7");
        assert_eq!(Sectors { start: 3, end: 4 }.to_string(), "sector 3");
        assert_eq!(Sectors { start: 3, end: 3 }.to_string(), "no sector");
    }

    proptest! {
        #[test]
        fn whatever_the_order_the_contiguous_end_is_that_of_a_set_of_sectors(
            start in 0u64..1000,
            order in Just((0u64..40).collect::<Vec<_>>()).prop_shuffle(),
            until in 0usize..=40,
        ) {
            let mut map = DoneMap::new(start);
            let mut model = [false; 41];
            for &part in &order[..until] {
                map.mark(Extent::new(start + part * 3, 3));
                model[usize::try_from(part).unwrap()] = true;
            }
            let first_gap = model.iter().position(|done| !done).unwrap() as u64;
            prop_assert_eq!(map.contiguous(), start + first_gap * 3);
            prop_assert_eq!(map.count(), until as u64 * 3);
        }
    }
}
