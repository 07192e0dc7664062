//! When the Linux driver sends again: [`Timing`].

use std::time::Duration;

/// How often it looks for what is late.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Retransmission times in milliseconds by the number of replies since the last IDENTIFY, with a fast target: protocol reference, section
/// 3.1.
const TABLE: [(u32, u64); 12] = [
    (0, 16_500),
    (1, 14_748),
    (2, 13_214),
    (5, 9_662),
    (10, 6_131),
    (20, 3_335),
    (50, 2_125),
    (100, 1_733),
    (200, 1_172),
    (500, 362),
    (1000, 52),
    (2000, 1),
];

/// What it knows of round trips.
#[derive(Debug)]
pub(super) struct Timing {
    replies: u32,
    /// Of measured round trips, in nanoseconds.
    mean: i64,
    deviation: i64,
}

impl Timing {
    /// As after `replies` replies.
    pub(super) fn new(replies: u32) -> Self {
        Self { replies, mean: 0, deviation: 0 }
    }

    /// A reply came after this time, also one to a sending that was given up.
    pub(super) fn measured(&mut self, time: Duration) {
        let off = time.as_nanos() as i64 - self.mean;
        self.mean += off / 8;
        self.deviation += (off.abs() - self.deviation) / 8;
        self.replies = self.replies.saturating_add(1);
    }

    /// After how long a frame is sent again, but for the tick.
    pub(super) fn patience(&self) -> Duration {
        let measured = Duration::from_nanos((2 * self.mean + 8 * self.deviation).max(0) as u64);
        measured.max(self.table())
    }

    fn table(&self) -> Duration {
        let after = TABLE.partition_point(|(replies, _)| *replies <= self.replies);
        let (from, most) = TABLE[after - 1];
        let Some((to, least)) = TABLE.get(after) else { return Duration::from_millis(most) };
        let part = (most - least) * u64::from(self.replies - from) / u64::from(to - from);
        Duration::from_millis(most - part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_fast_target_it_follows_the_table() {
        let mut timing = Timing::new(0);
        let patience = |timing: &Timing| timing.patience().as_millis();
        assert_eq!(patience(&timing), 16_500);
        timing.measured(Duration::from_micros(200));
        assert_eq!(patience(&timing), 14_748);
        (1..350).for_each(|_| timing.measured(Duration::from_micros(200)));
        assert_eq!(patience(&timing), 767, "half way from 200 to 500");
        (350..2100).for_each(|_| timing.measured(Duration::from_micros(200)));
        assert_eq!(patience(&timing), 1);
    }

    #[test]
    fn a_slow_target_is_waited_for() {
        let mut timing = Timing::new(2000);
        (0..200).for_each(|_| timing.measured(Duration::from_millis(300)));
        assert!((600..700).contains(&timing.patience().as_millis()), "{:?}", timing.patience());
    }
}
