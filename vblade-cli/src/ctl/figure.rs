//! Numbers as people read them, each at most eight characters.

/// Bytes in powers of 1024: `1.50 GiB`.
pub(super) fn size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], " ")
}

/// A count in powers of 1000: `1.50M`.
pub(super) fn count(n: f64) -> String {
    scaled(n, 1000.0, &["", "k", "M", "G", "T", "P", "E"], "")
}

/// Seconds as `850us`, `1.5ms`, `12s`; `-` for none.
pub(super) fn time(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let (value, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = if value < 9.95 && unit != "us" { 1 } else { 0 };
    format!("{value:.digits$}{unit}")
}

/// How long ago: `now`, `45s`, `12m`, `5h`, `3d`.
pub(super) fn ago(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "now".to_owned(),
        s if s < 100.0 => format!("{s:.0}s"),
        s if s < 6000.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.0}h", s / 3600.0),
        s => format!("{:.0}d", s / 86_400.0),
    }
}

fn scaled(mut value: f64, step: f64, units: &[&str], space: &str) -> String {
    let mut at = 0;
    // What would be shown as 1000 is one of the next.
    while value >= 999.5 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let digits = match value {
        _ if at == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{space}{}", units[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_say_what_they_are() {
        let sizes = [0.0, 512.0, 1023.0, 1536.0, 1_048_576.0, u64::MAX as f64].map(size);
        assert_eq!(sizes, ["0 B", "512 B", "1.00 KiB", "1.50 KiB", "1.00 MiB", "16.0 EiB"]);
        let counts = [0.0, 999.0, 1000.0, 123_456.0, 99_960.0].map(count);
        assert_eq!(counts, ["0", "999", "1.00k", "123k", "100k"]);
        let times = [1e-6, 8.5e-4, 0.0015, 0.25, 1.5, 60.0].map(|s| time(Some(s)));
        assert_eq!(times, ["1us", "850us", "1.5ms", "250ms", "1.5s", "60s"]);
        assert_eq!(time(None), "-");
        assert_eq!([0.2, 45.0, 600.0, 9000.0, 4e5].map(ago), ["now", "45s", "10m", "2h", "5d"]);
    }
}
