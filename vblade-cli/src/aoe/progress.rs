//! How far a long command has come: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How often the text beside the bar changes.
const REDRAW: Duration = Duration::from_millis(200);

/// Over how long the rate is averaged that the time left is told from.
const HORIZON: Duration = Duration::from_secs(8);

/// Tells on standard error how far a transfer has come. Dropped, it leaves the terminal as it was.
pub(crate) struct Progress {
    what: String,
    total: Option<u64>,
    rate: Rate,
    start: Instant,
    told: Instant,
    show: Show,
}

enum Show {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// `what` is being done to `total` bytes, if that is known.
    pub(crate) fn new(what: impl Into<String>, total: Option<u64>, quiet: bool) -> Self {
        let show = match () {
            () if quiet => Show::Nothing,
            () if std::io::stderr().is_terminal() => Show::Bar(bar(total)),
            () => Show::Lines,
        };
        let start = Instant::now();
        Self { what: what.into(), total, rate: Rate::default(), start, told: start, show }
    }

    /// `done` bytes are done by now. Cheap enough to be called at every request's end.
    pub(crate) fn update(&mut self, done: u64) {
        let every = match self.show {
            Show::Nothing => return,
            Show::Lines => EVERY,
            Show::Bar(_) => REDRAW,
        };
        let now = Instant::now();
        if now.duration_since(self.told) < every {
            return;
        }
        self.told = now;
        self.rate.observe(now.duration_since(self.start), done);
        let text = status(&self.what, done, self.total, self.rate.per_second());
        match &self.show {
            Show::Nothing => {}
            // Standard error may be closed; the transfer matters more.
            Show::Lines => drop(writeln!(std::io::stderr(), "{text}")),
            Show::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(text);
            }
        }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}

/// One line that changes, on a terminal only. Dropped, it leaves the terminal as it was.
pub(crate) struct LiveLine(Option<ProgressBar>);

impl LiveLine {
    pub(crate) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| bar(None)))
    }

    pub(crate) fn show(&self, text: String) {
        if let Self(Some(line)) = self {
            line.set_message(text);
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        if let Self(Some(line)) = self {
            line.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() { "[{wide_bar}] {msg}" } else { "{msg}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style.progress_chars("=> "))
}

fn status(what: &str, done: u64, total: Option<u64>, rate: f64) -> String {
    let Some(total) = total else {
        return format!("{what}: {}, {}/s", size(done), size_f(rate));
    };
    let percent = if total == 0 { 100 } else { u128::from(done) * 100 / u128::from(total) };
    let left = match rate {
        rate if rate > 0.0 => time_left(total.saturating_sub(done) as f64 / rate),
        _ => "?".to_owned(),
    };
    format!("{what}: {percent} %, {} of {}, {}/s, {left} left", size(done), size(total), size_f(rate))
}

/// Bytes per second, averaged over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    at: Duration,
    done: u64,
    per_second: Option<f64>,
}

impl Rate {
    fn observe(&mut self, at: Duration, done: u64) {
        let passed = at.saturating_sub(self.at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        let now = done.saturating_sub(self.done) as f64 / passed;
        let weight = 1.0 - (-passed / HORIZON.as_secs_f64()).exp();
        self.per_second = Some(self.per_second.map_or(now, |before| before + (now - before) * weight));
        (self.at, self.done) = (at, done);
    }

    fn per_second(&self) -> f64 {
        self.per_second.unwrap_or(0.0)
    }
}

/// Bytes as a person reads them: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 { format!("{bytes} B") } else { size_f(bytes as f64) }
}

fn size_f(bytes: f64) -> String {
    let mut value = bytes.max(0.0);
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        // What would be shown as 1024.0 is one of the next.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") }
}

/// `done` bytes in `elapsed`, as `1.0 GiB in 2.5 s (409.6 MiB/s)`.
pub(crate) fn summary(done: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    format!("{} in {seconds:.1} s ({}/s)", size(done), size_f(rate))
}

fn time_left(seconds: f64) -> String {
    // A float is cut to what fits when it becomes an integer.
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        (1000.., _) => "more than 1000 h".to_owned(),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_suits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_time_left_is_told_as_a_clock_does() {
        for (seconds, text) in
            [(0.2, "1 s"), (59.0, "59 s"), (61.0, "1:01"), (3661.0, "1:01:01"), (1e300, "more than 1000 h")]
        {
            assert_eq!(time_left(seconds), text);
        }
    }

    #[test]
    fn a_status_tells_part_rate_and_time_left() {
        let text = status("copy", 256 << 20, Some(1 << 30), f64::from(64 << 20));
        assert_eq!(text, "copy: 25 %, 256.0 MiB of 1.0 GiB, 64.0 MiB/s, 12 s left");
        assert_eq!(status("copy", 0, Some(1 << 30), 0.0), "copy: 0 %, 0 B of 1.0 GiB, 0 B/s, ? left");
        assert_eq!(status("write", 1024, None, 512.0), "write: 1.0 KiB, 512 B/s");
    }

    #[test]
    fn the_rate_follows_a_change_within_seconds_and_not_at_once() {
        let mut rate = Rate::default();
        rate.observe(Duration::from_secs(1), 100);
        assert_eq!(rate.per_second(), 100.0);
        rate.observe(Duration::from_secs(2), 100);
        assert!((80.0..99.0).contains(&rate.per_second()), "{rate:?}");
        for second in 3..60 {
            rate.observe(Duration::from_secs(second), 100);
        }
        assert!(rate.per_second() < 1.0, "{rate:?}");
    }

    #[test]
    fn a_summary_tells_bytes_time_and_rate() {
        assert_eq!(summary(1 << 30, Duration::from_millis(2500)), "1.0 GiB in 2.5 s (409.6 MiB/s)");
        assert_eq!(summary(0, Duration::ZERO), "0 B in 0.0 s (0 B/s)");
    }
}
