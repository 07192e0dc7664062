//! A token bucket: so many events a second, with a second's worth at once.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    tokens: u32,
    /// Up to when tokens were filled in.
    filled: Duration,
}

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, tokens: per_second, filled: Duration::ZERO }
    }

    /// Fills in what the time since the last call has earned.
    pub(crate) fn refill(&mut self, now: Duration) {
        if self.tokens >= self.per_second {
            self.filled = now;
            return;
        }
        let passed = now.saturating_sub(self.filled);
        let earned = passed.as_micros().saturating_mul(self.per_second.into()) / 1_000_000;
        if earned == 0 {
            return;
        }
        self.filled = now;
        self.tokens =
            u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(self.tokens).min(self.per_second);
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let taken = self.tokens.checked_sub(1);
        self.tokens = taken.unwrap_or(0);
        taken.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_a_seconds_worth_and_never_more_than_that_at_once() {
        let mut bucket = Bucket::new(3);
        assert_eq!([(); 4].map(|()| bucket.take()), [true, true, true, false]);
        bucket.refill(Duration::from_millis(400));
        assert_eq!([(); 2].map(|()| bucket.take()), [true, false]);
        bucket.refill(Duration::from_secs(100));
        assert_eq!([(); 4].map(|()| bucket.take()), [true, true, true, false]);
    }

    #[test]
    fn time_too_short_for_a_token_is_not_lost() {
        let mut bucket = Bucket::new(2);
        while bucket.take() {}
        for step in 1..=10 {
            bucket.refill(Duration::from_millis(step * 50));
        }
        assert!(bucket.take());
    }
}
