//! Protections that can be taken away, to show that a simulation notices ([`Sabotage`]). Only with the feature `sabotage`, for tests.

use std::ops::Range;

use bdev::{Io, Op};

/// What a server does without. Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// Overlapping requests start as they come, whatever is in flight.
    pub overlap_order: bool,
    /// A flush starts although writes that came before it have not ended.
    pub flush_order: bool,
    /// Writes that newer ones have overtaken are executed.
    pub late_frames: bool,
    /// Writes count as late that another overtook by 1 ms.
    pub late_margin: bool,
    /// Settings change while writes are in flight.
    pub change_order: bool,
    /// A flush is tried again after one has failed.
    pub failed_flush: bool,
    /// Everybody is let in, whatever the mask list says.
    pub mask_check: bool,
}

impl Sabotage {
    /// What is to be known of a request for its order: whether it is a flush that waits, and the sectors it may touch.
    pub(crate) fn order<F>(self, io: &Io<F>, reach: Range<u64>) -> (bool, Range<u64>) {
        let flush = io.op() == Op::Flush && !self.flush_order;
        (flush, if self.overlap_order { 0..0 } else { reach })
    }
}
