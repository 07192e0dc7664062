//! What a benchmark has measured: [`Tally`], and how it is told, [`Report`].

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are kept in nanoseconds with three digits, up to this; what takes longer counts as this long.
const LONGEST: Duration = Duration::from_secs(600);

/// Seconds of waiting for the last replies that are worth a line.
const NOTABLE: f64 = 0.1;

/// Replies of one kind.
#[derive(Debug)]
pub(crate) struct Tally {
    latencies: Histogram<u64>,
    /// Bytes that were asked for and came.
    bytes: u64,
    errors: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        // All of its memory is taken here, none later.
        let latencies =
            Histogram::new_with_bounds(1, longest, 3).expect("bounds that are in order, and digits up to 5");
        Self { latencies, bytes: 0, errors: 0 }
    }

    pub(crate) fn ok(&mut self, latency: Duration, bytes: usize) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.bytes += bytes as u64;
    }

    pub(crate) fn error(&mut self) {
        self.errors += 1;
    }

    pub(crate) fn replies(&self) -> u64 {
        self.latencies.len()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn side(&self, elapsed: Duration) -> Option<Side> {
        if self.replies() == 0 && self.errors == 0 {
            return None;
        }
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        let at = |percentile| microseconds(self.latencies.value_at_percentile(percentile));
        Some(Side {
            replies: self.replies(),
            errors: self.errors,
            replies_per_second: per_second(self.replies(), elapsed),
            mb_per_second: per_second(self.bytes, elapsed) / 1e6,
            latency_us: Latency {
                mean: self.latencies.mean() / 1e3,
                p50: at(50.0),
                p90: at(90.0),
                p99: at(99.0),
                p99_9: at(99.9),
                max: microseconds(self.latencies.max()),
            },
        })
    }
}

/// What happened on the way, beyond the replies that counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Trouble {
    /// Requests that were sent again.
    pub(crate) retransmits: u64,
    /// Times that a reply was given up waiting for.
    pub(crate) timeouts: u64,
    /// Replies to an earlier sending.
    pub(crate) late: u64,
    /// Replies that contradicted their request.
    pub(crate) malformed: u64,
}

/// What was asked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    pub(crate) target: String,
    pub(crate) window: u16,
    pub(crate) sectors: u8,
    pub(crate) read_percent: u8,
    pub(crate) order: &'static str,
    pub(crate) first_sector: u64,
    pub(crate) end_sector: u64,
    pub(crate) verified: bool,
}

/// The result of a benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    setting: Setting,
    seconds: f64,
    /// Those of them at the end in which the last replies were waited for.
    draining_seconds: f64,
    interrupted: bool,
    replies: u64,
    replies_per_second: f64,
    mb_per_second: f64,
    errors: u64,
    reads: Option<Side>,
    writes: Option<Side>,
    #[serde(flatten)]
    trouble: Trouble,
    /// Reads whose content was judged; `null` without `--verify`.
    checked: Option<u64>,
    mismatches: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Side {
    replies: u64,
    errors: u64,
    replies_per_second: f64,
    mb_per_second: f64,
    latency_us: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(
        setting: Setting,
        elapsed: Duration,
        interrupted: bool,
        reads: &Tally,
        writes: &Tally,
    ) -> Self {
        let replies = reads.replies() + writes.replies();
        Self {
            setting,
            seconds: elapsed.as_secs_f64(),
            draining_seconds: 0.0,
            interrupted,
            replies,
            replies_per_second: per_second(replies, elapsed),
            mb_per_second: per_second(reads.bytes + writes.bytes, elapsed) / 1e6,
            errors: reads.errors + writes.errors,
            reads: reads.side(elapsed),
            writes: writes.side(elapsed),
            trouble: Trouble::default(),
            checked: None,
            mismatches: None,
        }
    }

    pub(crate) fn with_trouble(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    pub(crate) fn with_draining(mut self, draining: Duration) -> Self {
        self.draining_seconds = draining.as_secs_f64();
        self
    }

    pub(crate) fn with_verified(mut self, checked: u64, mismatches: u64) -> Self {
        (self.checked, self.mismatches) = (Some(checked), Some(mismatches));
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { target, window, sectors, read_percent, order, first_sector, end_sector, .. } =
            &self.setting;
        let what = match read_percent {
            100.. => "reads".to_owned(),
            0 => "writes".to_owned(),
            percent => format!("{percent} % reads"),
        };
        let unit = if *sectors == 1 { "sector" } else { "sectors" };
        writeln!(
            f,
            "{target}: {order} {what} of {sectors} {unit}, window {window}, sectors {first_sector} to {}",
            end_sector.saturating_sub(1)
        )?;
        writeln!(
            f,
            "{:.1} s: {} replies, {:.0} replies/s, {:.1} MB/s",
            self.seconds, self.replies, self.replies_per_second, self.mb_per_second
        )?;
        if self.draining_seconds >= NOTABLE {
            writeln!(f, "{:.1} s of them passed waiting for the last replies", self.draining_seconds)?;
        }
        if self.reads.is_some() || self.writes.is_some() {
            writeln!(
                f,
                "{:8}{:>11}{:>10}{:>10}  latency in us, with the wait for the window: mean, p50, p90, p99, p99.9, max",
                "", "replies/s", "MB/s", "errors"
            )?;
        }
        for (name, side) in [("reads", &self.reads), ("writes", &self.writes)] {
            let Some(side) = side else { continue };
            let Latency { mean, p50, p90, p99, p99_9, max } = side.latency_us;
            writeln!(
                f,
                "{name:8}{:11.0}{:10.1}{:10}  {mean:.1} {p50:.1} {p90:.1} {p99:.1} {p99_9:.1} {max:.1}",
                side.replies_per_second, side.mb_per_second, side.errors
            )?;
        }
        let Trouble { retransmits, timeouts, late, malformed } = self.trouble;
        write!(
            f,
            "retransmits {retransmits}, timeouts {timeouts}, late replies {late}, malformed replies {malformed}"
        )?;
        if let (Some(checked), Some(mismatches)) = (self.checked, self.mismatches) {
            write!(f, "\nverified: {checked} reads checked, {mismatches} wrong")?;
        }
        Ok(())
    }
}

pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            target: "e7.3".to_owned(),
            window: 16,
            sectors: 2,
            read_percent: 70,
            order: "random",
            first_sector: 0,
            end_sector: 2048,
            verified: true,
        }
    }

    fn tally() -> Tally {
        let mut tally = Tally::new();
        for hundreds in 1..=10 {
            tally.ok(Duration::from_micros(100 * hundreds), 1024);
        }
        tally
    }

    fn about(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected / 100.0
    }

    #[test]
    fn percentiles_are_those_of_the_sample() {
        let side = tally().side(Duration::from_secs(2)).expect("replies");
        assert_eq!((side.replies, side.replies_per_second), (10, 5.0));
        let Latency { mean, p50, p90, p99, max, .. } = side.latency_us;
        for (found, expected) in [(mean, 550.0), (p50, 500.0), (p90, 900.0), (p99, 1000.0), (max, 1000.0)] {
            assert!(about(found, expected), "{found} {expected}");
        }
    }

    #[test]
    fn an_endless_latency_and_an_empty_sample_break_nothing() {
        let mut tally = Tally::new();
        assert!(tally.side(Duration::from_secs(1)).is_none());
        tally.ok(Duration::MAX, 0);
        tally.ok(Duration::ZERO, 0);
        let side = tally.side(Duration::ZERO).expect("replies");
        assert!(side.latency_us.max >= 599e6 && side.replies_per_second == 0.0);
    }

    #[test]
    fn a_report_tells_both_kinds_apart_and_what_was_verified() {
        let report = Report::new(setting(), Duration::from_secs(2), false, &tally(), &tally())
            .with_trouble(Trouble { retransmits: 3, timeouts: 1, late: 2, malformed: 0 })
            .with_verified(9, 1)
            .to_string();
        assert!(
            report.starts_with("e7.3: random 70 % reads of 2 sectors, window 16, sectors 0 to 2047\n"),
            "{report}"
        );
        assert!(report.contains("2.0 s: 20 replies, 10 replies/s, 0.0 MB/s\n"), "{report}");
        assert!(report.contains("\nreads ") && report.contains("\nwrites "), "{report}");
        assert!(
            report.contains("retransmits 3, timeouts 1, late replies 2, malformed replies 0"),
            "{report}"
        );
        assert!(report.ends_with("verified: 9 reads checked, 1 wrong"), "{report}");
    }

    #[test]
    fn a_long_wait_for_the_last_replies_is_told() {
        let report = |draining| {
            Report::new(setting(), Duration::from_secs(12), false, &tally(), &tally())
                .with_draining(Duration::from_millis(draining))
                .to_string()
        };
        let told = "\n2.0 s of them passed waiting for the last replies\n";
        assert!(report(2000).contains(told), "{}", report(2000));
        assert!(!report(20).contains("last replies"), "{}", report(20));
    }

    #[test]
    fn a_report_as_json_is_one_flat_object_with_a_side_for_each_kind() {
        let report = Report::new(setting(), Duration::from_secs(2), false, &tally(), &Tally::new());
        let json = serde_json::to_value(report).expect("plain values");
        assert_eq!(json["target"], "e7.3");
        assert_eq!(json["replies"], 10);
        assert_eq!(json["retransmits"], 0);
        assert!(json["reads"]["latency_us"]["p99_9"].is_number());
        assert!(json["writes"].is_null() && json["checked"].is_null());
    }
}
