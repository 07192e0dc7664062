//! Plain counters. Read them between turns; they never go back.

/// What a target has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that were answered or will be.
    pub requests: u64,
    /// Frames that got no answer: for others, refused, malformed, or a test that did not match.
    pub ignored: u64,
    /// Among these, writes that came too late: another link had brought a newer one to the same sectors, which was executed.
    pub late_writes: u64,
    /// Replies made, good or not.
    pub replies: u64,
    /// Replies with the AoE error flag.
    pub aoe_errors: u64,
    /// Replies with an ATA error status.
    pub ata_errors: u64,
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
    /// Sectors of 512 bytes asked for by read commands.
    pub sectors_read: u64,
    /// Sectors of 512 bytes brought by write commands.
    pub sectors_written: u64,
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
    /// Requests dropped because their initiator had more than its share in flight, and others needed the room.
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
