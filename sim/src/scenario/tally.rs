//! What happened, counted: [`Tally`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::NetStats;

/// What was simulated: time, requests, and faults of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Scenarios.
    pub scenarios: u64,
    /// Time that passed in them.
    pub time: Duration,
    /// Requests that users made.
    pub asked: u64,
    /// Requests that targets took, copies and repeats included.
    pub requests: u64,
    /// Faults and changes by what they are.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.time += other.time;
        self.asked += other.asked;
        self.requests += other.requests;
        for (kind, count) in &other.faults {
            self.count(kind, *count);
        }
    }

    pub(super) fn count(&mut self, kind: &'static str, count: u64) {
        *self.faults.entry(kind).or_default() += count;
    }

    pub(super) fn count_net(&mut self, stats: NetStats) {
        self.count("frames lost", stats.lost);
        self.count("frames doubled", stats.duplicated);
        self.count("frames held back", stats.reordered);
        self.count("frames to somebody down or gone", stats.undeliverable);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time.as_secs_f64() / 3600.0;
        writeln!(f, "{} scenarios, {hours:.2} simulated hours", self.scenarios)?;
        writeln!(f, "{} requests of initiators, {} taken by targets", self.asked, self.requests)?;
        self.faults.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>12}  {kind}"))
    }
}
