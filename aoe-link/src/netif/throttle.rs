//! Speaks of a recurring trouble once a minute.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Option<Instant>,
    unsaid: u64,
}

impl Throttle {
    /// Whether to speak now: the number of times that were passed over since the last.
    pub(super) fn pass(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_next_are_counted() {
        let mut throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!(throttle.pass(), None);
        assert_eq!(throttle.pass(), None);
        throttle.last = throttle.last.and_then(|last| last.checked_sub(PAUSE));
        assert_eq!(throttle.pass(), Some(2));
    }
}
