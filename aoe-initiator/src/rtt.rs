//! How long a reply may take: [`Rtt`], smoothed round trip and its variation as TCP keeps them (RFC 6298).

use std::time::Duration;

/// Until the first reply was measured.
const UNKNOWN: Duration = Duration::from_millis(200);

/// Answers after which something found too short is tried shorter again.
const CALM: u32 = 4096;

/// The longest time that doubling leads to.
const LONGEST: Duration = Duration::from_secs(2);

/// Round trips of one kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    /// The shortest time until something is sent again when nothing was answered, and when something later was.
    floor: Duration,
    overtaken_floor: Duration,
    /// By how much the latter was found to be too short.
    caution: u32,
    /// Answers since that was last found.
    calm: u32,
    doubled: u32,
}

impl Rtt {
    pub(crate) fn new(floor: Duration, overtaken_floor: Duration) -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            floor,
            overtaken_floor,
            caution: 0,
            calm: 0,
            doubled: 0,
        }
    }

    /// The smoothed round trip.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// A reply came this long after its request. Since every sending has a tag of its own, it is known which.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let Some(smoothed) = self.smoothed else {
            (self.smoothed, self.variation) = (Some(rtt), rtt / 2);
            return;
        };
        self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
        self.smoothed = Some((smoothed * 7 + rtt) / 8);
    }

    /// Something was sent and not answered in time: wait twice as long from now on.
    pub(crate) fn back_off(&mut self) {
        self.doubled = (self.doubled + 1).min(16);
    }

    /// Something was answered: no more back-off.
    pub(crate) fn settle(&mut self) {
        self.doubled = 0;
        self.calm += 1;
        if self.calm >= CALM {
            (self.calm, self.caution) = (0, self.caution.saturating_sub(1));
        }
    }

    /// Something was sent again and then answered as first sent: the target is not as fast with everything, so be slower to take a later
    /// answer for a sign of loss.
    pub(crate) fn was_hasty(&mut self) {
        (self.calm, self.caution) = (0, (self.caution + 1).min(7));
    }

    /// How often the time was doubled since the last answer.
    pub(crate) fn doubled(&self) -> u32 {
        self.doubled
    }

    /// When a request is sent again that has no reply: this long after it was sent.
    pub(crate) fn timeout(&self) -> Duration {
        let base = self.smoothed.map_or(UNKNOWN, |smoothed| smoothed + self.variation * 4).max(self.floor);
        // Never less than what was measured: a target that takes longer would be asked again and again, and never be heard.
        base.saturating_mul(1 << self.doubled).min(LONGEST.max(base))
    }

    /// The same for a request when one of its kind that was sent later has been answered.
    pub(crate) fn overtaken(&self) -> Duration {
        let smoothed = self.smoothed.unwrap_or(UNKNOWN);
        (smoothed + (self.variation * 4).max(smoothed / 4))
            .max(self.overtaken_floor * (1 << self.caution))
            .min(self.timeout())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn steady(rtt: Duration) -> Rtt {
        let mut estimate = Rtt::new(20 * MS, MS);
        (0..100).for_each(|_| estimate.sample(rtt));
        estimate
    }

    #[test]
    fn a_steady_round_trip_is_found_and_the_timeout_never_falls_below_the_floor() {
        let estimate = steady(MS);
        assert_eq!(estimate.smoothed(), Some(MS));
        assert_eq!(estimate.timeout(), 20 * MS);
        assert!(estimate.overtaken() <= 3 * MS, "{:?}", estimate.overtaken());
    }

    #[test]
    fn a_slow_disk_is_given_more_time_than_it_takes() {
        let mut estimate = steady(MS);
        for _ in 0..10 {
            estimate.sample(100 * MS);
        }
        assert!(estimate.timeout() > 100 * MS);
        assert!(steady(10 * LONGEST).timeout() >= 10 * LONGEST);
    }

    #[test]
    fn each_timeout_doubles_the_next_up_to_a_limit_and_a_reply_ends_that() {
        let mut estimate = steady(50 * MS);
        let first = estimate.timeout();
        estimate.back_off();
        assert_eq!(estimate.timeout(), first * 2);
        (0..40).for_each(|_| estimate.back_off());
        assert_eq!(estimate.timeout(), LONGEST);
        estimate.settle();
        assert_eq!(estimate.timeout(), first);
    }
}
