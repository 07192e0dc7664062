//! How long to look again before falling asleep: [`Lull`].

use std::time::{Duration, Instant};

/// The longest that is looked again.
const PATIENCE: Duration = Duration::from_micros(50);

/// Each time in vain doubles the number of arrivals before the next try, up to 2 to this power.
const MOST_DOUBLINGS: u32 = 8;

/// The same where somebody else wants the processor.
const MOST_DOUBLINGS_SHARED: u32 = 13;

/// How often it is doubled for that at once.
const SHARED: u32 = 4;

/// When it takes longer than this to yield the processor to nobody, it was somebody.
const YIELD: Duration = Duration::from_micros(6);

/// To be woken takes longer than to answer: it costs the other end an interrupt to this processor, and this end a switch of tasks;
/// and to be watched for a waker costs something at every frame. So while frames come close upon each other, a link's event stays
/// readable for a moment after each, without asking the kernel, and whoever waits for it looks again.
///
/// Where frames never come that soon, because they are few or the way is long, that is hardly ever tried; least of all where somebody else
/// needs this very processor. Who sleeps is given it as soon as there is something to do; who only yields waits for the other's turn to end.
#[derive(Debug, Default)]
pub(crate) struct Lull {
    /// When the last frame arrived, while awake.
    last: Option<Instant>,
    /// Whether anybody looked since.
    looked: bool,
    /// How often that was in vain, in a row.
    in_vain: u32,
    /// Arrivals after which to fall asleep at once.
    passes: u32,
}

impl Lull {
    /// Frames have arrived. Whether to look again before sleeping.
    pub(crate) fn frames(&mut self, now: Instant) -> bool {
        if self.last.is_some() {
            if self.looked {
                self.in_vain = self.in_vain.saturating_sub(1);
            }
        } else if self.passes > 0 {
            self.passes -= 1;
            return false;
        }
        (self.last, self.looked) = (Some(now), false);
        true
    }

    /// Nothing has arrived. Whether to look again before sleeping; if so, others on this processor have had their turn.
    pub(crate) fn nothing(&mut self) -> bool {
        self.nothing_but(|| {
            let before = Instant::now();
            std::thread::yield_now();
            before.elapsed()
        })
    }

    /// The same; `give_way` yields the processor and tells for how long.
    fn nothing_but(&mut self, give_way: impl FnOnce() -> Duration) -> bool {
        let Some(last) = self.last else { return false };
        self.looked = true;
        if last.elapsed() >= PATIENCE {
            self.sleep();
        } else if give_way() >= YIELD {
            self.shared();
        }
        self.last.is_some()
    }

    /// Somebody else had the processor.
    fn shared(&mut self) {
        self.last = None;
        self.in_vain = (self.in_vain + SHARED).min(MOST_DOUBLINGS_SHARED);
        self.passes = 1 << self.in_vain;
    }

    /// There is something else to wait for.
    pub(crate) fn sleep(&mut self) {
        if self.last.take().is_some() {
            self.passes = 1 << self.in_vain;
            self.in_vain = (self.in_vain + 1).min(MOST_DOUBLINGS).max(self.in_vain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Duration = Duration::from_nanos(300);
    const SOMEBODY: Duration = Duration::from_millis(4);

    fn long_ago() -> Instant {
        Instant::now().checked_sub(PATIENCE).expect("not at the beginning of time")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Fails once more; how many arrivals that took.
    fn arrivals_until_the_next(lull: &mut Lull, other: Duration) -> Option<u32> {
        let at = if other == NOBODY { long_ago() } else { soon() };
        let arrivals = (1..10_000).find(|_| lull.frames(at));
        assert!(!lull.nothing_but(|| other));
        arrivals
    }

    #[test]
    fn it_is_looked_again_until_fifty_microseconds_after_the_last_frame() {
        let mut lull = Lull::default();
        assert!(!lull.nothing(), "nothing has arrived yet");
        assert!(lull.frames(soon()) && lull.nothing_but(|| NOBODY) && lull.nothing_but(|| NOBODY));
        assert!(lull.frames(long_ago()));
        assert!(!lull.nothing_but(|| NOBODY) && !lull.nothing_but(|| NOBODY));
    }

    #[test]
    fn what_is_in_vain_becomes_rare_and_successes_make_it_frequent() {
        let mut lull = Lull::default();
        let waits: Vec<_> = (0..11).filter_map(|_| arrivals_until_the_next(&mut lull, NOBODY)).collect();
        assert_eq!(waits, [1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 257]);

        assert!((0..1000).any(|_| lull.frames(soon())));
        for _ in 0..8 {
            assert!(lull.nothing_but(|| NOBODY) && lull.frames(soon()), "a success");
        }
        assert!(lull.frames(long_ago()) && !lull.nothing_but(|| NOBODY));
        assert_eq!(arrivals_until_the_next(&mut lull, NOBODY), Some(2));
    }

    #[test]
    fn where_somebody_else_takes_the_processor_it_soon_is_hardly_ever_tried() {
        let mut lull = Lull::default();
        let waits: Vec<_> = (0..5).filter_map(|_| arrivals_until_the_next(&mut lull, SOMEBODY)).collect();
        assert_eq!(waits, [1, 17, 257, 4097, 8193]);
        assert!((0..10_000).any(|_| lull.frames(soon())));
        assert!(lull.nothing_but(|| NOBODY) && lull.frames(soon()), "one success among them");
        assert!(!lull.nothing_but(|| SOMEBODY));
        assert_eq!(arrivals_until_the_next(&mut lull, SOMEBODY), Some(8193));
    }

    #[test]
    fn who_has_something_else_to_wait_for_sleeps_at_once_and_tries_less_and_less() {
        let mut lull = Lull::default();
        lull.sleep();
        assert!(lull.frames(soon()), "asleep already: that was not in vain");
        for waits in [1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            lull.sleep();
            let asked = lull.nothing_but(|| panic!("nobody gives way in his sleep"));
            assert!(!asked);
            lull.sleep();
            assert!((0..waits).all(|_| !lull.frames(soon())) && lull.frames(soon()), "after {waits}");
        }
    }

    #[test]
    fn to_wait_for_something_else_does_not_make_it_frequent_where_the_processor_is_shared() {
        let mut lull = Lull::default();
        for _ in 0..4 {
            assert!(arrivals_until_the_next(&mut lull, SOMEBODY).is_some());
        }
        assert!((0..10_000).any(|_| lull.frames(soon())));
        lull.sleep();
        for _ in 0..2 {
            assert_eq!(arrivals_until_the_next(&mut lull, SOMEBODY), Some(8193));
        }
    }

    #[test]
    fn frames_that_nobody_waited_for_are_no_success() {
        let mut lull = Lull::default();
        assert!(lull.frames(soon()));
        lull.sleep();
        assert!(
            !lull.frames(soon()) && (0..5).all(|_| lull.frames(soon())),
            "one lull, and they come at once"
        );
        lull.sleep();
        assert!((0..2).all(|_| !lull.frames(soon())) && lull.frames(soon()), "the second in vain");
    }
}
