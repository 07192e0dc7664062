//! Repeatable chance: [`Chance`].

use std::time::Duration;

/// A generator of numbers that a seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Begins the sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number; any of 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something happens that happens this often in a thousand. What never happens draws no number.
    pub fn happens(&mut self, per_mille: u16) -> bool {
        per_mille != 0 && self.below(1000) < per_mille.into()
    }

    /// A time of at least `min` and at most `max`.
    pub fn time(&mut self, min: Duration, max: Duration) -> Duration {
        let span = max.saturating_sub(min).as_nanos() as u64;
        if span == 0 { min } else { min + Duration::from_nanos(self.below(span + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_sequence() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            [0; 8].map(|_| chance.number())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn what_happens_300_times_in_a_thousand_does() {
        let mut chance = Chance::new(5);
        let times = (0..100_000).filter(|_| chance.happens(300)).count();
        assert!((29_000..31_000).contains(&times), "{times}");
        assert!(!(0..1000).any(|_| chance.happens(0)));
        assert!((0..1000).all(|_| chance.happens(1000)));
    }

    #[test]
    fn times_lie_within_their_bounds_and_reach_both() {
        let mut chance = Chance::new(5);
        let (min, max) = (Duration::from_nanos(3), Duration::from_nanos(5));
        let drawn: Vec<_> = (0..100).map(|_| chance.time(min, max)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&min), Some(&max)));
        assert_eq!(chance.time(max, min), max);
    }
}
