//! The rack under load while its configuration changes: [`measure`].

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Error;
use crate::daemon::Daemon;
use crate::exports::{CHANGED, KEPT, MOVED, Turn, rack};
use crate::load::{Class, Load, Pace, Tallies, Tally};
use crate::phase::{Phase, Phases};

const CLASSES: [(Class, &str, u16); 2] =
    [(Class::Kept, "not changed", KEPT), (Class::Changed, "changed", CHANGED)];
const PHASES: [(Phase, &str); 3] = [
    (Phase::Before, "before the first"),
    (Phase::During, "the second around each"),
    (Phase::After, "otherwise after the first"),
];

/// What was measured.
pub(crate) struct Outcome {
    pace: Pace,
    phases: Phases,
    tallies: Tallies,
    /// How long each reload took until all of it was in force.
    reloads: Vec<Duration>,
    /// Requests that the daemon saw again, of the exports that were there all the time.
    seen_again: u64,
    /// Frames that its interfaces dropped.
    dropped: u64,
}

/// Loads the rack, and has its configuration read anew in between.
///
/// # Errors
///
/// When the daemon or the load fails, but not for requests that do.
pub(crate) fn measure(
    programs: &Path,
    directory: &Path,
    pace: Pace,
    phases: Phases,
) -> Result<Outcome, Error> {
    let daemon = Daemon::start(programs, directory, &rack(directory, Turn::First))?;
    let mut load = Load::open(KEPT + CHANGED, pace)?;
    let start = Instant::now();
    let (tallies, reloads) = thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            let mut turn = Turn::First;
            let reload = |round| {
                turn = turn.other();
                thread::sleep(phases.reload(round).saturating_sub(start.elapsed()));
                // The other kinds of errors are not for other threads.
                daemon.reload(&rack(directory, turn)).map_err(|error| error.to_string())
            };
            (0..phases.rounds).map(reload).collect::<Result<Vec<_>, String>>()
        });
        let tallies = load.run(phases);
        let reloads = reloads.join().map_err(|_| "the thread that reloads has panicked".to_owned())??;
        Ok::<_, Error>((tallies?, reloads))
    })?;
    let stats = daemon.ask("stats", &json!({}))?;
    let sum = |list: &str, field: &str| {
        let of = stats[list].as_array().into_iter().flatten();
        of.filter_map(|of| of[field].as_u64()).sum()
    };
    let (seen_again, dropped) = (sum("exports", "retransmits"), sum("interfaces", "rx_dropped"));
    Ok(Outcome { pace, phases, tallies, reloads, seen_again, dropped })
}

impl Outcome {
    fn tallies(&self, class: Class) -> impl Iterator<Item = &Tally> {
        PHASES.iter().filter_map(move |(phase, _)| self.tallies.by.get(&(class, *phase as u8)))
    }

    /// Requests that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.tallies.by.values().map(|tally| tally.errors).sum()
    }

    /// Whether those that were not changed had every request answered once.
    pub(crate) fn is_unnoticed(&self) -> bool {
        self.tallies(Class::Kept).all(|tally| tally.errors == 0 && tally.retransmits == 0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Phases { rounds, every } = self.phases;
        let all = KEPT + CHANGED + MOVED;
        writeln!(
            f,
            "{all} exports on two interfaces; {}; {rounds} reloads, {} s apart, each adds {MOVED}, removes {MOVED}, changes {CHANGED}\n",
            self.pace,
            every.as_secs_f64()
        )?;
        writeln!(
            f,
            "| exports | when | replies | sent again | errors | p50, us | p99, us | p99.9, us | longest, us |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for (class, name, count) in CLASSES {
            for (phase, when) in PHASES {
                let Some(tally) = self.tallies.by.get(&(class, phase as u8)) else { continue };
                let [p50, p99, p999, longest] = [50.0, 99.0, 99.9, 100.0].map(|at| tally.latency_us(at));
                let Tally { errors, retransmits, .. } = tally;
                let replies = tally.replies();
                writeln!(
                    f,
                    "| {count} {name} | {when} | {replies} | {retransmits} | {errors} | {p50:.0} | {p99:.0} | {p999:.0} | {longest:.0} |"
                )?;
            }
        }
        let times: Vec<_> =
            self.reloads.iter().map(|took| format!("{:.0}", took.as_secs_f64() * 1e3)).collect();
        writeln!(
            f,
            "\nReloads took {} ms until all was in force. The daemon saw {} requests again, its interfaces dropped {} frames, the initiator's {}.",
            times.join(", "),
            self.seen_again,
            self.dropped,
            self.tallies.dropped_here
        )
    }
}
