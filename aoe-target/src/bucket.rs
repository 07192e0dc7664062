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
        let token = Duration::from_secs(1) / self.per_second;
        let earned = now.saturating_sub(self.filled).as_nanos() / token.as_nanos().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.filled += token.saturating_mul(earned);
        self.tokens = earned.saturating_add(self.tokens).min(self.per_second);
    }

    /// Whether there is a token.
    pub(crate) fn has_any(&self) -> bool {
        self.tokens != 0
    }

    /// Takes `count` tokens, or all that there are.
    pub(crate) fn spend(&mut self, count: usize) {
        self.tokens = self.tokens.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a token, if there is one.
    fn take(bucket: &mut Bucket) -> bool {
        let any = bucket.has_any();
        bucket.spend(1);
        any
    }

    #[test]
    fn a_second_gives_a_seconds_worth_and_never_more_than_that_at_once() {
        let mut bucket = Bucket::new(3);
        assert_eq!([(); 4].map(|()| take(&mut bucket)), [true, true, true, false]);
        bucket.refill(Duration::from_millis(400));
        assert_eq!([(); 2].map(|()| take(&mut bucket)), [true, false]);
        bucket.refill(Duration::from_secs(100));
        assert_eq!([(); 4].map(|()| take(&mut bucket)), [true, true, true, false]);
    }

    #[test]
    fn time_too_short_for_a_token_is_not_lost() {
        let mut bucket = Bucket::new(2);
        while take(&mut bucket) {}
        for step in 1..=10 {
            bucket.refill(Duration::from_millis(step * 50));
        }
        assert!(take(&mut bucket));
    }
}
