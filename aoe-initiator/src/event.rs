//! What an initiator tells its caller: [`Event`].

use std::time::Duration;

use aoe_wire::{Address, ConfigInfo, MacAddr};
use bdev::Done;

use crate::{Failure, LinkId, RemoteId, Reply, RequestId};

/// Something that happened, from [`Initiator::poll`](crate::Initiator::poll).
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Event<B> {
    /// A target has said that it is there, asked or unasked.
    Found(Found),
    /// An attached target was identified: block requests are welcome.
    Ready(RemoteId),
    /// Size or features of the disk are not what they were.
    Changed(RemoteId),
    /// An attached target was not found, or could not be identified, in time. [Attach](crate::Initiator::attach) it again to go on
    /// looking.
    Failed(RemoteId, Failure),
    /// A block request has ended.
    Done(RemoteId, Completion<B>),
    /// A control request has ended.
    Answer(RequestId, Result<Reply, Failure>),
}

/// The end of a block request.
#[derive(Debug)]
#[must_use = "the end of a request carries its buffer and its status"]
pub struct Completion<B> {
    /// Buffer and status.
    pub done: Done<B>,
    /// More about a status that is not good. The first one, when several frames of the request failed.
    pub failure: Option<Failure>,
    /// From the turn that took the request to its end.
    pub latency: Duration,
}

/// A target that has said that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The link it was heard on.
    pub link: LinkId,
    /// The station.
    pub mac: MacAddr,
    /// Shelf and slot.
    pub address: Address,
    /// Buffer count, firmware version, sector count.
    pub info: ConfigInfo,
    /// The config string, any bytes.
    pub string: Vec<u8>,
    /// From [`discover`](crate::Initiator::discover) to this; `None` if it was unasked or answers something else.
    pub rtt: Option<Duration>,
}
