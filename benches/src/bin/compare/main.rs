//! Our `vblade` beside Debian's, and beside what the socket path and the disk leave to be had, in one run.
//!
//! In a private network namespace, with one veth pair, each program in turn (A B C A B C ...) bears the same load, which `aoe bench` makes from the
//! other end: targets on the first processor, the client on the second. Printed are, for each row, the medians of the rounds, and the ratios
//! of each round's pair, which slow drifts of a machine leave alone. A ratio below its floor makes the program fail.
//!
//! Takes root, or user namespaces; two processors; iproute2, util-linux, fio, and Debian's package `vblade`.

mod machine;
mod plot;
mod report;
mod rows;
mod run;
mod stage;
mod stats;
mod store;
mod usage;

use std::error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use clap::builder::PossibleValuesParser;

use crate::machine::Machine;
use crate::rows::{Mode, ROWS, Row};
use crate::run::Bench;
use crate::stage::Stage;
use crate::stats::Outcome;
use crate::store::Store;

type Error = Box<dyn error::Error>;

const DOCUMENT: &str = "docs/performance.md";
const PICTURE: &str = "docs/performance.svg";

/// Compare our vblade with Debian's, a reflector without a disk, and fio without a network, in one run
///
/// Exits with 1 when a floor is missed, and with 2 when nothing could be compared.
#[derive(Debug, Parser)]
#[command(name = "./x bench compare")]
struct Args {
    /// Rows to run [default: all]
    #[arg(value_name = "row", value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name)))]
    rows: Vec<String>,

    /// How often each program has its turn
    #[arg(long, value_name = "count", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How long each turn is
    #[arg(long, value_name = "seconds", default_value_t = 2.0)]
    seconds: f64,

    /// Keep the samples in this file; what it has of other rows stays
    #[arg(long, value_name = "file")]
    json: Option<PathBuf>,

    /// Write the measured section of docs/performance.md, and its plot; with --json, of all rows in that file
    #[arg(long)]
    write: bool,

    /// Only show that it works: one short round, small files, no floors
    #[arg(long, conflicts_with_all = ["write", "json"])]
    test: bool,

    /// How our vblade reaches the interface: its option --link
    #[arg(long, value_name = "kind")]
    link: Option<String>,

    /// How the client reaches the interface: its option --link
    #[arg(long, value_name = "kind")]
    client_link: Option<String>,

    /// How the reflector reaches the interface, if not by a socket of its own; then no floor counts
    #[arg(long, value_name = "kind", conflicts_with_all = ["write", "json"])]
    reflector_link: Option<String>,

    /// Other requests in flight than the rows say; then no floor counts
    #[arg(long, value_name = "requests", conflicts_with_all = ["write", "json"])]
    window: Option<u16>,

    /// Another MTU; then no floor counts
    #[arg(long, value_name = "bytes", conflicts_with_all = ["write", "json"])]
    mtu: Option<u32>,

    /// Other sizes of requests, in sectors of 512 bytes; then no floor counts
    #[arg(long, value_name = "sectors", conflicts_with_all = ["write", "json"])]
    sectors: Option<u8>,

    /// Our vblade [default: the one beside this program]
    #[arg(long, value_name = "program")]
    ours: Option<PathBuf>,

    /// The vblade to compare with
    #[arg(long, value_name = "program", default_value = "/usr/sbin/vblade")]
    theirs: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let drive_len = if args.test { 16 << 20 } else { 1 << 30 };
    let result = match Stage::inside(drive_len) {
        Some(stage) => compare(&args, &stage),
        None => outside(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("compare: {error}");
        ExitCode::from(2)
    })
}

/// Looks whether the machine has what it takes, and goes inside.
fn outside(args: &Args) -> Result<ExitCode, Error> {
    match missing(args) {
        None => stage::enter(),
        Some(what) if args.test => {
            println!("SKIP compare: needs {what}");
            Ok(ExitCode::SUCCESS)
        }
        Some(what) => Err(format!("needs {what}").into()),
    }
}

fn missing(args: &Args) -> Option<String> {
    if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        return Some("two processors".to_owned());
    }
    let runs = |program: &Path, option: &str| {
        Command::new(program).arg(option).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !runs(Path::new("fio"), "--version") {
        return Some("the command fio: apt-get install fio".to_owned());
    }
    // It knows no --version, and answers with its usage.
    if !runs(&args.theirs, "--version") {
        return Some(format!("{}: apt-get install vblade", args.theirs.display()));
    }
    benches::inside::missing()
}

fn compare(args: &Args, stage: &Stage) -> Result<ExitCode, Error> {
    let exe = std::env::current_exe()?;
    let beside = |name| exe.with_file_name(name);
    let (rounds, seconds) = if args.test { (1, 0.2) } else { (args.rounds, args.seconds) };
    let bench = Bench {
        stage,
        ours: args.ours.clone().unwrap_or_else(|| beside("vblade")),
        classic: args.theirs.clone(),
        reflector: beside("reflector"),
        client: beside("aoe"),
        seconds,
        link: args.link.clone(),
        client_link: args.client_link.clone(),
        reflector_link: args.reflector_link.clone(),
    };
    let machine = Machine::this(stage.drive());
    let judged = !args.changes_loads() && !args.test;
    println!("{}", machine.describe());

    let mut store = Store::open(args.json.as_deref(), &machine)?;
    let mut missed = Vec::new();
    for row in ROWS.iter().filter(|row| args.rows.is_empty() || args.rows.iter().any(|name| name == row.name))
    {
        let row = args.change(row);
        let outcome = measure(&bench, &row, rounds, judged)?;
        print!("{}", report::table(&row, &outcome, judged));
        if judged {
            let verdicts = outcome.verdicts(&row);
            missed.extend(
                verdicts
                    .iter()
                    .filter(|verdict| !verdict.met)
                    .map(|verdict| format!("{}: {verdict}", row.name)),
            );
        }
        store.put(outcome)?;
    }
    if args.write {
        let document = fs::read_to_string(DOCUMENT).map_err(|error| format!("{DOCUMENT}: {error}"))?;
        fs::write(DOCUMENT, report::document(&document, &machine, store.outcomes())?)?;
        fs::write(PICTURE, plot::svg(store.outcomes())?)?;
    }
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nfloors that were missed:");
    missed.iter().for_each(|missed| eprintln!("  {missed}"));
    Ok(ExitCode::FAILURE)
}

fn measure(bench: &Bench<'_>, row: &Row, rounds: u32, judged: bool) -> Result<Outcome, Error> {
    let disk = match row.mode {
        Mode::Cached => bench.stage.memory_disk()?,
        Mode::Direct | Mode::Durable if judged && machine::is_memory(bench.stage.drive()) => {
            let at = bench.stage.drive().display();
            return Err(format!("{at} is in memory: set TMPDIR to a directory on a drive").into());
        }
        Mode::Direct | Mode::Durable => bench.stage.drive_disk()?,
    };
    bench.stage.connect(row.load.mtu)?;
    let mut programs: Vec<_> = row.programs().map(|program| (program, Vec::new())).into();
    for round in 1..=rounds {
        for (program, samples) in &mut programs {
            let sample = bench.sample(row, *program, &disk)?;
            eprintln!("{} round {round}: {program} {}/s", row.name, report::whole(sample.replies_per_second));
            samples.push(sample);
        }
    }
    let date = Command::new("date").arg("+%F").output()?;
    let date = String::from_utf8_lossy(&date.stdout).trim().to_owned();
    let links = [&bench.link, &bench.client_link].map(|link| link.as_deref().unwrap_or("auto").to_owned());
    Ok(Outcome { row: row.name.to_owned(), date, seconds: bench.seconds, links, programs })
}

impl Args {
    /// Whether the floors are of something else than what is measured.
    fn changes_loads(&self) -> bool {
        let Self { window, mtu, sectors, reflector_link, .. } = self;
        window.is_some() || mtu.is_some() || sectors.is_some() || reflector_link.is_some()
    }

    /// The row as the options have it.
    fn change(&self, row: &Row) -> Row {
        let mut row = *row;
        row.load.window = self.window.unwrap_or(row.load.window);
        row.load.mtu = self.mtu.unwrap_or(row.load.mtu);
        row.load.sectors = self.sectors.unwrap_or(row.load.sectors);
        row
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn figures_of_another_load_go_into_no_document() {
        assert!(Args::try_parse_from(["compare", "read-1k-w16", "--window", "8"]).is_ok());
        assert!(Args::try_parse_from(["compare", "--window", "8", "--write"]).is_err());
        assert!(Args::try_parse_from(["compare", "no-such-row"]).is_err());
    }
}
