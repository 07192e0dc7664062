//! Log lines for failed transfers, few enough that a dying disk does not fill the log.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::transfer::Cause;
use crate::Extent;

/// Lines in one [`PERIOD`].
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// For how long the failure of one place is not said again, of so many places.
const MEMORY: Duration = Duration::from_secs(60);
const PLACES: usize = 64;

/// Says what failed.
#[derive(Debug, Default)]
pub(super) struct Report {
    limiter: Mutex<Limiter>,
}

impl Report {
    /// One request failed.
    pub(super) fn failure(&self, path: &Path, what: &'static str, extent: Extent, cause: &Cause) {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = limiter.admit(Instant::now(), (what, extent.lba));
        drop(limiter);
        let Some(left_out) = admitted else { return };
        tracing::warn!(
            path = %path.display(),
            lba = extent.lba,
            sectors = extent.sectors,
            errno = cause.errno(),
            left_out = (left_out > 0).then_some(left_out),
            "{what} failed: {cause}"
        );
    }

    /// Data that was written is lost. Comes once.
    pub(super) fn lost(&self, path: &Path, cause: &Cause) {
        tracing::error!(
            path = %path.display(),
            errno = cause.errno(),
            "flush failed, data already written may be lost: {cause}; every flush fails from now on, until the disk is opened anew"
        );
    }
}

/// Lets through [`LINES`] in every [`PERIOD`], each place once in [`MEMORY`], and counts the rest: an initiator tries a bad sector again
/// and again.
#[derive(Debug, Default)]
struct Limiter {
    since: Option<Instant>,
    lines: u32,
    said: VecDeque<(Instant, Place)>,
    left_out: u64,
}

/// An operation and a sector.
type Place = (&'static str, u64);

impl Limiter {
    /// Whether to write a line about `place` at `now`; if so, how many were left out since the last.
    fn admit(&mut self, now: Instant, place: Place) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            self.since = Some(now);
            self.lines = 0;
        }
        self.said.retain(|(at, _)| now.saturating_duration_since(*at) < MEMORY);
        if self.lines >= LINES || self.said.iter().any(|(_, said)| *said == place) {
            self.left_out += 1;
            return None;
        }
        if self.said.len() == PLACES {
            self.said.pop_front();
        }
        self.said.push_back((now, place));
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_pass_and_the_next_one_counts_those_left_out() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let passed = (0..25).filter(|lba| limiter.admit(start, ("read", *lba)).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(limiter.admit(start + Duration::from_millis(999), ("read", 30)), None);
        assert_eq!(limiter.admit(start + Duration::from_secs(1), ("read", 31)), Some(16));
        assert_eq!(limiter.admit(start + Duration::from_secs(1), ("read", 32)), Some(0));
    }

    #[test]
    fn a_sector_that_fails_again_and_again_is_said_once_a_minute() {
        let mut limiter = Limiter::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limiter.admit(at(0), ("read", 7)), Some(0));
        assert!((1..60).all(|second| limiter.admit(at(second), ("read", 7)).is_none()));
        assert_eq!(limiter.admit(at(59), ("write", 7)), Some(59), "another operation is another failure");
        assert_eq!(limiter.admit(at(60), ("read", 7)), Some(0));
    }
}
