//! What links count.

/// Frames that a link lost since it was opened. Initiators repeat requests, so none of these is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Arrived, but the receive buffer was full: the target is too slow or the buffer too small.
    pub rx_overflow: u64,
    /// Arrived and refused: longer than the MTU allows.
    pub rx_refused: u64,
    /// Given to `send` and dropped: longer than the MTU, the link down, or refused by the interface.
    pub tx_dropped: u64,
}
