//! Rule 5 of the model: a write that was overtaken is dropped.

use std::time::Duration;

use super::{Model, Port, Work};

/// How much newer the write must be that makes another late.
const MARGIN: Duration = Duration::from_millis(10);
/// A link's writes that are so much older than its latest are forgotten.
const MEMORY: Duration = Duration::from_secs(1);

/// What was executed lately.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Lately {
    /// Link, time of arrival, first sector and count.
    writes: Vec<(usize, Duration, u64, u64)>,
    /// Writes that were dropped.
    pub(in super::super) dropped: u64,
}

impl Model {
    /// Whether the target drops this. If not, it is taken note of.
    pub(super) fn is_late(&mut self, port: Port, time: Option<Duration>, work: &Work) -> bool {
        let (Some(lately), Some(time), true) = (&mut self.lately, time, work.is_write()) else {
            return false;
        };
        let overtook = |(_, other, start, sectors): &(usize, Duration, u64, u64)| {
            *other >= time + MARGIN
                && work.extents().iter().any(|(lba, count)| *lba < start + sectors && *start < lba + count)
        };
        if lately.writes.iter().any(overtook) {
            lately.dropped += 1;
            return true;
        }
        lately.writes.retain(|(link, other, ..)| *link != port.number || *other + MEMORY >= time);
        let new = work.extents().into_iter().map(|(lba, count)| (port.number, time, lba, count));
        lately.writes.extend(new);
        false
    }
}
