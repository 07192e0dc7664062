//! Block requests without data, one after the other or some at a time: [`Blocks`].

use aoe_initiator::{Address, Event, Failure, RemoteId};
use aoe_link::Link;
use bdev::{AlignedBuf, DeviceInfo, Done, Extent, Io, Status, Submit};

use crate::error::Error;
use crate::host::{Host, TICK};

/// The disk of a target that was attached.
pub(crate) fn disk<L: Link>(host: &Host<L>, id: RemoteId) -> Result<DeviceInfo, Error> {
    let disk = host.driver.remote(id).and_then(|remote| remote.disk());
    disk.ok_or_else(|| Error::Failed(format!("{}: it does not say what its disk is", address(host, id))))
}

fn address<L: Link>(host: &Host<L>, id: RemoteId) -> Address {
    host.driver.remote(id).map_or(Address::WILDCARD, |remote| remote.address())
}

/// Requests in flight to one target.
pub(crate) struct Blocks<'a, L: Link> {
    host: &'a mut Host<L>,
    id: RemoteId,
    in_flight: usize,
}

impl<'a, L: Link> Blocks<'a, L> {
    pub(crate) fn new(host: &'a mut Host<L>, id: RemoteId) -> Self {
        Self { host, id, in_flight: 0 }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Begins a request. `doing` completes "cannot ...".
    pub(crate) fn submit(&mut self, doing: &'static str, io: Io<AlignedBuf>) -> Result<(), Error> {
        match self.host.driver.submit(self.id, io) {
            Submit::Queued => {
                self.in_flight += 1;
                Ok(())
            }
            Submit::Done(done) => self.judge(doing, &done, None).map(drop),
            Submit::Full(io) => {
                let done = io.abandon();
                self.judge(doing, &done, None).map(drop)
            }
        }
    }

    /// Waits a moment, and tells `each` of what has ended by then. The first failure is the error.
    pub(crate) fn step(&mut self, doing: &'static str, mut each: impl FnMut(Extent)) -> Result<(), Error> {
        self.host.step(TICK)?;
        let mut result = Ok(());
        while let Some(event) = self.host.driver.poll() {
            let Event::Done(_, completion) = event else { continue };
            self.in_flight -= 1;
            let judged = self.judge(doing, &completion.done, completion.failure).map(&mut each);
            result = result.and(judged);
        }
        result
    }

    /// Waits for all that is in flight.
    pub(crate) fn finish(&mut self, doing: &'static str, mut each: impl FnMut(Extent)) -> Result<(), Error> {
        while self.in_flight > 0 {
            self.step(doing, &mut each)?;
        }
        Ok(())
    }

    fn judge(
        &self,
        doing: &'static str,
        done: &Done<AlignedBuf>,
        failure: Option<Failure>,
    ) -> Result<Extent, Error> {
        if done.status().is_ok() {
            return Ok(done.extent());
        }
        let address = address(self.host, self.id);
        if let Some(failure) = failure {
            return Err(Error::Request { address, doing, failure, remedy: "" });
        }
        let why = match done.status() {
            Status::OutOfRange => "beyond the end of the disk",
            Status::Unsupported => "the target does not announce it",
            _ => "the target failed the request",
        };
        Err(Error::Failed(format!("{address}: {doing}: {why}")))
    }
}
