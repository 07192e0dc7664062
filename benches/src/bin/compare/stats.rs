//! What the samples say: medians, spreads, ratios of pairs, and whether a floor was reached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rows::{Floor, Program, Row};

/// One program under one load once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) replies_per_second: f64,
    /// What the target's processor did for each reply, in microseconds, interrupts included.
    pub(crate) processor_us: f64,
    /// What of it was done in the name of the target's process.
    pub(crate) process_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Requests that the client sent again.
    pub(crate) retransmits: u64,
}

/// The samples of one row, by program; in the order of rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The row's name.
    pub(crate) row: String,
    /// When, as year-month-day.
    pub(crate) date: String,
    /// How long each sample took.
    pub(crate) seconds: f64,
    /// The option --link of ours, and of the client.
    pub(crate) links: [String; 2],
    pub(crate) programs: Vec<(Program, Vec<Sample>)>,
}

impl Outcome {
    /// The samples of a program; none when it was not run.
    pub(crate) fn samples(&self, program: Program) -> &[Sample] {
        self.programs.iter().find(|(one, _)| *one == program).map_or(&[], |(_, samples)| samples)
    }

    /// A figure of each of a program's samples.
    pub(crate) fn spread(&self, program: Program, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples(program).iter().map(figure))
    }

    /// Our figure over that of `other`, round by round.
    pub(crate) fn ratio(&self, other: Program, figure: impl Fn(&Sample) -> f64) -> Spread {
        let pairs = self.samples(Program::Ours).iter().zip(self.samples(other));
        Spread::of(pairs.map(|(ours, theirs)| figure(ours) / figure(theirs)))
    }

    /// Each floor of `row`, and what was reached of it.
    pub(crate) fn verdicts(&self, row: &Row) -> Vec<Verdict> {
        let judge = |floor: &Floor| match *floor {
            Floor::Rate(other, least) => {
                let ratio = self.ratio(other, |sample| sample.replies_per_second);
                Verdict { floor: *floor, ratio, met: ratio.median >= least }
            }
            Floor::Processor(other, most) => {
                let ratio = self.ratio(other, |sample| sample.processor_us);
                Verdict { floor: *floor, ratio, met: ratio.median <= most }
            }
        };
        row.floors.iter().map(judge).collect()
    }
}

/// A median and what lies around it; not a number when there is no sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (values.first(), values.last()) else {
            return Self { median: f64::NAN, least: f64::NAN, most: f64::NAN };
        };
        let middle = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
        let median = middle((values.len() - 1) / 2).midpoint(middle(values.len() / 2));
        Self { median, least, most }
    }
}

/// A floor, and what was reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    floor: Floor,
    ratio: Spread,
    pub(crate) met: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, least, most } = self.ratio;
        match self.floor {
            Floor::Rate(other, floor) => write!(f, "{median:.2} times {other} (at least {floor:.2}; ")?,
            Floor::Processor(other, floor) => {
                write!(f, "{median:.2} of the processor time of {other} (at most {floor:.2}; ")?;
            }
        }
        let word = if self.met { "met" } else { "MISSED" };
        write!(f, "rounds {least:.2} to {most:.2}): {word}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    fn samples(rates: &[f64]) -> Vec<Sample> {
        let sample = |rate: &f64| Sample {
            replies_per_second: *rate,
            processor_us: 1e6 / rate,
            process_us: 0.5,
            p50_us: 30.0,
            p99_us: 60.0,
            retransmits: 0,
        };
        rates.iter().map(sample).collect()
    }

    fn outcome(ours: &[f64], theirs: &[f64]) -> Outcome {
        Outcome {
            row: ROWS[0].name.to_owned(),
            date: "2026-01-02".to_owned(),
            seconds: 2.0,
            links: Default::default(),
            programs: vec![(Program::Ours, samples(ours)), (Program::Classic, samples(theirs))],
        }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).median;
        assert_eq!(
            [median(&[3.0, 1.0, 9.0]), median(&[4.0, 1.0, 9.0, 2.0]), median(&[7.0])],
            [3.0, 3.0, 7.0]
        );
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_those_of_rounds_and_not_of_medians() {
        // The machine slows down by half in the third round.
        let ratio = outcome(&[200.0, 220.0, 60.0], &[100.0, 100.0, 50.0])
            .ratio(Program::Classic, |s| s.replies_per_second);
        assert_eq!((ratio.median, ratio.least, ratio.most), (2.0, 1.2, 2.2));
    }

    #[test]
    fn a_floor_is_met_from_its_figure_on() {
        let met = |ours| -> Vec<bool> {
            outcome(&[ours], &[100.0]).verdicts(&ROWS[0]).iter().map(|verdict| verdict.met).collect()
        };
        // At least 1.25 times the replies, at most 0.7 of the time.
        assert_eq!([met(124.0), met(125.0), met(150.0)], [[false, false], [true, false], [true, true]]);
    }

    #[test]
    fn what_was_not_measured_meets_no_floor() {
        assert!(outcome(&[], &[]).verdicts(&ROWS[0]).iter().all(|verdict| !verdict.met));
    }
}
