//! How much of a disk its initiators may use a second ([`Limit`]).

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use bdev::{Io, Op};

use crate::bucket::Bucket;
use crate::initiators::source;
use crate::lanes::Lanes;
use crate::{Frame, TargetOptions};

/// What may be used at once after a rest, as the time that earns it.
const BURST: Duration = Duration::from_millis(100);

/// The limits of one disk, and the requests that wait for them. They have begun, so that those with a sector in common keep their order.
#[derive(Debug)]
pub(crate) struct Limit<F> {
    iops: Option<Bucket>,
    bytes: Option<Bucket>,
    /// The initiators take turns here as they do at the disk.
    waiting: Lanes<Io<F>>,
}

impl<F: Frame> Limit<F> {
    /// `None` where there is no limit.
    pub(crate) fn new(options: &TargetOptions) -> Option<Self> {
        let bucket = |per_second: u64| Bucket::new(per_second, BURST);
        let iops = options.iops.map(|limit| bucket(NonZeroU32::get(limit).into()));
        let bytes = options.bytes_per_second.map(|limit| bucket(NonZeroU64::get(limit)));
        (iops.is_some() || bytes.is_some()).then(|| Self { iops, bytes, waiting: Lanes::new() })
    }

    /// Returns the request when it may go to the disk now, else keeps it. A flush may always: it moves nothing of its own.
    pub(crate) fn pass(&mut self, io: Io<F>, now: u64) -> Option<Io<F>> {
        if io.op() == Op::Flush {
            return Some(io);
        }
        if self.waiting.is_empty() && self.has_any(now) {
            self.spend(&io);
            return Some(io);
        }
        self.waiting.push(source(io.buf()), io);
        None
    }

    /// The next of the requests that wait, when its time has come.
    pub(crate) fn next(&mut self, now: u64) -> Option<Io<F>> {
        if self.waiting.is_empty() || !self.has_any(now) {
            return None;
        }
        let io = self.waiting.pop()?;
        self.spend(&io);
        Some(io)
    }

    /// Whether a request waits.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn has_any(&mut self, now: u64) -> bool {
        self.iops.iter_mut().chain(&mut self.bytes).all(|bucket| {
            bucket.refill(now);
            bucket.has_any()
        })
    }

    fn spend(&mut self, io: &Io<F>) {
        if let Some(bucket) = &mut self.iops {
            bucket.spend(1);
        }
        if let Some(bucket) = self.bytes.as_mut().filter(|_| io.op().has_data()) {
            bucket.spend(io.extent().bytes());
        }
    }
}

impl<F> Limit<F> {
    /// Every request that waits, whatever the limit.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Io<F>> {
        self.waiting.drain()
    }
}
