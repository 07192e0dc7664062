//! How a transfer begins, and what is told when it ends.

use std::io::ErrorKind;
use std::time::Duration;

use aoe_initiator::{Address, AttachOptions, Failure, RemoteId};
use aoe_link::Link;
use aoe_wire::AtaError;

use super::{LocalError, Outcome, Stop};
use crate::error::Error;
use crate::host::{Host, TRANSFER_TIMEOUT};
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
    /// The command that goes on from a sector.
    pub(crate) resume: Option<&'a dyn Fn(u64) -> String>,
}

/// Tells on standard error what was done, and if not all was, why not, what is left and how to go on.
pub(crate) fn conclude(account: &Account<'_>, outcome: &Outcome, elapsed: Duration) -> Result<(), Error> {
    let Some(stop) = &outcome.stop else {
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
            format!("{address}: {stop}")
        }
    };
    let done = Sectors { start: range.start, end: outcome.done };
    let durable = Sectors { start: range.start, end: outcome.durable };
    let what = match (done.count(), durable.count()) {
        _ if *deed == Deed::ReadToPipe => return vec![why],
        _ if *deed == Deed::Verify => format!("{verb}: {done} of {range}"),
        (0, _) => format!("no sector of {range} was {verb}"),
        (all, safe) if all == safe => format!("{verb}, and on stable storage: {done} of {range}"),
        (_, 0) => format!("{verb}: {done} of {range}; none of them is known to be on stable storage"),
        _ => format!("{verb}: {done} of {range}; on stable storage: {durable}"),
    };
    let mut story = vec![why, what];
    if let Some(resume) = account.resume.filter(|_| outcome.durable < range.end) {
        story.push(format!("go on with: {}", resume(outcome.durable)));
    }
    story
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
                "e7.3: sectors 58 to 65: no answer for 30.0 s, sent 9 times",
                "copied: sectors 8 to 57 of sectors 8 to 107; on stable storage: sectors 8 to 37",
                "go on with: aoe copy disk.img e7.3 --offset 38",
            ]
        );
    }

    #[test]
    fn each_state_of_what_is_done_has_its_words() {
        assert_eq!(
            told(8, 8, Stop::Interrupted)[..2],
            ["interrupted", "no sector of sectors 8 to 107 was copied"]
        );
        let lines = told(58, 58, Stop::Local(LocalError::TooLong));
        assert!(lines[0].starts_with("disk.img: it is longer than"), "{lines:?}");
        assert_eq!(lines[1], "copied, and on stable storage: sectors 8 to 57 of sectors 8 to 107");
        let lines = told(58, 8, Stop::Shrunk { sectors: 4 });
        assert!(lines[1].ends_with("none of them is known to be on stable storage"), "{lines:?}");
        assert!(lines[2].ends_with("--offset 8"), "{lines:?}");
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
