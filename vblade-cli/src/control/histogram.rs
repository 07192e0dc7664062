//! Latencies, counted in buckets: quantiles, and what happened between two looks.

use serde::{Deserialize, Serialize};

/// Counts by power-of-two microseconds: bucket 0 is below 1 us, bucket n is from 2^(n-1) to below 2^n us, the last has all beyond.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Not summed up.
    pub buckets: Vec<u64>,
    /// Microseconds, summed.
    pub sum_us: u64,
    /// Of all buckets.
    pub count: u64,
}

impl Histogram {
    /// The upper bound in seconds of bucket `n`, none of the last.
    #[must_use]
    pub fn bound(&self, n: usize) -> Option<f64> {
        let is_last = n + 1 >= self.buckets.len();
        (!is_last).then(|| 2f64.powi(i32::try_from(n).unwrap_or(i32::MAX)) / 1e6)
    }

    /// The time in seconds that the share `q` (0 to 1) took at most, as exact as the buckets are; none when nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().fold(0, |sum, n| sum.saturating_add(*n));
        let rank = (q.clamp(0.0, 1.0) * total as f64).ceil().max(1.0);
        let mut seen = 0.0;
        for (n, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            seen += *count as f64;
            if seen >= rank {
                // All that is known of the last bucket is where it begins.
                return self.bound(n).or_else(|| self.bound(n.saturating_sub(1))).or(Some(0.0));
            }
        }
        None
    }

    /// What was counted since `earlier`: everything, if that is of another life of the export.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let same = self.count >= earlier.count && self.buckets.len() == earlier.buckets.len();
        if !same {
            return self.clone();
        }
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
            count: self.count - earlier.count,
        }
    }

    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let len = self.buckets.len().max(other.buckets.len());
        let at = |of: &Self, n: usize| of.buckets.get(n).copied().unwrap_or(0);
        Self {
            buckets: (0..len).map(|n| at(self, n).saturating_add(at(other, n))).collect(),
            sum_us: self.sum_us.saturating_add(other.sum_us),
            count: self.count.saturating_add(other.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(buckets: &[u64]) -> Histogram {
        Histogram { buckets: buckets.to_vec(), sum_us: 0, count: buckets.iter().sum() }
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_it_falls_into() {
        let histogram = of(&[0, 98, 0, 1, 1]);
        assert_eq!(histogram.quantile(0.5), Some(2e-6));
        assert_eq!(histogram.quantile(0.98), Some(2e-6));
        assert_eq!(histogram.quantile(0.99), Some(8e-6));
        assert_eq!(histogram.quantile(1.0), Some(8e-6), "beyond the last bound nothing is known");
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[0, 0]).quantile(0.5), None);
        assert_eq!(of(&[3]).quantile(0.5), Some(0.0), "a single bucket has no bound");
    }

    #[test]
    fn what_happened_between_is_the_difference_and_after_a_restart_everything() {
        assert_eq!(of(&[5, 9]).since(&of(&[2, 9])).buckets, [3, 0]);
        assert_eq!(of(&[1, 1]).since(&of(&[2, 9])).buckets, [1, 1]);
        assert_eq!(of(&[1, 1]).since(&of(&[1])).buckets, [1, 1]);
        assert_eq!(of(&[1]).with(&of(&[2, 3])).buckets, [3, 3]);
    }
}
