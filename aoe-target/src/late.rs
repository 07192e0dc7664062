//! Writes that come too late (`Late`).
//!
//! A frame may wait in one queue while its sender, who has given it up, sends the same again by another, hears that it is done, and
//! writes something newer there. Executed then, the first would undo the newer write. Nothing in a frame tells that it is old; the time
//! of its arrival does. So a write is dropped without an answer when
//!
//! * a write has been executed that arrived at least [`MARGIN`] later,
//! * and the two have a sector in common.
//!
//! No initiator sends again within that margin, so a write that is dropped is one that was repeated or given up. Age alone is no
//! reason, a read harms nobody, and a frame whose time is not known is executed.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use aoe_wire::{ATA_HEADER_LEN, trim_ranges};
use bdev::{Io, Op};

use crate::port::Arrival;
use crate::{Frame, head};

/// How much newer the other write must be. The shortest time after which an initiator sends again is twice that (9front).
const MARGIN: Duration = Duration::from_millis(10);

/// For how long a write is remembered, counted by the arrival of those after it.
const MEMORY: Duration = Duration::from_secs(1);

/// Writes (of a TRIM, ranges) that are remembered of each link at most: 384 KiB.
const MOST: usize = 16 << 10;

/// The writes of one disk that were executed lately.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// By link, each in the order of its times.
    logs: Vec<VecDeque<Written>>,
    newest: u64,
    #[cfg(feature = "sabotage")]
    sabotage: crate::Sabotage,
}

#[derive(Debug)]
struct Written {
    start: u64,
    end: u64,
    /// Of arrival, in nanoseconds.
    time: u64,
}

impl Late {
    /// Whether a request that is about to begin is a write that comes too late. One that is not is taken note of. `reach` is every
    /// sector that it may touch.
    pub(crate) fn refuses<F: Frame>(&mut self, arrival: Arrival, io: &Io<F>, reach: &Range<u64>) -> bool {
        let Some(time) = arrival.time.filter(|_| io.op().is_write()) else { return false };
        let late = self.newest >= nanos(time + self.margin())
            && any_range(io, reach, |range| self.overtook(time, &range));
        if !late {
            let log = self.log(arrival.link);
            any_range(io, reach, |range| {
                note(log, Written { start: range.start, end: range.end, time: nanos(time) });
                false
            });
            self.newest = self.newest.max(nanos(time));
        }
        late
    }

    /// Whether a write with a sector in `range` was executed that arrived enough later than `time`.
    fn overtook(&self, time: Duration, range: &Range<u64>) -> bool {
        let since = nanos(time + self.margin());
        self.logs.iter().any(|log| {
            let newer = log.partition_point(|written| written.time < since);
            log.range(newer..).any(|written| {
                written.start < range.end && range.start < written.end && written.time >= since
            })
        })
    }

    fn margin(&self) -> Duration {
        #[cfg(feature = "sabotage")]
        if self.sabotage.late_margin {
            return MARGIN / 10;
        }
        MARGIN
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, sabotage: crate::Sabotage) {
        self.sabotage = sabotage;
    }

    fn log(&mut self, link: usize) -> &mut VecDeque<Written> {
        if self.logs.len() <= link {
            self.logs.resize_with(link + 1, VecDeque::new);
        }
        &mut self.logs[link]
    }
}

fn note(log: &mut VecDeque<Written>, written: Written) {
    let old = written.time.saturating_sub(nanos(MEMORY));
    while log.front().is_some_and(|first| first.time < old) || log.len() >= MOST {
        log.pop_front();
    }
    // An interface with several queues may hand over frames in another order than it has stamped them.
    let newer = log.iter().rev().take_while(|other| other.time > written.time).count();
    log.insert(log.len() - newer, written);
}

/// Whether `check` holds for a range of sectors that the request writes: of a TRIM, each of its ranges, and not what lies between them.
fn any_range<F: Frame>(io: &Io<F>, reach: &Range<u64>, mut check: impl FnMut(Range<u64>) -> bool) -> bool {
    if io.op() != Op::Discard {
        return check(reach.clone());
    }
    head::view(io.buf(), |bytes| {
        let ranges = bytes.get(ATA_HEADER_LEN..).map(|payload| trim_ranges(payload, 1));
        let Some(Ok(ranges)) = ranges else { return false };
        ranges
            .iter()
            .filter(|range| range.sectors() != 0)
            .any(|range| check(range.lba()..range.lba() + u64::from(range.sectors())))
    })
}

/// Nanoseconds, which last for 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bdev::Extent;
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Whether a write of these sectors that arrived then is refused.
    fn refuses(late: &mut Late, link: usize, time: Duration, lba: u64, sectors: u32) -> bool {
        let extent = Extent::new(lba, sectors);
        let io = Io::write(extent, BytesMut::new(), 0);
        let refused = late.refuses(Arrival { link, time: Some(time) }, &io, &(lba..extent.end()));
        drop(io.abandon());
        refused
    }

    #[test]
    fn the_memory_is_bounded_and_what_is_newest_stays() {
        let mut late = Late::default();
        let writes = 2 * MOST as u64;
        for lba in 0..writes {
            assert!(!refuses(&mut late, 1, 500 * MS, lba, 1));
        }
        assert_eq!(late.logs[1].len(), MOST);
        assert!(late.logs[1].capacity() * size_of::<Written>() <= 384 << 10);
        assert!(refuses(&mut late, 0, MS, writes - MOST as u64, 1));
        assert!(!refuses(&mut late, 0, MS, writes - MOST as u64 - 1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_refused_is_what_a_list_of_all_writes_of_the_second_says(
            writes in prop::collection::vec((0..3usize, 0..30u64, 0..20u64, 0..40u64, 1..9u32), 1..200),
        ) {
            let mut late = Late::default();
            let mut clocks = [0; 3];
            let mut executed: Vec<(u64, Range<u64>)> = vec![];
            for (link, step, back, lba, sectors) in writes {
                clocks[link] += step;
                let (time, range) = (clocks[link].saturating_sub(back), lba..lba + u64::from(sectors));
                let overtook = |(newer, other): &(u64, Range<u64>)| {
                    *newer >= time + 10 && other.start < range.end && range.start < other.end
                };
                let wanted = executed.iter().any(overtook);
                prop_assume!(clocks.iter().max() < Some(&1000));
                let refused = refuses(&mut late, link, Duration::from_millis(time), lba, sectors);
                prop_assert_eq!(refused, wanted);
                if !refused {
                    executed.push((time, range));
                }
            }
        }
    }
}
