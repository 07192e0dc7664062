//! A rest for a listener: while accepting fails for want of something, its socket is readable, and polling it would not wait.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// How long a listener is left alone.
const REST: Duration = Duration::from_secs(1);

/// Until when a listener is left alone, if it is.
#[derive(Debug, Default)]
pub(super) struct Pause(Option<Instant>);

impl Pause {
    /// Begins, when `error` of accepting is one that would come again at once.
    pub(super) fn note(&mut self, error: &io::Error, now: Instant) {
        let lasting = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if Errno::from_io_error(error).is_some_and(|errno| lasting.contains(&errno)) {
            self.0 = Some(now + REST);
        }
    }

    /// What is left of it; none when the listener is to be polled.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.0.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_rests_for_a_while_when_there_are_no_descriptors_and_only_then() {
        let now = Instant::now();
        let mut pause = Pause::default();
        for errno in [Errno::WOULDBLOCK, Errno::CONNABORTED, Errno::INTR] {
            pause.note(&errno.into(), now);
            assert_eq!(pause.left(now), None, "{errno}");
        }
        pause.note(&Errno::MFILE.into(), now);
        assert_eq!(pause.left(now), Some(REST));
        assert_eq!(pause.left(now + REST), None);
    }
}
