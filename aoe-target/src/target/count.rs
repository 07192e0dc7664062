//! What a target counts of the requests that it gives to the disk.

use bdev::{Extent, Io, Op};

use super::Target;

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
}
