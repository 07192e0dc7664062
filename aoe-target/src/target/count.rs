//! What a target counts: what it ignores, what it gives to the disk, what it answers.

use aoe_wire::{AtaError, ErrorCode};
use bdev::{Extent, Io, Op};

use super::Target;
use super::judge::Why;
use crate::Stats;
use crate::reply::Reply;

impl Target {
    /// Takes back a write that [`handle`](Self::handle) let pass, and that is not executed because a newer one was. It gets no answer:
    /// its sender has sent it again long ago, or waits for nothing any more.
    pub(crate) fn drop_late<F>(&mut self, io: Io<F>) -> F {
        let stats = &mut self.stats;
        (stats.requests, stats.ignored) = (stats.requests - 1, stats.ignored + 1);
        stats.late_writes += 1;
        match io.op() {
            Op::Write { .. } => {
                stats.writes -= 1;
                stats.sectors_written -= u64::from(io.extent().sectors);
            }
            _ => stats.trims -= 1,
        }
        io.abandon().into_buf()
    }

    /// Takes back a change that [`handle`](Self::handle) let pass, and that is not carried out because there were too many of late.
    pub(crate) fn drop_hasty<F>(&mut self, frame: F) -> F {
        let stats = &mut self.stats;
        (stats.requests, stats.ignored) = (stats.requests - 1, stats.ignored + 1);
        stats.hasty_changes += 1;
        frame
    }

    pub(super) fn count_submitted(&mut self, op: Op, extent: Extent) {
        match op {
            Op::Read => {
                self.stats.reads += 1;
                self.stats.sectors_read += u64::from(extent.sectors);
            }
            Op::Write { .. } => {
                self.stats.writes += 1;
                self.stats.sectors_written += u64::from(extent.sectors);
            }
            Op::Flush => self.stats.flushes += 1,
            Op::Discard | Op::WriteZeroes => self.stats.trims += 1,
        }
    }

    pub(super) fn count_ignored(&mut self, why: Why) {
        let stats = &mut self.stats;
        stats.ignored += 1;
        *match why {
            Why::Malformed => &mut stats.malformed,
            Why::NotAddressed => &mut stats.not_addressed,
            Why::NotAdmitted => &mut stats.not_admitted,
            Why::Quiet => &mut stats.quiet,
        } += 1;
    }

    pub(super) fn count_reply(&mut self, reply: Reply) {
        self.stats.replies += 1;
        match reply {
            Reply::Refused(code) => count_refused(&mut self.stats, code),
            Reply::AtaFailed(error) => count_failed(&mut self.stats, error),
            _ => {}
        }
    }
}

#[cold]
fn count_refused(stats: &mut Stats, code: ErrorCode) {
    stats.aoe_errors += 1;
    if let Some(count) = stats.aoe_errors_by_code.get_mut(usize::from(code.0)) {
        *count += 1;
    }
}

#[cold]
fn count_failed(stats: &mut Stats, error: AtaError) {
    stats.ata_errors += 1;
    *match error {
        AtaError::UNC => &mut stats.ata_unreadable,
        AtaError::IDNF => &mut stats.ata_beyond_end,
        _ => &mut stats.ata_aborted,
    } += 1;
}
