//! Requests that repeat an earlier one ([`Recent`]).
//!
//! A repeat is counted and runs like any other. Nothing in a frame tells that it is one: Linux gives it another tag, others keep the
//! tag, and some have one tag for everything. So a request is taken for a repeat of an earlier one by the same initiator, of the same
//! kind and the same sectors, when it was sent before the answer to that can have been heard, or bears its tag:
//!
//! 1. the earlier one is in flight ([`Inflight`](crate::inflight::Inflight) knows), or was taken in the same turn;
//! 2. it was taken within [`MOMENT`], and both have the same tag, which is not 0.
//!
//! What is not seen: Linux repeating what was answered in an earlier turn, the answer having been lost. That looks as if somebody
//! wanted the same sectors once more, which journals and benchmarks do all the time. Nor is every read found among very many.

use std::ops::Range;
use std::time::Duration;

use aoe_wire::MacAddr;
use bdev::{Io, IoBuf};

use crate::late::nanos;

/// For how long a tag is taken for that of the earlier request. Initiators repeat within seconds.
const MOMENT: Duration = Duration::from_secs(10);

/// Requests that are remembered, a power of two. Where two meet in one place the later one stays.
const PLACES: usize = 256;

/// What a request is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It wants something else.
    New,
    /// It wants the same as one before it: a repeat if that is in flight.
    Again,
    /// A repeat.
    Repeat,
}

/// The requests of one disk with sectors that were taken last.
#[derive(Debug)]
pub(crate) struct Recent(Box<[Taken; PLACES]>);

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    start: u64,
    /// 0 where there is nothing.
    end: u64,
    /// By the turn's time, in nanoseconds.
    time: u64,
    source: MacAddr,
    is_write: bool,
    tag: [u8; 4],
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self(Box::new([Taken::default(); PLACES]))
    }

    /// Takes note of a request that may touch the sectors of `reach` and is taken in the turn of `time`, in nanoseconds; what it
    /// is to those before it.
    pub(crate) fn look<B: IoBuf>(
        &mut self,
        io: &Io<B>,
        reach: &Range<u64>,
        source: MacAddr,
        time: u64,
    ) -> Seen {
        if reach.is_empty() {
            return Seen::New;
        }
        let tag = io.buf().bytes().get(20..24).and_then(|tag| tag.try_into().ok()).unwrap_or_default();
        let taken =
            Taken { start: reach.start, end: reach.end, time, source, is_write: io.op().is_write(), tag };
        let earlier = std::mem::replace(&mut self.0[taken.place()], taken);
        if !earlier.is_like(&taken) {
            Seen::New
        } else if earlier.time == time || earlier.is_same_tag(&taken) {
            Seen::Repeat
        } else {
            Seen::Again
        }
    }
}

impl Taken {
    /// Sectors next to each other have places next to each other, each initiator elsewhere.
    fn place(&self) -> usize {
        let [.., high, low] = self.source.0;
        let mixed = (self.start ^ u64::from(low) << 8 ^ u64::from(high)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize % PLACES
    }

    fn is_like(&self, other: &Self) -> bool {
        self.start == other.start
            && self.end == other.end
            && self.source == other.source
            && self.is_write == other.is_write
    }

    fn is_same_tag(&self, later: &Self) -> bool {
        self.tag == later.tag && self.tag != [0; 4] && later.time.saturating_sub(self.time) <= nanos(MOMENT)
    }
}

#[cfg(test)]
mod tests {
    use bdev::{Extent, Op};

    use super::*;

    const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const MS: Duration = Duration::from_millis(1);

    struct Request {
        op: Op,
        lba: u64,
        sectors: u32,
        tag: u8,
        source: MacAddr,
    }

    const READ: Request = Request { op: Op::Read, lba: 8, sectors: 2, tag: 1, source: HOST };

    fn look(recent: &mut Recent, now: Duration, request: &Request) -> Seen {
        let mut frame = vec![0; 36];
        frame[23] = request.tag;
        let extent = Extent::new(request.lba, request.sectors);
        let io = Io::new(request.op, extent, frame, 36);
        let seen = recent.look(&io, &(extent.lba..extent.end()), request.source, nanos(now));
        drop(io.abandon());
        seen
    }

    #[test]
    fn the_same_tag_within_a_moment_is_a_repeat_and_another_tag_or_a_later_one_is_none() {
        let mut recent = Recent::new();
        assert_eq!(look(&mut recent, MS, &READ), Seen::New);
        assert_eq!(look(&mut recent, 500 * MS, &READ), Seen::Repeat);
        assert_eq!(look(&mut recent, 501 * MS, &Request { tag: 2, ..READ }), Seen::Again);
        assert_eq!(look(&mut recent, 502 * MS + MOMENT, &Request { tag: 2, ..READ }), Seen::Again);
    }

    #[test]
    fn tag_0_is_everybodys() {
        let mut recent = Recent::new();
        let read = Request { tag: 0, ..READ };
        assert_eq!(look(&mut recent, MS, &read), Seen::New);
        assert_eq!(look(&mut recent, 2 * MS, &read), Seen::Again);
        assert_eq!(
            look(&mut recent, 2 * MS, &read),
            Seen::Repeat,
            "sent before the answer, which leaves at the end of the turn"
        );
    }

    #[test]
    fn another_initiator_kind_or_run_of_sectors_is_another_request() {
        let others = [
            Request { source: MacAddr([2, 0, 0, 0, 0, 2]), ..READ },
            Request { op: Op::Write { fua: false }, ..READ },
            Request { sectors: 1, ..READ },
            Request { lba: 7, ..READ },
            Request { op: Op::Flush, lba: 0, sectors: 0, ..READ },
        ];
        for other in others {
            let mut recent = Recent::new();
            assert_eq!(look(&mut recent, MS, &READ), Seen::New);
            assert_eq!(look(&mut recent, MS, &other), Seen::New, "{:?} {}", other.op, other.lba);
        }
    }
}
