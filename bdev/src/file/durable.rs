//! What makes written data durable, and what is believed of the kernel's word on it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rustix::io::{Errno, ReadWriteFlags};

use super::FileDisk;
use super::transfer::{self, Cause, Outcome};

impl FileDisk {
    /// Runs `write`, of `len` bytes at `at`, so that its data is durable afterwards: followed by a sync, or with `RWF_DSYNC` where it does
    /// not go through the page cache, since one of several such calls would use up what the others must be told.
    pub(super) fn write_durably(
        &self,
        at: u64,
        len: usize,
        write: impl Fn(ReadWriteFlags) -> Outcome,
    ) -> Outcome {
        if self.in_memory {
            return write(ReadWriteFlags::empty());
        }
        if self.is_lost() {
            return Err(Cause::Os(Errno::IO));
        }
        let past_the_cache = self.direct.as_ref().is_some_and(|direct| direct.is_whole_blocks(at, len));
        if past_the_cache && self.takes_dsync() {
            match write(ReadWriteFlags::DSYNC) {
                Err(Cause::Os(Errno::OPNOTSUPP | Errno::NOSYS)) => self.dsync_refused(),
                result => return result,
            }
        }
        write(ReadWriteFlags::empty())?;
        self.sync()
    }

    /// Makes durable what has been written: with a sync, unless one that began after this call has succeeded meanwhile.
    pub(super) fn sync(&self) -> Outcome {
        self.note_modification();
        let Some(fd) = &self.sync else { return Ok(()) };
        // A change of nothing, so that it is in order with those that count: each sync that it does not see covers what was written before.
        let begun = self.syncs.fetch_add(0, Ordering::AcqRel);
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_lost() {
            return Err(Cause::Os(Errno::IO));
        }
        if *synced <= begun {
            let number = self.syncs.fetch_add(1, Ordering::AcqRel) + 1;
            transfer::sync(fd).inspect_err(|cause| self.lose(cause))?;
            // A queue with a descriptor of its own may have failed meanwhile, and data of this call with it.
            if self.is_lost() {
                return Err(Cause::Os(Errno::IO));
            }
            *synced = number;
        }
        Ok(())
    }

    /// Notes that data is lost, and says so once.
    pub(super) fn lose(&self, cause: &Cause) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            self.report.lost(&self.path, cause);
        }
    }
}
