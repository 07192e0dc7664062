//! Why a request failed: [`Failure`].

use std::fmt;
use std::time::Duration;

use aoe_wire::{AtaError, AtaStatus, ErrorCode, MacAddr, WireError};
use bdev::Status;

/// Why a request ended without having been done.
///
/// The ATA device's errors, the AoE target's, and the network's are told apart: [`Ata`](Self::Ata) means that the disk has judged the
/// command, [`Aoe`](Self::Aoe) that the target refused the request itself, the others that no sensible answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command failed at the disk: the status has an error bit (ATA8-ACS).
    #[error("the disk failed the command: status {status}, error {error}")]
    Ata {
        /// Status register of the reply.
        status: AtaStatus,
        /// Error register of the reply.
        error: AtaError,
    },
    /// The target refused the request (AoEr11 §2.4).
    #[error("the target refused the request: {}", refusal(*.code))]
    Aoe {
        /// Why.
        code: ErrorCode,
        /// What came with it: who holds the reservation, for [`ErrorCode::TARGET_RESERVED`] in answer to a reserve request.
        holders: Vec<MacAddr>,
        /// What came with it: the string that is set, for [`ErrorCode::CONFIG_PRESENT`].
        string: Vec<u8>,
    },
    /// The reply contradicts the request or itself.
    #[error("the target answers rubbish: {0}")]
    Malformed(Malformed),
    /// No reply before the deadline.
    #[error("no answer for {:.1} s, sent {sent} time{}", .waited.as_secs_f64(), if *sent == 1 { "" } else { "s" })]
    Timeout {
        /// From the first sending, or from when the request was taken if it was never sent.
        waited: Duration,
        /// How often it was sent.
        sent: u32,
    },
    /// No target with the address answered before the deadline.
    #[error("no target answers at this address")]
    NotFound,
    /// The request does not fit a frame of the path: its length in bytes, and the longest.
    #[error("the request takes a frame of {need} bytes, and the path carries {have}")]
    TooLong {
        /// Bytes of the frame.
        need: usize,
        /// Bytes that fit.
        have: usize,
    },
    /// The request cannot be written: a string or list beyond what the protocol has room for, a sector beyond what the disk's commands
    /// can name.
    #[error("the request cannot be sent: {0}")]
    Request(WireError),
    /// The initiator was told to forget the target.
    #[error("given up")]
    Detached,
}

impl Failure {
    /// The status with which a block request ends that failed so.
    pub fn status(&self) -> Status {
        match self {
            Self::Ata { error, .. } if error.contains(AtaError::IDNF) => Status::OutOfRange,
            Self::Ata { .. } | Self::Malformed(_) => Status::Media,
            _ => Status::Aborted,
        }
    }
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The reply has less data than the command returns.
    ShortData {
        /// Bytes that the frame should have.
        need: usize,
        /// Bytes that it has.
        have: usize,
    },
    /// A string or list is longer than its frame.
    BadLength,
    /// The IDENTIFY data gives the disk no sector, or more than commands can name (2^48).
    Capacity {
        /// As many.
        sectors: u64,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortData { need, have } => write!(f, "a reply of {have} bytes where {need} are due"),
            Self::BadLength => f.write_str("a string or list longer than its frame"),
            Self::Capacity { sectors: 0 } => f.write_str("a disk without sectors"),
            Self::Capacity { sectors } => {
                write!(f, "a disk of {sectors} sectors, of which commands can name 2^48")
            }
        }
    }
}

fn refusal(code: ErrorCode) -> String {
    let text = match code {
        ErrorCode::UNRECOGNISED_COMMAND => "it does not know the command",
        ErrorCode::BAD_ARGUMENT => "bad argument",
        ErrorCode::DEVICE_UNAVAILABLE => "its disk is not available",
        ErrorCode::CONFIG_PRESENT => "another config string is set",
        ErrorCode::UNSUPPORTED_VERSION => "it does not speak version 1",
        ErrorCode::TARGET_RESERVED => "it is reserved for another initiator",
        ErrorCode(other) => return format!("error {other}"),
    };
    format!("{text} (error {})", code.0)
}
