//! Plain counters. Read them between turns; they never go back, but for what is in flight.

use bdev::Op;

use crate::Histogram;

/// What a target has counted. What needs the time or the order of requests (from [`retransmits`](Self::retransmits) on) is counted by the
/// [`Server`](crate::Server) that it is served by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that were answered or will be.
    pub requests: u64,
    /// Frames that got no answer: for others, refused, malformed, or a test that did not match.
    pub ignored: u64,
    /// Among these, frames that cannot be understood, or whose sender's address is none that a station has.
    pub malformed: u64,
    /// Among these, frames for another station or target, and replies.
    pub not_addressed: u64,
    /// Among these, frames of initiators that are not let in: by the allow list, the deny list or the mask list.
    pub not_admitted: u64,
    /// Among these, requests that are not answered by rule: a test of the config string that did not match, or what was asked of every
    /// target and failed here.
    pub quiet: u64,
    /// Among these, writes that came too late: another link had brought a newer one to the same sectors, which was executed.
    pub late_writes: u64,
    /// Among these, changes of config string, mask list or reservation beyond 80 at once and 10 a second: each takes the time of a disk.
    pub hasty_changes: u64,
    /// Replies made, good or not.
    pub replies: u64,
    /// Replies with the AoE error flag.
    pub aoe_errors: u64,
    /// The same by error code, which is the index (AoEr11 §2): 1 unrecognised command, 2 bad argument, 3 device unavailable, 4 config
    /// string present, 5 unsupported version, 6 target reserved. Index 0 stays 0.
    pub aoe_errors_by_code: [u64; 7],
    /// Replies with an ATA error status.
    pub ata_errors: u64,
    /// Among these, what the disk could not read (UNC).
    pub ata_unreadable: u64,
    /// Among these, sectors beyond the end of the disk (IDNF).
    pub ata_beyond_end: u64,
    /// Among these, commands that were refused or failed otherwise (ABRT).
    pub ata_aborted: u64,
    /// Requests that the disk failed.
    pub disk_errors: u64,
    /// Read commands given to the disk.
    pub reads: u64,
    /// Write commands given to the disk.
    pub writes: u64,
    /// Flush commands given to the disk.
    pub flushes: u64,
    /// Trim commands given to the disk.
    pub trims: u64,
    /// Sectors of 512 bytes asked for by read commands, those to be verified too.
    pub sectors_read: u64,
    /// Sectors of 512 bytes brought by write commands.
    pub sectors_written: u64,
    /// Requests of the disk that repeat an earlier one: of the same initiator, of the same kind (does it write?) and the same sectors, and
    /// either sent before the answer can have been heard (the earlier one was in flight, or taken in the same turn), or with the tag of
    /// the earlier one, which is not 0 and was taken within 10 s.
    ///
    /// It is meant for a look at the network, not for accounts: among very many requests a repeated read may go unseen.
    ///
    /// What is never counted is a repeat under another tag (Linux) of what was answered in an earlier turn: a lost answer, which looks
    /// like a wish for the same sectors once more. And what is counted although it is none are the requests of programs that bypass
    /// their cache and want the same sectors at the same time.
    pub retransmits: u64,
    /// Requests that were taken and not answered, now.
    pub in_flight: usize,
    /// The most that there were at a time.
    pub max_in_flight: usize,
    /// Requests that had to wait for a limit, see [`TargetOptions::iops`](crate::TargetOptions::iops).
    pub limited: u64,
    /// Initiators that were forgotten, so that others may be remembered, see [`Initiator`](crate::Initiator).
    pub initiators_forgotten: u64,
    /// How long read commands took, those to be verified too.
    pub read_latency: Histogram,
    /// How long write commands took.
    pub write_latency: Histogram,
    /// How long all other requests took.
    pub other_latency: Histogram,
}

impl Stats {
    /// Replies that tell of an error, of either kind.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.aoe_errors + self.ata_errors
    }

    /// The times of disk requests that end with `op`.
    pub(crate) fn latency(&mut self, op: Op) -> &mut Histogram {
        match op {
            Op::Read => &mut self.read_latency,
            Op::Write { .. } => &mut self.write_latency,
            Op::Flush | Op::Discard | Op::WriteZeroes => &mut self.other_latency,
        }
    }
}

/// What a server has counted, over all of its links and targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Turns in which at least one frame arrived.
    pub rx_runs: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Frames given to a link to be sent.
    pub tx_frames: u64,
    /// Advertisements among them.
    pub advertisements: u64,
    /// Requests that waited for an earlier one with a sector in common.
    pub overlaps: u64,
    /// Requests dropped because their initiator had more than its share in flight, or waiting at a link, and others needed the room.
    pub over_share: u64,
    /// Times a disk's queue had no room.
    pub queue_full: u64,
    /// Times a link's pool had no frame for an advertisement or a copy.
    pub no_frame: u64,
    /// Wildcard requests that were dropped because too many came.
    pub wildcards_dropped: u64,
    /// Replies seen from another station for one of our addresses.
    pub address_conflicts: u64,
}
