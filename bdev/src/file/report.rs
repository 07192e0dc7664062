//! Log lines for failed transfers, few enough that a dying disk does not fill the log.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::transfer::Cause;
use crate::Extent;

/// Lines in one [`PERIOD`].
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Says what failed.
#[derive(Debug, Default)]
pub(super) struct Report {
    limiter: Mutex<Limiter>,
}

impl Report {
    /// One request failed.
    pub(super) fn failure(&self, path: &Path, what: &str, extent: Extent, cause: &Cause) {
        let admitted = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
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

/// Lets through [`LINES`] in every [`PERIOD`] and counts the rest.
#[derive(Debug, Default)]
struct Limiter {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Limiter {
    /// Whether to write a line at `now`; if so, how many were left out since the last.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PERIOD) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES {
            self.left_out += 1;
            return None;
        }
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
        let passed = (0..25).filter(|_| limiter.admit(start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(limiter.admit(start + Duration::from_millis(999)), None);
        assert_eq!(limiter.admit(start + Duration::from_secs(1)), Some(16));
        assert_eq!(limiter.admit(start + Duration::from_secs(1)), Some(0));
    }
}
