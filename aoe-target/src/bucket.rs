//! A token bucket: so much a second, and some of it at once.

use std::time::Duration;

use crate::late::nanos;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// The time that earns one, and the time whose earnings may be spent at once, which is no shorter.
    one: u64,
    burst: u64,
    /// The time that what was spent takes to be earned again. What is spent may exceed what there is, and is then waited for.
    spent: u64,
    /// Up to when time was taken into account.
    filled: u64,
}

impl Bucket {
    pub(crate) fn new(per_second: u64, burst: Duration) -> Self {
        let one = SECOND / per_second.max(1);
        Self { per_second: per_second.max(1), one, burst: nanos(burst).max(one), spent: 0, filled: 0 }
    }

    /// Fills in what the time since the last call has earned. `now` is in nanoseconds.
    pub(crate) fn refill(&mut self, now: u64) {
        self.spent = self.spent.saturating_sub(now.saturating_sub(self.filled));
        self.filled = now;
    }

    /// Whether there is one.
    pub(crate) fn has_any(&self) -> bool {
        self.spent.saturating_add(self.one) <= self.burst
    }

    /// Spends `count`, also when there are not so many.
    pub(crate) fn spend(&mut self, count: usize) {
        let time = (count as u64).saturating_mul(SECOND) / self.per_second;
        self.spent = self.spent.saturating_add(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Takes a token, if there is one.
    fn take(bucket: &mut Bucket) -> bool {
        let any = bucket.has_any();
        bucket.spend(usize::from(any));
        any
    }

    #[test]
    fn a_second_gives_a_seconds_worth_and_never_more_than_that_at_once() {
        let mut bucket = Bucket::new(3, Duration::from_secs(1));
        assert_eq!([(); 4].map(|()| take(&mut bucket)), [true, true, true, false]);
        bucket.refill(400 * MS);
        assert_eq!([(); 2].map(|()| take(&mut bucket)), [true, false]);
        bucket.refill(100_000 * MS);
        assert_eq!([(); 4].map(|()| take(&mut bucket)), [true, true, true, false]);
    }

    #[test]
    fn time_too_short_for_a_token_is_not_lost() {
        let mut bucket = Bucket::new(2, Duration::from_secs(1));
        assert_eq!((0..10).filter(|_| take(&mut bucket)).count(), 2);
        for step in 1..=10 {
            bucket.refill(step * 50 * MS);
        }
        assert!(take(&mut bucket));
    }

    #[test]
    fn one_is_there_after_a_rest_however_short_the_burst() {
        let mut bucket = Bucket::new(5, Duration::from_millis(100));
        assert_eq!([(); 2].map(|()| take(&mut bucket)), [true, false]);
        bucket.refill(199 * MS);
        assert!(!take(&mut bucket));
        bucket.refill(200 * MS);
        assert!(take(&mut bucket));
    }

    #[test]
    fn what_is_spent_beyond_the_rest_is_waited_for() {
        let mut bucket = Bucket::new(1000, Duration::from_millis(100));
        bucket.spend(600);
        bucket.refill(500 * MS);
        assert!(!bucket.has_any());
        bucket.refill(501 * MS);
        assert!(take(&mut bucket) && !take(&mut bucket));
        bucket.spend(usize::MAX);
        bucket.refill(u64::MAX);
        assert!(bucket.has_any());
    }
}
