//! How long to look again before falling asleep: [`Lull`].

use std::time::{Duration, Instant};

/// The longest that is looked again.
const PATIENCE: Duration = Duration::from_micros(50);

/// Each time in vain doubles the number of arrivals before the next try, up to 2 to this power.
const MOST_DOUBLINGS: u32 = 8;

/// To be woken takes longer than to answer: it costs the other end an interrupt to this processor, and this end a switch of tasks;
/// and to be watched for a waker costs something at every frame. So while frames come close upon each other, a link's event stays
/// readable for a moment after each, without asking the kernel, and whoever waits for it looks again.
///
/// Where frames never come that soon, because they are few, the way is long, or the sender needs this very processor, that is hardly
/// ever tried.
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
                self.in_vain = 0;
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
        let Some(last) = self.last else { return false };
        self.looked = true;
        if last.elapsed() < PATIENCE {
            std::thread::yield_now();
            return true;
        }
        self.sleep();
        false
    }

    /// There is something else to wait for.
    pub(crate) fn sleep(&mut self) {
        if self.last.take().is_some() {
            self.passes = 1 << self.in_vain;
            self.in_vain = (self.in_vain + 1).min(MOST_DOUBLINGS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_ago() -> Instant {
        Instant::now().checked_sub(PATIENCE).expect("not at the beginning of time")
    }

    #[test]
    fn it_is_looked_again_until_fifty_microseconds_after_the_last_frame() {
        let mut lull = Lull::default();
        assert!(!lull.nothing(), "nothing has arrived yet");
        let soon = Instant::now() + Duration::from_secs(60);
        assert!(lull.frames(soon) && lull.nothing() && lull.nothing());
        assert!(lull.frames(long_ago()));
        assert!(!lull.nothing() && !lull.nothing());
    }

    #[test]
    fn what_is_in_vain_becomes_rare_and_a_success_makes_it_frequent() {
        fn arrivals_until_the_next(lull: &mut Lull) -> Option<u32> {
            let arrivals = (1..1000).find(|_| lull.frames(long_ago()));
            assert!(!lull.nothing());
            arrivals
        }
        let mut lull = Lull::default();
        let waits: Vec<_> = (0..11).filter_map(|_| arrivals_until_the_next(&mut lull)).collect();
        assert_eq!(waits, [1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 257]);

        let soon = Instant::now() + Duration::from_secs(60);
        assert!((0..1000).any(|_| lull.frames(soon)));
        assert!(lull.nothing() && lull.frames(long_ago()), "a success");
        assert!(!lull.nothing());
        assert_eq!(arrivals_until_the_next(&mut lull), Some(2));
    }
}
