//! What can be wrong with bytes, or with the room for them: [`WireError`].

/// Why bytes are not the frame, list or string they should be, or could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame ends too early. Both numbers count from its first byte.
    #[error("the frame needs {need} bytes and has {have}")]
    Truncated {
        /// Bytes of headers and argument, or of the data the argument announces.
        need: usize,
        /// Bytes of the frame.
        have: usize,
    },
    /// The EtherType is this instead of [`ETHERTYPE`](crate::ETHERTYPE).
    #[error("EtherType {0:04x} is not AoE")]
    NotAoe(u16),
    /// A list has fewer entries than its count says.
    #[error("the list counts {count} entries and has room for {have}")]
    ListTooLong {
        /// Entries announced, or to be written.
        count: usize,
        /// Whole entries that the payload, or the count field, can hold.
        have: usize,
    },
    /// A config string is longer than the protocol or its frame allows.
    #[error("the config string counts {len} bytes and has room for {have}")]
    ConfigTooLong {
        /// Bytes announced, or to be written.
        len: usize,
        /// Bytes that the payload can hold, at most [`MAX_CONFIG`](crate::MAX_CONFIG).
        have: usize,
    },
    /// The buffer is too small for the frame to be written.
    #[error("the frame takes {need} bytes and the buffer has {have}")]
    NoRoom {
        /// Bytes of the frame.
        need: usize,
        /// Bytes of the buffer.
        have: usize,
    },
}
