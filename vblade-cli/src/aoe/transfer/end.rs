//! How a transfer begins, and what is told when it ends.

use std::io::ErrorKind;
use std::time::Duration;

use aoe_initiator::{Address, AttachOptions, Failure, RemoteId};
use aoe_link::Link;
use aoe_wire::AtaError;

use super::{LocalError, Outcome, Stop};
use crate::error::Error;
use crate::host::{Host, TRANSFER_TIMEOUT, down_remark};
use crate::output::note;
use crate::progress::summary;
use crate::range::Sectors;

/// How targets are used for transfers.
pub(crate) fn options<L: Link>(host: &Host<L>) -> AttachOptions {
    AttachOptions { deadline: host.timeout(TRANSFER_TIMEOUT), ..AttachOptions::default() }
}

/// The size of a target in sectors, as it is known now.
pub(crate) fn size_of<L: Link>(host: &Host<L>, remote: RemoteId) -> u64 {
    host.driver.remote(remote).and_then(aoe_initiator::Remote::disk).map_or(0, |disk| disk.sectors)
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Read,
    /// Into a pipe, of which nobody knows what became of the data.
    ReadToPipe,
    Write,
    CopyFromTarget,
    CopyToTarget,
    Verify,
}

impl Deed {
    fn verb(self) -> &'static str {
        match self {
            Self::Read | Self::ReadToPipe => "read",
            Self::Write => "written",
            Self::CopyFromTarget | Self::CopyToTarget => "copied",
            Self::Verify => "verified",
        }
    }

    fn writes_target(self) -> bool {
        matches!(self, Self::Write | Self::CopyToTarget)
    }
}

/// What is told of a transfer.
pub(crate) struct Account<'a> {
    pub(crate) deed: Deed,
    pub(crate) address: Address,
    /// The local side, as messages call it.
    pub(crate) local: &'a str,
    pub(crate) range: Sectors,
    pub(crate) quiet: bool,
    /// Interfaces that are down at the end.
    pub(crate) down: &'a [&'a str],
    /// The command that goes on from a sector.
    pub(crate) resume: Option<&'a dyn Fn(u64) -> String>,
}

/// Tells on standard error what was done, and if not all was, why not, what is left and how to go on.
pub(crate) fn conclude(account: &Account<'_>, outcome: &Outcome, elapsed: Duration) -> Result<(), Error> {
    let Some(stop) = &outcome.stop else {
        if outcome.done == account.range.start {
            let Account { deed, local, .. } = account;
            return Err(Error::Failed(format!("{local} is empty: nothing was {}", deed.verb())));
        }
        if !account.quiet {
            let done = Sectors { start: account.range.start, end: outcome.done };
            note(&format!("{}: {} {}", account.address, account.deed.verb(), summary(done.bytes(), elapsed)));
        }
        return Ok(());
    };
    if let Stop::Local(LocalError::Write(error)) = stop
        && error.kind() == ErrorKind::BrokenPipe
    {
        // Whoever read it has enough.
        return Err(Error::Output(ErrorKind::BrokenPipe.into()));
    }
    for line in story(account, outcome, stop) {
        note(&line);
    }
    Err(if matches!(stop, Stop::Interrupted) { Error::Interrupted } else { Error::Told })
}

fn story(account: &Account<'_>, outcome: &Outcome, stop: &Stop) -> Vec<String> {
    let Account { deed, address, local, range, .. } = account;
    let verb = deed.verb();
    let remark = match stop {
        Stop::Target { failure: Some(failure), .. } | Stop::Flush { failure: Some(failure), .. } => {
            down_remark(failure, account.down)
        }
        _ => String::new(),
    };
    let why = match stop {
        Stop::Interrupted => "interrupted".to_owned(),
        Stop::Local(LocalError::Differs { .. }) => format!("{address} and {local}: {stop}"),
        Stop::Local(_) => format!("{local}: {stop}"),
        // What a read-only export answers to a write (ATA8-ACS).
        Stop::Target { failure: Some(Failure::Ata { error, .. }), .. }
            if deed.writes_target() && error.contains(AtaError::ABRT) =>
        {
            format!("{address}: {stop}; a target that is exported read-only answers so")
        }
        Stop::Target { .. } | Stop::Flush { .. } | Stop::Shrunk { .. } | Stop::Link(_) => {
            format!("{address}: {stop}{remark}")
        }
    };
    let done = Sectors { start: range.start, end: outcome.done };
    let durable = Sectors { start: range.start, end: outcome.durable };
    let part = if done == *range { range.to_string() } else { format!("{done} of {range}") };
    let what = match (done.count(), durable.count()) {
        _ if *deed == Deed::ReadToPipe => return vec![why],
        _ if *deed == Deed::Verify => match done.count() {
            0 => none(*range, verb),
            _ => format!("{verb}: {part}"),
        },
        (0, _) => none(*range, verb),
        (all, safe) if all == safe => format!("{verb}, and on stable storage: {part}"),
        (_, 0) => format!("{verb}: {part}; none of it is known to be on stable storage"),
        _ => format!("{verb}: {part}; on stable storage: {durable}"),
    };
    let mut story = vec![why, what];
    if let Some(resume) = account.resume.filter(|_| outcome.durable < range.end) {
        story.push(format!("go on with: {}", resume(outcome.durable)));
    }
    story
}

/// That nothing of the range was done.
fn none(range: Sectors, verb: &str) -> String {
    if range.count() == 1 { format!("{range} was not {verb}") } else { format!("none of {range} was {verb}") }
}

#[cfg(test)]
mod tests {
    use bdev::{Extent, Status};

    use super::*;

    fn told(done: u64, durable: u64, stop: Stop) -> Vec<String> {
        told_of(Deed::CopyToTarget, done, durable, stop)
    }

    fn told_of(deed: Deed, done: u64, durable: u64, stop: Stop) -> Vec<String> {
        let account = Account {
            deed,
            address: Address::new(7, 3),
            local: "disk.img",
            range: Sectors { start: 8, end: 108 },
            quiet: false,
            down: &["eth1"],
            resume: Some(&|lba| format!("aoe copy disk.img e7.3 --offset {lba}")),
        };
        let outcome = Outcome { done, durable, stop: None };
        story(&account, &outcome, &stop)
    }

    #[test]
    fn a_transfer_that_broke_off_says_why_what_is_done_and_how_to_go_on() {
        let failure = Some(Failure::Timeout { waited: Duration::from_secs(30), sent: 9 });
        let stop = Stop::Target { extent: Extent::new(58, 8), failure, status: Status::Aborted };
        assert_eq!(
            told(58, 38, stop),
            [
                "e7.3: sectors 58 to 65: no answer for 30.0 s, sent 9 times; eth1 is down",
                "copied: sectors 8 to 57 of sectors 8 to 107; on stable storage: sectors 8 to 37",
                "go on with: aoe copy disk.img e7.3 --offset 38",
            ]
        );
    }

    #[test]
    fn each_state_of_what_is_done_has_its_words() {
        assert_eq!(
            told(8, 8, Stop::Interrupted)[..2],
            ["interrupted", "none of sectors 8 to 107 was copied"]
        );
        let lines = told(58, 58, Stop::Local(LocalError::TooLong));
        assert!(lines[0].starts_with("disk.img: it is longer than"), "{lines:?}");
        assert_eq!(lines[1], "copied, and on stable storage: sectors 8 to 57 of sectors 8 to 107");
        let lines = told(58, 8, Stop::Shrunk { sectors: 4 });
        assert!(lines[1].ends_with("none of it is known to be on stable storage"), "{lines:?}");
        assert!(lines[2].ends_with("--offset 8"), "{lines:?}");
    }

    #[test]
    fn a_range_of_one_sector_is_told_of_as_one() {
        let lines = |deed, done| {
            let account = Account {
                deed,
                address: Address::new(7, 3),
                local: "disk.img",
                range: Sectors { start: 0, end: 1 },
                quiet: false,
                down: &[],
                resume: None,
            };
            story(&account, &Outcome { done, durable: 0, stop: None }, &Stop::Interrupted)
        };
        assert_eq!(lines(Deed::Write, 0)[1], "sector 0 was not written");
        assert_eq!(
            lines(Deed::Write, 1)[1],
            "written: sector 0; none of it is known to be on stable storage"
        );
        assert_eq!(lines(Deed::Verify, 0)[1], "sector 0 was not verified");
    }

    #[test]
    fn an_input_without_a_byte_is_a_failure() {
        let account = Account {
            deed: Deed::Write,
            address: Address::new(7, 3),
            local: "standard input",
            range: Sectors { start: 8, end: 108 },
            quiet: false,
            down: &[],
            resume: None,
        };
        let conclude =
            |done| conclude(&account, &Outcome { done, durable: done, stop: None }, Duration::ZERO);
        let error = conclude(8).expect_err("nothing was written");
        assert_eq!(error.exit_status(), 1);
        assert_eq!(error.to_string(), "standard input is empty: nothing was written");
        assert!(conclude(9).is_ok());
    }

    #[test]
    fn what_is_complete_needs_no_going_on() {
        assert_eq!(told(108, 108, Stop::Interrupted).len(), 2);
    }

    #[test]
    fn what_is_not_kept_is_not_said_to_be() {
        assert_eq!(told_of(Deed::ReadToPipe, 58, 58, Stop::Interrupted)[0], "interrupted");
        assert!(
            !told_of(Deed::ReadToPipe, 58, 58, Stop::Interrupted)[1..]
                .iter()
                .any(|line| line.contains("stable"))
        );
        let verified = &told_of(Deed::Verify, 58, 8, Stop::Interrupted)[1];
        assert_eq!(verified, "verified: sectors 8 to 57 of sectors 8 to 107");
    }

    #[test]
    fn a_write_that_is_refused_has_the_reason_that_is_likely() {
        let failure = Failure::Ata { status: aoe_wire::AtaStatus::FAILED, error: AtaError::ABRT };
        let stop = |failure| Stop::Target {
            extent: Extent::new(8, 8),
            failure: Some(failure),
            status: Status::Media,
        };
        assert!(told(8, 8, stop(failure.clone()))[0].ends_with("exported read-only answers so"));
        assert!(!told_of(Deed::Read, 8, 8, stop(failure))[0].contains("read-only"));
    }
}
