//! Discards and writes of zeros, by `fallocate`.

use std::sync::atomic::Ordering;

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags};

use super::FileDisk;
use super::transfer::{self, Cause, Outcome};
use crate::{Extent, Status};

impl FileDisk {
    /// Zeroes `extent` with one `fallocate`, and its ends that do not fill a unit with writes.
    pub(super) fn zero(
        &self,
        what: &'static str,
        extent: Extent,
        fallocate: impl Fn(u64, u64) -> Outcome,
    ) -> Result<(), Status> {
        let at = self.place_change(extent.lba, extent.bytes())?;
        let end = at + extent.bytes() as u64;
        let from = at.next_multiple_of(self.zero_unit).min(end);
        let to = (end - end % self.zero_unit).max(from);
        let outcome = self.write_zero_bytes(at, from).and_then(|()| {
            if from < to {
                fallocate(from, to - from)?;
            }
            self.write_zero_bytes(to, end)
        });
        match outcome {
            Err(Cause::Os(Errno::OPNOTSUPP | Errno::NOSYS)) => Err(Status::Unsupported),
            outcome => self.ended(what, extent, outcome),
        }
    }

    fn write_zero_bytes(&self, from: u64, to: u64) -> Outcome {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut at = from;
        while at < to {
            let len = usize::try_from(to - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.write_bytes(at, &ZEROS[..len], ReadWriteFlags::empty())?;
            at += len as u64;
        }
        Ok(())
    }

    pub(super) fn punch_hole(&self, at: u64, len: u64) -> Outcome {
        if let Some(mapped) = &self.mapped {
            mapped.has_holes();
        }
        transfer::fallocate(&self.fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len)
    }

    pub(super) fn zero_range(&self, at: u64, len: u64) -> Outcome {
        if self.zero_range.load(Ordering::Relaxed) {
            match transfer::fallocate(
                &self.fd,
                FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
                at,
                len,
            ) {
                Err(Cause::Os(Errno::OPNOTSUPP)) => self.zero_range.store(false, Ordering::Relaxed),
                result => return result,
            }
        }
        self.punch_hole(at, len)
    }
}
