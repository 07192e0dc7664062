//! Rates: what happened between two looks at the daemon's counters, and the last minute of them.

use std::collections::{HashMap, VecDeque};

use crate::control::model::{Counts, ExportFigures, Histogram, InitiatorFigures, Snapshot};

/// Looks that are remembered.
const LOOKS: usize = 60;

/// An export, or an initiator of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) export: String,
    /// The address of the initiator.
    pub(super) initiator: Option<String>,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: Key,
    /// The state of an export, the name or address of an initiator.
    pub(super) label: String,
    pub(super) rates: Rates,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) in_flight: u64,
    /// Of all kinds, since the daemon counts.
    pub(super) errors: u64,
    pub(super) retransmits: u64,
    /// Whether there are more of them than a moment ago.
    pub(super) troubled: bool,
    /// Requests a second, the latest at the end.
    pub(super) requests: Vec<u64>,
    /// Bytes a second, the same.
    pub(super) bytes: Vec<u64>,
}

/// A second's worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) read: f64,
    pub(super) written: f64,
}

#[derive(Debug, Default)]
struct Track {
    counts: Counts,
    latency: Histogram,
    requests: VecDeque<u64>,
    bytes: VecDeque<u64>,
}

/// The figures of now, and what is remembered.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Seconds of the daemon's life at the last look.
    at: f64,
    tracks: HashMap<Key, Track>,
    pub(super) exports: Vec<Row>,
    pub(super) initiators: Vec<Row>,
}

impl History {
    /// Takes the figures of another look.
    pub(super) fn take(&mut self, snapshot: &Snapshot) {
        // A daemon that is younger than at the last look is another one.
        let elapsed = snapshot.at - self.at;
        if elapsed < 0.0 {
            self.tracks.clear();
        }
        self.at = snapshot.at;
        let mut before = std::mem::take(&mut self.tracks);
        let mut row = |key: Key, label: &str, counts: &Counts, latency: Histogram| {
            let (row, track) = look(before.remove(&key), elapsed, key.clone(), label, counts, latency);
            self.tracks.insert(key, track);
            row
        };
        let (mut exports, mut initiators) = (Vec::new(), Vec::new());
        for export in &snapshot.exports {
            let latency = export.read_latency.with(&export.write_latency).with(&export.other_latency);
            exports.push(row(export_key(export), &export.state, &export.counts, latency));
            for it in &export.initiators {
                let label = it.name.as_deref().unwrap_or(&it.mac);
                initiators.push(row(initiator_key(export, it), label, &it.counts, it.latency.clone()));
            }
        }
        (self.exports, self.initiators) = (exports, initiators);
    }

    /// All exports together.
    pub(super) fn total(&self) -> Rates {
        self.exports.iter().fold(Rates::default(), |sum, row| Rates {
            requests: sum.requests + row.rates.requests,
            read: sum.read + row.rates.read,
            written: sum.written + row.rates.written,
        })
    }
}

fn export_key(export: &ExportFigures) -> Key {
    Key { export: export.export.clone(), initiator: None }
}

fn initiator_key(export: &ExportFigures, initiator: &InitiatorFigures) -> Key {
    Key { export: export.export.clone(), initiator: Some(initiator.mac.clone()) }
}

/// What became of one since the last look.
fn look(
    track: Option<Track>,
    elapsed: f64,
    key: Key,
    label: &str,
    counts: &Counts,
    latency: Histogram,
) -> (Row, Track) {
    let is_new = track.is_none();
    let mut track = track.unwrap_or_default();
    let then = &track.counts;
    // Smaller counts are those of another life; then, as with a new one, nothing is known of when they came.
    let known = !is_new && elapsed > 0.0 && counts.requests >= then.requests;
    let rate = |now: u64, then: u64| if known { now.saturating_sub(then) as f64 / elapsed } else { 0.0 };
    let rates = Rates {
        requests: rate(counts.requests, then.requests),
        read: rate(counts.read_bytes, then.read_bytes),
        written: rate(counts.written_bytes, then.written_bytes),
    };
    let recent = if known { latency.since(&track.latency) } else { Histogram::default() };
    let troubled = known && (counts.errors > then.errors || counts.retransmits > then.retransmits);
    remember(&mut track.requests, rates.requests);
    remember(&mut track.bytes, rates.read + rates.written);
    (track.counts, track.latency) = (*counts, latency);
    let row = Row {
        key,
        label: label.to_owned(),
        rates,
        p50: recent.quantile(0.5),
        p99: recent.quantile(0.99),
        in_flight: counts.in_flight,
        errors: counts.errors,
        retransmits: counts.retransmits,
        troubled,
        requests: track.requests.iter().copied().collect(),
        bytes: track.bytes.iter().copied().collect(),
    };
    (row, track)
}

fn remember(looks: &mut VecDeque<u64>, rate: f64) {
    looks.push_back(rate as u64);
    if looks.len() > LOOKS {
        looks.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(at: f64, requests: u64, slow: u64) -> Snapshot {
        let counts = Counts { requests, read_bytes: requests * 4096, ..Counts::default() };
        let buckets = vec![0, requests - slow, 0, 0, slow, 0];
        let export = ExportFigures {
            export: "7.3".into(),
            state: "up".into(),
            counts,
            read_latency: Histogram { buckets, sum_us: 0, count: requests },
            ..ExportFigures::default()
        };
        Snapshot { at, exports: vec![export], ..Snapshot::default() }
    }

    #[test]
    fn rates_and_latencies_are_of_the_time_between_two_looks() {
        let mut history = History::default();
        history.take(&snapshot(10.0, 1000, 1000));
        assert!(history.exports[0].rates.requests.abs() < 1e-9 && history.exports[0].p99.is_none());
        history.take(&snapshot(12.0, 1200, 1000));
        let row = &history.exports[0];
        assert!((row.rates.requests - 100.0).abs() < 1e-9, "{row:?}");
        assert!((row.rates.read - 409_600.0).abs() < 1e-9, "{row:?}");
        assert_eq!((row.p50, row.p99), (Some(2e-6), Some(2e-6)), "the slow ones were before");
        assert_eq!(row.requests, [0, 100]);
    }

    #[test]
    fn a_daemon_or_an_export_that_begins_again_has_no_rates_for_a_look() {
        let mut history = History::default();
        history.take(&snapshot(10.0, 1000, 0));
        history.take(&snapshot(11.0, 10, 0));
        assert!(history.exports[0].rates.requests.abs() < 1e-9, "the export");
        history.take(&snapshot(0.5, 20, 0));
        assert!(history.exports[0].rates.requests.abs() < 1e-9, "the daemon");
        assert_eq!(history.exports[0].requests, [0]);
    }

    #[test]
    fn a_minute_is_remembered_and_what_is_gone_is_not() {
        let mut history = History::default();
        for look in 0..70 {
            history.take(&snapshot(f64::from(look), 100 * u64::try_from(look + 1).expect("a number"), 0));
        }
        assert_eq!(history.exports[0].requests, [100; LOOKS]);
        history.take(&Snapshot { at: 71.0, ..Snapshot::default() });
        assert!(history.exports.is_empty() && history.tracks.is_empty());
    }
}
