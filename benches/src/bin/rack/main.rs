//! A rack's worth of disks served by one `vbladed`: what those that stay notice of a reload, and what the daemon takes at rest.
//!
//! In a private network namespace with two cables: 64 exports, each on both, the daemon on the first processor, and an initiator that
//! loads all of them at once on the second. Again and again the configuration changes and is read anew, by SIGHUP: eight exports go,
//! eight come, eight others are changed. Counted is what was sent again, what failed, and how long the answers took: before, in the
//! second around each reload, and otherwise after the first. Then memory and processor of a daemon at rest, and what it takes to ask it.
//!
//! Takes root, or user namespaces; two processors; iproute2, util-linux.

mod crowd;
mod daemon;
mod exports;
mod figures;
mod load;
mod phase;
mod reload;
mod rest;

use std::error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aoe_initiator::MacAddr;
use benches::inside;
use clap::Parser;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::phase::Phases;

type Error = Box<dyn error::Error>;

/// Interfaces that the daemon serves on, and the other ends of their cables.
const CABLES: [(&str, &str); 2] = [("rack0", "host0"), ("rack1", "host1")];
/// Addresses of the interfaces: those that the daemon serves on, and the others.
const MACS: [(MacAddr, MacAddr); 2] = [
    (MacAddr([2, 0, 0, 0, 7, 0]), MacAddr([2, 0, 0, 0, 0, 0xa1])),
    (MacAddr([2, 0, 0, 0, 7, 1]), MacAddr([2, 0, 0, 0, 0, 0xa2])),
];
/// So that 17 sectors are in a frame.
const MTU: u32 = 9000;
/// Set in the process that is inside, to a directory in memory.
const MEMORY: &str = "RACK_MEMORY";

/// Load 64 exports of one vbladed while its configuration changes, and measure a daemon at rest
///
/// Exits with 1 when an unchanged export noticed a reload, and with 2 when nothing could be measured.
#[derive(Debug, Parser)]
#[command(name = "./x bench rack")]
struct Args {
    /// How often the configuration is read anew under each load
    #[arg(long, value_name = "count", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// From one reload to the next
    #[arg(long, value_name = "seconds", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// How long a daemon at rest is watched
    #[arg(long, value_name = "seconds", default_value_t = 10.0, value_parser = seconds)]
    rest: f64,

    /// Only show that it works: two reloads, short, nothing judged but errors
    #[arg(long)]
    test: bool,

    /// The directory of vbladed and vbladectl [default: that of this program]
    #[arg(long, value_name = "directory")]
    programs: Option<PathBuf>,
}

/// A time with room for the second around a reload.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (1.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 1 to 3600".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match std::env::var_os(MEMORY) {
        Some(directory) => measure(&args, Path::new(&directory)),
        None => outside(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("rack: {error}");
        ExitCode::from(2)
    })
}

/// Looks whether the machine has what it takes, and goes inside.
fn outside(args: &Args) -> Result<ExitCode, Error> {
    let lone = std::thread::available_parallelism().is_ok_and(|count| count.get() < 2);
    match lone.then(|| "two processors".to_owned()).or_else(inside::missing) {
        None => inside::enter(&[(MEMORY, Path::new("/dev/shm"))]),
        Some(what) if args.test => {
            println!("SKIP rack: needs {what}");
            Ok(ExitCode::SUCCESS)
        }
        Some(what) => Err(format!("needs {what}").into()),
    }
}

fn measure(args: &Args, directory: &Path) -> Result<ExitCode, Error> {
    // Threads and programs that are started later are there, too, but for the daemon.
    let mut second = CpuSet::new();
    second.set(1);
    sched_setaffinity(None, &second)?;
    inside::ip(&["link", "set", "lo", "up"])?;
    for ((ours, theirs), (our_mac, their_mac)) in CABLES.into_iter().zip(MACS) {
        inside::cable(ours, theirs, MTU)?;
        inside::ip(&["link", "set", ours, "address", &our_mac.to_string()])?;
        inside::ip(&["link", "set", theirs, "address", &their_mac.to_string()])?;
    }
    let programs = match &args.programs {
        Some(directory) => directory.canonicalize()?,
        None => std::env::current_exe()?.parent().ok_or("no directory of programs")?.to_owned(),
    };
    let (rounds, every, rest) =
        if args.test { (2, 1.0, 0.2) } else { (args.rounds, args.seconds, args.rest) };
    let phases = Phases { rounds, every: Duration::from_secs_f64(every) };
    exports::create(directory)?;

    let mut good = true;
    for pace in [load::Pace::Bursts, load::Pace::Full] {
        let outcome = reload::measure(&programs, directory, pace, phases)?;
        println!("{outcome}");
        good &= if args.test { outcome.errors() == 0 } else { outcome.is_unnoticed() };
    }
    println!("{}", rest::measure(&programs, directory, Duration::from_secs_f64(rest))?);
    println!("{}", crowd::measure(&programs, directory, if args.test { 2 } else { 20 })?);
    if good {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("an export that was not changed noticed a reload");
    Ok(ExitCode::FAILURE)
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
    fn rounds_have_room_for_the_second_around_a_reload() {
        assert!(Args::try_parse_from(["rack", "--seconds", "1"]).is_ok());
        for bad in ["0.5", "-1", "NaN", "1e9", "x"] {
            assert!(Args::try_parse_from(["rack", "--seconds", bad]).is_err(), "{bad}");
        }
    }
}
