//! Why a transfer broke off: [`Stop`].

use std::error::Error as _;
use std::fmt;
use std::io;

use aoe_initiator::Failure;
use bdev::{Extent, Status};

use crate::range::Sectors;

/// Why a transfer broke off.
#[derive(Debug)]
pub(crate) enum Stop {
    Interrupted,
    /// A request failed. A failure that the core did not explain has its status.
    Target {
        extent: Extent,
        failure: Option<Failure>,
        status: Status,
    },
    Flush {
        failure: Option<Failure>,
        status: Status,
    },
    /// The target has become this small.
    Shrunk {
        sectors: u64,
    },
    Local(LocalError),
    Link(io::Error),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Target { extent, failure, status } => {
                let range = Sectors { start: extent.lba, end: extent.end() };
                write!(f, "{range}: ")?;
                why(f, failure.as_ref(), *status)
            }
            Self::Flush { failure, status } => {
                f.write_str("the flush failed, so what was written may not be durable: ")?;
                why(f, failure.as_ref(), *status)
            }
            Self::Shrunk { sectors } => {
                write!(f, "the target has shrunk to {sectors} sectors, less than the range of the transfer")
            }
            Self::Local(error) => {
                fmt::Display::fmt(error, f)?;
                let mut source = error.source();
                while let Some(cause) = source {
                    write!(f, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
            Self::Link(error) => write!(f, "the interface can no longer be used: {error}"),
        }
    }
}

fn why(f: &mut fmt::Formatter<'_>, failure: Option<&Failure>, status: Status) -> fmt::Result {
    match (failure, status) {
        (Some(failure), _) => fmt::Display::fmt(failure, f),
        (None, Status::OutOfRange) => f.write_str("beyond the end of the disk"),
        (None, Status::ReadOnly) => f.write_str("the target does not take writes"),
        (None, Status::Unsupported) => f.write_str("the target lacks the operation"),
        (None, _) => f.write_str("the target failed the request"),
    }
}

/// What is wrong at the local side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    #[error("cannot be read")]
    Read(#[source] io::Error),
    #[error("cannot be written")]
    Write(#[source] io::Error),
    #[error("it ended while it was read, at byte {at}; it was longer when the command began")]
    Shrunk { at: u64 },
    #[error(
        "its last {bytes} bytes fill no sector of 512 bytes, and were not written; --pad fills up with zeros"
    )]
    Partial { bytes: usize },
    #[error("it is longer than the room at the target; what follows was not written")]
    TooLong,
    #[error("sector {lba} differs")]
    Differs { lba: u64 },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reason_is_told_in_one_sentence() {
        let failure = Some(Failure::Timeout { waited: Duration::from_secs(30), sent: 12 });
        let stop = Stop::Target { extent: Extent::new(8, 8), failure, status: Status::Aborted };
        assert_eq!(stop.to_string(), "sectors 8 to 15: no answer for 30.0 s, sent 12 times");
        let stop = Stop::Local(LocalError::Write(io::Error::other("no space left")));
        assert_eq!(stop.to_string(), "cannot be written: no space left");
    }
}
