//! How many requests may be in the air: [`Window`], with slow start and congestion avoidance as TCP has them (RFC 5681).

use std::time::Duration;

/// The window of one target.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: u32,
    /// What the target has room for, and the caller wants.
    limit: u32,
    /// Below it the window grows with every reply, above it once for a window full of them.
    threshold: u32,
    replies: u32,
    /// Requests that were sent before this moment belong to a loss that the window was narrowed for.
    narrowed: Duration,
}

impl Window {
    pub(crate) fn new(limit: u32) -> Self {
        Self { size: 2.min(limit), limit, threshold: limit, replies: 0, narrowed: Duration::ZERO }
    }

    /// Requests that the target queues.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests that may be in the air.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The target has become able to queue `limit` requests, at least 1.
    pub(crate) fn set_limit(&mut self, limit: u32) {
        // A threshold that no loss has lowered goes with the limit.
        if self.threshold == self.limit || self.threshold > limit {
            self.threshold = limit;
        }
        self.limit = limit;
        self.size = self.size.min(limit);
    }

    /// A request was answered.
    pub(crate) fn widen(&mut self) {
        if self.size >= self.limit {
            return;
        }
        self.replies += 1;
        if self.size < self.threshold || self.replies >= self.size {
            self.size += 1;
            self.replies = 0;
        }
    }

    /// A request that was sent at `sent` is lost, as replies to later ones show: half the window. Once for all that were lost with it.
    pub(crate) fn halve(&mut self, sent: Duration, now: Duration) {
        if sent >= self.narrowed {
            self.threshold = (self.size / 2).max(2).min(self.limit);
            (self.size, self.replies, self.narrowed) = (self.threshold, 0, now);
        }
    }

    /// A request that was sent at `sent` got no reply and nor did any later: back to one.
    pub(crate) fn collapse(&mut self, sent: Duration, now: Duration) {
        if sent >= self.narrowed {
            self.threshold = (self.size / 2).max(2).min(self.limit);
            self.narrowed = now;
        }
        (self.size, self.replies) = (1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn widened(limit: u32, replies: u32) -> Window {
        let mut window = Window::new(limit);
        (0..replies).for_each(|_| window.widen());
        window
    }

    #[test]
    fn it_grows_with_every_reply_up_to_the_limit() {
        assert_eq!(widened(16, 5).size(), 7);
        assert_eq!(widened(16, 100).size(), 16);
        assert_eq!(Window::new(1).size(), 1);
    }

    #[test]
    fn after_a_timeout_it_is_one_then_grows_fast_to_half_and_slowly_beyond() {
        let mut window = widened(64, 100);
        window.collapse(5 * MS, 10 * MS);
        assert_eq!(window.size(), 1);
        (0..31).for_each(|_| window.widen());
        assert_eq!(window.size(), 32);
        (0..31).for_each(|_| window.widen());
        assert_eq!(window.size(), 32);
        window.widen();
        assert_eq!(window.size(), 33);
    }

    #[test]
    fn requests_lost_together_narrow_it_once() {
        let mut window = widened(64, 100);
        window.halve(5 * MS, 10 * MS);
        window.halve(6 * MS, 11 * MS);
        assert_eq!(window.size(), 32);
        window.halve(12 * MS, 20 * MS);
        assert_eq!(window.size(), 16);
    }

    #[test]
    fn a_smaller_limit_takes_effect_at_once_and_a_larger_one_by_replies() {
        let mut window = widened(64, 100);
        window.set_limit(8);
        assert_eq!(window.size(), 8);
        window.set_limit(32);
        assert_eq!(window.size(), 8);
        (0..100).for_each(|_| window.widen());
        assert_eq!(window.size(), 32);
    }
}
