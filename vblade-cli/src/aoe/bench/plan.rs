//! What a benchmark asks next: [`Plan`].

use bdev::Extent;

use crate::range::Sectors;

/// Requests of one size, aligned to it, in the order and mix that were chosen.
#[derive(Debug)]
pub(crate) struct Plan {
    range: Sectors,
    sectors: u8,
    /// Whole requests that the range has room for, at least 1.
    blocks: u64,
    read_percent: u8,
    random: bool,
    chance: Chance,
    next: u64,
}

/// One request to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) write: bool,
    /// Number of the block; its sectors are those of `extent`.
    pub(crate) block: u64,
    pub(crate) extent: Extent,
}

impl Plan {
    /// `None` when `range` has no room for one request of `sectors`, or these are 0.
    pub(crate) fn new(
        range: Sectors,
        sectors: u8,
        read_percent: u8,
        random: bool,
        seed: u64,
    ) -> Option<Self> {
        let blocks = range.count().checked_div(u64::from(sectors)).filter(|blocks| *blocks > 0)?;
        Some(Self { range, sectors, blocks, read_percent, random, chance: Chance::new(seed), next: 0 })
    }

    pub(crate) fn step(&mut self) -> Step {
        let write = match self.read_percent {
            100.. => false,
            0 => true,
            percent => self.chance.below(100) >= u64::from(percent),
        };
        let block = if self.random {
            self.chance.below(self.blocks)
        } else {
            let block = self.next;
            self.next = if block + 1 == self.blocks { 0 } else { block + 1 };
            block
        };
        let lba = self.range.start + block * u64::from(self.sectors);
        Step { write, block, extent: Extent::new(lba, u32::from(self.sectors)) }
    }
}

/// Random numbers that are the same for the same seed: xorshift64* (Vigna 2016).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // The generator stays at 0 for ever when it is there; a multiplication by an odd number spreads seeds that are alike.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, each about as likely; 0 if the limit is.
    fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        (wide >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(read_percent: u8, random: bool) -> Plan {
        Plan::new(Sectors { start: 7, end: 7 + 35 }, 8, read_percent, random, 1).expect("room")
    }

    #[test]
    fn a_sequential_plan_begins_again_at_the_end_and_leaves_out_what_fills_no_request() {
        let mut plan = plan(100, false);
        let lbas: Vec<_> = (0..6).map(|_| plan.step().extent.lba).collect();
        assert_eq!(lbas, [7, 15, 23, 31, 7, 15]);
    }

    #[test]
    fn a_random_plan_reaches_every_block_and_nothing_beyond() {
        let mut plan = plan(100, true);
        let mut seen = [0; 4];
        for _ in 0..400 {
            let step = plan.step();
            assert_eq!((step.extent.lba, step.extent.sectors), (7 + step.block * 8, 8));
            seen[usize::try_from(step.block).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| (60..140).contains(count)), "{seen:?}");
    }

    #[test]
    fn the_mix_is_as_asked() {
        for (percent, writes) in [(100, 0..=0), (0, 1000..=1000), (70, 240..=360)] {
            let mut plan = plan(percent, false);
            let count = (0..1000).filter(|_| plan.step().write).count();
            assert!(writes.contains(&count), "{percent}: {count}");
        }
    }

    #[test]
    fn a_range_without_room_for_a_request_has_no_plan() {
        assert!(Plan::new(Sectors { start: 0, end: 7 }, 8, 100, false, 1).is_none());
        assert!(Plan::new(Sectors { start: 0, end: 7 }, 0, 100, false, 1).is_none());
    }

    #[test]
    fn a_seed_repeats_its_numbers_and_another_has_others() {
        let numbers = |seed| {
            let mut chance = Chance::new(seed);
            [chance.next(), chance.next()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert_ne!(numbers(0)[0], numbers(0)[1]);
    }
}
