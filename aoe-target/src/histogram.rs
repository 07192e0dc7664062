//! How long requests took: [`Histogram`].

use std::time::Duration;

/// Bounds that a [`Histogram`] has; one more bucket holds what is beyond the last.
const BOUNDS: usize = 25;

/// Times in buckets whose bounds are powers of two of a microsecond: at most 1 us, 2 us, 4 us, and so on to 16.8 s, and longer.
///
/// It counts from the [turn](crate::Server::turn) that took a request to the turn that answers it, so a request that the disk answers
/// in the same turn is in the first bucket. What is in it: waiting for earlier requests with a sector in common, for a limit, for room
/// in the disk's queue, and the disk. What is not: the time that the frame waited at the link before a turn (in the kernel's ring), and
/// that the reply waits for the link to send it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BOUNDS + 1],
    /// Of all times, in nanoseconds.
    sum: u64,
}

impl Histogram {
    /// How many times there are in each bucket, those of the others not included.
    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// The longest time that bucket number `bucket` holds; `None` for the last, which has no bound.
    #[must_use]
    pub fn bound(bucket: usize) -> Option<Duration> {
        (bucket < BOUNDS).then(|| Duration::from_micros(1 << bucket))
    }

    /// How many times there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All times together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// A time that a share of `q` (0 to 1) did not exceed: the bound of the bucket in which the share is reached, which is less than
    /// twice the true one. The last bound where that is in the bucket without one; `None` when there is nothing.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of so many is not wanted exactly")]
        let reached = |below: u64| below as f64 >= q * count as f64;
        let mut below = 0;
        let bucket = self.buckets.iter().position(|in_it| {
            below += in_it;
            below != 0 && reached(below)
        });
        Self::bound(bucket.unwrap_or(BOUNDS).min(BOUNDS - 1))
    }

    /// Adds a time in nanoseconds.
    pub(crate) fn record(&mut self, nanos: u64) {
        if nanos == 0 {
            self.buckets[0] += 1;
            return;
        }
        // The number of binary digits of the microseconds, rounded up, less one.
        let above = nanos.div_ceil(1000).saturating_sub(1);
        let bucket = (u64::BITS - above.leading_zeros()) as usize;
        self.buckets[bucket.min(BOUNDS)] += 1;
        self.sum = self.sum.saturating_add(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|nanos| histogram.record(*nanos));
        histogram
    }

    #[test]
    fn each_bucket_holds_its_bound_and_nothing_longer() {
        for bucket in 0..BOUNDS {
            let bound = Histogram::bound(bucket).unwrap().as_nanos() as u64;
            assert_eq!(of(&[bound]).buckets()[bucket], 1, "{bound}");
            assert_eq!(of(&[bound + 1]).buckets()[bucket + 1], 1, "{bound}");
        }
        assert_eq!(of(&[0]).buckets()[0], 1);
        assert_eq!(of(&[u64::MAX]).buckets()[BOUNDS], 1);
        assert_eq!(Histogram::bound(BOUNDS), None);
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_where_the_share_is_reached() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let mut times = vec![900; 98];
        times.extend([3_000, 100_000]);
        let histogram = of(&times);
        let micros = |q| histogram.quantile(q).unwrap().as_micros();
        assert_eq!([0.0, 0.5, 0.98, 0.99, 1.0].map(micros), [1, 1, 1, 4, 128]);
        assert_eq!((histogram.count(), histogram.sum()), (100, Duration::from_nanos(98 * 900 + 103_000)));
        assert_eq!(of(&[u64::MAX]).quantile(0.5), Histogram::bound(BOUNDS - 1));
    }
}
