//! `aoe bench`: how much a target does, how fast, and whether it is right.

mod ledger;
mod plan;
mod run;
mod tally;

use std::hash::{BuildHasher, RandomState};

use aoe_initiator::{AttachOptions, Link, Remote, RemoteId};

use self::plan::Plan;
use self::run::{Live, Load, Measured, measure};
use self::tally::{Report, Setting};
use crate::cli::{BenchArgs, Global};
use crate::error::Error;
use crate::host::{Host, TRANSFER_TIMEOUT, down_remark, target};
use crate::output::{self, note};
use crate::progress::LiveLine;
use crate::range::Sectors;

pub(crate) fn run(args: &BenchArgs, global: &Global) -> Result<(), Error> {
    let address = target(&args.target)?;
    let read_percent = read_percent(args)?;
    let mut host = Host::open(global, &[])?;
    let deadline = host.timeout(TRANSFER_TIMEOUT);
    let options = AttachOptions { deadline, window: args.window, ..AttachOptions::default() };
    let remote = host.attach(address, options)?;

    let (disk, frame) = host.driver.remote(remote).map_or((0, 1), |remote| {
        (Remote::disk(remote).map_or(0, |disk| disk.sectors), remote.sectors_per_frame())
    });
    let range = Sectors::choose(args.range.offset, args.range.length, disk)
        .map_err(|error| Error::Usage(error.to_string()))?;
    let sectors = args.sectors.unwrap_or_else(|| default_size(frame, range));
    if sectors > frame {
        note(&format!("a request of {sectors} sectors takes several frames: one carries {frame} here"));
    }
    let seed = RandomState::new().hash_one(0);
    let plan = Plan::new(range, sectors, read_percent, !args.sequential, seed).ok_or_else(|| {
        Error::Usage(format!(
            "{range}: no room for a request of {sectors} sectors; choose more, or fewer by --sectors"
        ))
    })?;
    let load = Load {
        window: args.window,
        sectors,
        duration: args.duration,
        grace: deadline,
        verify: args.verify,
        seed,
    };
    let setting = Setting {
        target: address.to_string(),
        window: args.window,
        sectors,
        read_percent,
        order: if args.sequential { "sequential" } else { "random" },
        first_sector: range.start,
        end_sector: range.end,
        verified: args.verify,
    };
    let measured = go(&mut host, remote, plan, load)?;
    tell(args, setting, measured, &host.down())
}

/// Sectors of a request unless `--sectors` says: as many as a frame carries, if the range has them.
fn default_size(frame: u8, range: Sectors) -> u8 {
    u8::try_from(range.count()).unwrap_or(u8::MAX).min(frame)
}

/// What the options mean, if they mean something.
fn read_percent(args: &BenchArgs) -> Result<u8, Error> {
    let percent = if args.write { 0 } else { args.read };
    if percent < 100 && !args.force {
        return Err(Error::Usage(
            "writing destroys what the range holds: say --force if that is meant, and choose the range by --offset and --length".to_owned(),
        ));
    }
    if args.verify && matches!(percent, 0 | 100) {
        return Err(Error::Usage(
            "--verify checks that what is read is what was written, so it takes both: --read 50 --force"
                .to_owned(),
        ));
    }
    Ok(percent)
}

fn go<L: Link>(host: &mut Host<L>, remote: RemoteId, plan: Plan, load: Load) -> Result<Measured, Error> {
    let line = LiveLine::new();
    let mut live = |live: Live| {
        let Live { elapsed, replies_per_second, mb_per_second, errors, retransmits } = live;
        line.show(format!(
            "{:.0} of {:.0} s: {replies_per_second:.0} replies/s, {mb_per_second:.1} MB/s, {errors} errors, {retransmits} retransmits",
            elapsed.as_secs_f64(),
            load.duration.as_secs_f64()
        ));
    };
    let (driver, stop) = host.parts();
    measure(driver, remote, plan, load, &stop, &mut live).map_err(Error::system("use the interface"))
}

fn tell(args: &BenchArgs, setting: Setting, measured: Measured, down: &[&str]) -> Result<(), Error> {
    let Measured {
        elapsed,
        draining,
        interrupted,
        reads,
        writes,
        trouble,
        checked,
        wrong,
        mismatches,
        unfinished,
        error,
        refused,
    } = measured;
    let target = setting.target.clone();
    let silent = reads.replies() + writes.replies() == 0;
    let failed = reads.errors() + writes.errors() > 0;
    let mut report = Report::new(setting, elapsed, interrupted, &reads, &writes)
        .with_trouble(trouble)
        .with_draining(draining);
    if args.verify {
        report = report.with_verified(checked, wrong);
    }
    if args.json {
        output::json(&report)?;
    } else {
        output::print(&format!("{report}\n"))?;
    }
    for mismatch in &mismatches {
        note(&format!("{target}: {mismatch}"));
    }
    if unfinished > 0 && !interrupted {
        note(&format!("{target}: {unfinished} requests were not answered"));
    }
    if let Some((extent, failure)) = error {
        note(&format!("{target}: the first error, at {extent}: {failure}{}", down_remark(&failure, down)));
    }
    if let Some(status) = refused {
        note(&format!("{target}: takes no more requests: {status:?}"));
    }
    if interrupted {
        return Err(Error::Interrupted);
    }
    if wrong > 0 || refused.is_some() || unfinished > 0 || failed || silent {
        Err(Error::Told)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(options: &str) -> BenchArgs {
        let line = format!("aoe bench e7.3 {options}");
        let Command::Bench(args) =
            Cli::try_parse_from(line.split_whitespace()).expect("a command line").command
        else {
            panic!("another command")
        };
        args
    }

    #[test]
    fn a_benchmark_reads_unless_told_otherwise() {
        assert_eq!(read_percent(&args("")).ok(), Some(100));
        assert_eq!(read_percent(&args("--read 70 --force")).ok(), Some(70));
        assert_eq!(read_percent(&args("--write --force")).ok(), Some(0));
    }

    #[test]
    fn a_request_is_as_large_as_a_frame_and_no_larger_than_the_range() {
        let size = |frame, end| default_size(frame, Sectors { start: 0, end });
        assert_eq!([size(2, 1), size(2, 2), size(17, 1 << 40), size(17, 5)], [1, 2, 17, 5]);
    }

    #[test]
    fn what_destroys_data_takes_force() {
        for options in ["--write", "--read 99", "--read 50 --verify"] {
            let error = read_percent(&args(options)).expect_err(options);
            assert!(error.exit_status() == 2 && error.to_string().contains("--force"), "{options}: {error}");
        }
    }

    #[test]
    fn verification_takes_reads_and_writes() {
        assert!(read_percent(&args("--read 50 --verify --force")).is_ok());
        for options in ["--verify", "--write --verify --force"] {
            assert_eq!(read_percent(&args(options)).expect_err(options).exit_status(), 2, "{options}");
        }
    }
}
