//! How it is told: [`table`] for a terminal, and [`document`] for `docs/performance.md`.

use std::fmt::{self, Write};

use crate::Error;
use crate::machine::Machine;
use crate::rows::{Program, ROWS, Row};
use crate::stats::{Outcome, Spread};

/// What is between these lines of the document is replaced.
const BEGIN: &str = "<!-- ./x bench compare --write: begin -->";
const END: &str = "<!-- ./x bench compare --write: end -->";

/// One row, for a terminal. Floors are told when `judged`.
pub(crate) fn table(row: &Row, outcome: &Outcome, judged: bool) -> String {
    let mut text = format!("\n{}: {row}, {}\n", row.name, rounds(outcome));
    text += &format!(
        "  {:<10}{:>30}{:>10}{:>10}{:>9}{:>9}  {}\n",
        "", "replies/s (least to most)", "CPU us", "process", "p50 us", "p99 us", "ours/its (rounds)"
    );
    for (program, samples) in &outcome.programs {
        let Line { rate, processor, process, p50, p99, ratio } = Line::of(outcome, *program);
        let rate = format!("{} ({} to {})", whole(rate.median), whole(rate.least), whole(rate.most));
        text += &format!("  {program:<10}{rate:>30}{processor:>10.2}{process:>10.2}{p50:>9.1}{p99:>9.1}");
        if let Some(Spread { median, least, most }) = ratio {
            text += &format!("  {median:.2} ({least:.2} to {most:.2})");
        }
        let again: u64 = samples.iter().map(|sample| sample.retransmits).sum();
        if again > 0 {
            text += &format!("  {again} sent again");
        }
        text.push('\n');
    }
    if judged {
        for verdict in outcome.verdicts(row) {
            text += &format!("  {verdict}\n");
        }
    }
    text
}

/// `document` with its measured section made of these outcomes.
///
/// # Errors
///
/// When it has no such section.
pub(crate) fn document(document: &str, machine: &Machine, outcomes: &[Outcome]) -> Result<String, Error> {
    let missing = || format!("the document has no line {BEGIN:?} with {END:?} after it");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let section = section(machine, outcomes)?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

fn section(machine: &Machine, outcomes: &[Outcome]) -> Result<String, fmt::Error> {
    let mut text = String::new();
    writeln!(text, "\nMeasured on {}.\n", machine.describe())?;
    writeln!(text, "![Replies per second of each program under each load](performance.svg)\n")?;
    writeln!(
        text,
        "| load | program | replies/s (rounds) | CPU, us | of it process | p50, us | p99, us | ours/its (rounds) |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (row, outcome) in paired(outcomes) {
        for (at, (program, _)) in outcome.programs.iter().enumerate() {
            let Line { rate, processor, process, p50, p99, ratio } = Line::of(outcome, *program);
            let load = if at == 0 { format!("{row} (`{}`)", row.name) } else { String::new() };
            let rate = format!("{} ({} to {})", whole(rate.median), whole(rate.least), whole(rate.most));
            let ratio = ratio.map_or_else(String::new, |Spread { median, least, most }| {
                format!("**{median:.2}** ({least:.2} to {most:.2})")
            });
            writeln!(
                text,
                "| {load} | {program} | {rate} | {processor:.2} | {process:.2} | {p50:.1} | {p99:.1} | {ratio} |"
            )?;
        }
    }
    writeln!(text, "\n| load | floors |\n|---|---|")?;
    for (row, outcome) in paired(outcomes) {
        let verdicts: Vec<_> = outcome.verdicts(row).iter().map(ToString::to_string).collect();
        writeln!(
            text,
            "| `{}`, {}, {} | {} |",
            row.name,
            rounds(outcome),
            outcome.date,
            verdicts.join("<br>")
        )?;
    }
    writeln!(text)?;
    Ok(text)
}

/// The rows that were measured, in their own order.
pub(crate) fn paired(outcomes: &[Outcome]) -> impl Iterator<Item = (&'static Row, &Outcome)> {
    ROWS.iter().filter_map(|row| Some((row, outcomes.iter().find(|outcome| outcome.row == row.name)?)))
}

/// The figures of one program.
struct Line {
    rate: Spread,
    processor: f64,
    process: f64,
    p50: f64,
    p99: f64,
    /// None of ours.
    ratio: Option<Spread>,
}

impl Line {
    fn of(outcome: &Outcome, program: Program) -> Self {
        Self {
            rate: outcome.spread(program, |sample| sample.replies_per_second),
            processor: outcome.spread(program, |sample| sample.processor_us).median,
            process: outcome.spread(program, |sample| sample.process_us).median,
            p50: outcome.spread(program, |sample| sample.p50_us).median,
            p99: outcome.spread(program, |sample| sample.p99_us).median,
            ratio: (program != Program::Ours)
                .then(|| outcome.ratio(program, |sample| sample.replies_per_second)),
        }
    }
}

fn rounds(outcome: &Outcome) -> String {
    let rounds = outcome.samples(Program::Ours).len();
    let plural = if rounds == 1 { "" } else { "s" };
    let [ours, client] = &outcome.links;
    format!("{rounds} round{plural} of {} s, ours `--link {ours}`, client `--link {client}`", outcome.seconds)
}

/// A number without its fraction, its thousands apart.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    fn machine() -> Machine {
        Machine {
            processor: "a processor".to_owned(),
            processors: 2,
            virtual_machine: true,
            kernel: "6.1".to_owned(),
            drive: "ext4 on /dev/vda".to_owned(),
            classic: "25-1".to_owned(),
        }
    }

    fn outcome(row: &str, rate: f64) -> Outcome {
        let sample = |replies_per_second| Sample {
            replies_per_second,
            processor_us: 1.5,
            process_us: 1.25,
            p50_us: 30.0,
            p99_us: 60.0,
            retransmits: 0,
        };
        Outcome {
            row: row.to_owned(),
            date: "2026-01-02".to_owned(),
            seconds: 2.0,
            links: ["xdp", "packet"].map(str::to_owned),
            programs: vec![(Program::Ours, vec![sample(rate)]), (Program::Classic, vec![sample(400_000.0)])],
        }
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0.4, 999.0, 1000.0, 1_234_567.8].map(whole), ["0", "999", "1,000", "1,234,568"]);
    }

    #[test]
    fn only_the_measured_section_of_a_document_changes() {
        let before = format!("# Title\n\nby hand\n\n{BEGIN}\nold figures\n{END}\n\nhistory\n");
        let first =
            document(&before, &machine(), &[outcome("read-1k-w1", 500_000.0)]).expect("it has the section");
        assert!(first.starts_with(&format!("# Title\n\nby hand\n\n{BEGIN}\n")), "{first}");
        assert!(first.ends_with(&format!("{END}\n\nhistory\n")), "{first}");
        assert!(first.contains("500,000 (500,000 to 500,000)") && first.contains("**1.25**"), "{first}");
        assert!(!first.contains("old figures"), "{first}");
        let again =
            document(&first, &machine(), &[outcome("read-1k-w1", 500_000.0)]).expect("it has the section");
        assert_eq!(again, first);
    }

    #[test]
    fn a_document_without_the_section_is_left_alone() {
        for bad in ["", BEGIN, END, &format!("{END}\n{BEGIN}")] {
            assert!(document(bad, &machine(), &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_are_told_in_their_own_order() {
        let outcomes = [outcome("durable-4k-w16", 1.0), outcome("read-1k-w16", 1.0), outcome("unknown", 1.0)];
        let names: Vec<_> = paired(&outcomes).map(|(row, _)| row.name).collect();
        assert_eq!(names, ["read-1k-w16", "durable-4k-w16"]);
    }

    #[test]
    fn a_floor_that_was_missed_is_named_where_floors_count() {
        let row = &ROWS[0];
        let outcome = outcome(row.name, 400_000.0);
        assert!(
            table(row, &outcome, true)
                .contains("1.00 times vblade (at least 1.25; rounds 1.00 to 1.00): MISSED")
        );
        assert!(!table(row, &outcome, false).contains("MISSED"));
    }
}
