//! Receive times by a clock that nobody sets.
//!
//! The kernel stamps frames by the system's clock (`CLOCK_REALTIME`), which somebody may set: frames that arrived in order seem hours
//! apart then. `CLOCK_MONOTONIC` runs at the same rate, however that is trimmed, so that the two differ by the same amount until the
//! first is set. As long as they do, a stamp tells the time by the second. When they do not, no stamp does that may be from before, which
//! is over when the ring has been empty.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The clock was set if it has moved by so much; what is less is lost among the reasons to read two clocks at different moments.
const JUMP: Duration = Duration::from_millis(1);

/// The difference of two clocks counts if they were read within this.
const AT_ONCE: Duration = Duration::from_micros(200);

/// Tries to read them so.
const TRIES: usize = 3;

/// What two clocks said at the same moment.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// The one that nobody sets.
    now: Duration,
    /// How far the system's clock is ahead of it.
    ahead: Duration,
}

/// The stamps of the frames that were received last.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    stamps: Vec<Duration>,
    /// Whether anybody has asked for times.
    wanted: bool,
    /// Whether no frame was left in the ring.
    drained: bool,
    /// When the ring was looked at, or a moment before: much may arrive between the look and the question for times.
    look: Duration,
    /// When it was last found empty: what comes now has arrived since.
    empty_at: Duration,
    /// How far the system's clock is ahead, when frames in the ring were stamped.
    ahead: Option<Duration>,
    /// The same, as it seems to be since it was set.
    next: Option<Duration>,
}

impl Stamps {
    /// Forgets those of the last time. The ring is about to be looked at.
    pub(super) fn clear(&mut self) {
        self.stamps.clear();
        if self.wanted {
            self.look = duration(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
        }
    }

    /// A frame was received with this stamp.
    pub(super) fn push(&mut self, stamp: Duration) {
        if self.wanted {
            self.stamps.push(stamp);
        }
    }

    /// Whether no frame was left after those.
    pub(super) fn set_drained(&mut self, drained: bool) {
        self.drained = drained;
    }

    /// Appends the times of the frames; `None` for each whose stamp may be by the clock as it was before somebody set it.
    pub(super) fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        self.wanted = true;
        self.convert(read_clocks(), times);
    }

    /// `clocks` were read after the frames were received, so that no stamp is younger.
    fn convert(&mut self, clocks: Option<Clocks>, times: &mut Vec<Option<Duration>>) {
        let Some(clocks) = clocks else { return };
        let same = |ahead: &Duration| clocks.ahead.abs_diff(*ahead) < JUMP;
        let ahead = self.ahead.filter(same);
        // Set twice, the clock may go as before, and have been wrong in between.
        let possible = |time: &Duration| *time + JUMP >= self.empty_at && *time < clocks.now + JUMP;
        let time = |stamp: &Duration| stamp.checked_sub(ahead?).filter(possible);
        times.extend(self.stamps.iter().map(time));
        if ahead.is_none() {
            // When it was first seen so before the ring was empty, every frame that comes now was stamped by it.
            let settled = self.next.filter(same).filter(|_| self.drained);
            (self.ahead, self.next) = (settled, Some(clocks.ahead));
        }
        if self.drained {
            self.empty_at = self.look;
        }
    }
}

/// `None` if this thread was kept from reading them at once, each time.
fn read_clocks() -> Option<Clocks> {
    let read = |clock| duration(clock_gettime(clock));
    (0..TRIES).find_map(|_| {
        let before = read(ClockId::Monotonic)?;
        let system = read(ClockId::Realtime)?;
        let now = read(ClockId::Monotonic)?;
        let ahead = system.checked_sub(before)?;
        (now - before < AT_ONCE).then_some(Clocks { now, ahead })
    })
}

/// `None` for a time before the clock's beginning.
fn duration(time: Timespec) -> Option<Duration> {
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Stamps, and a system's clock that is `ahead`.
    struct Host {
        stamps: Stamps,
        ahead: Duration,
    }

    impl Host {
        /// A ring that has been empty and looked at for a while.
        fn new() -> Self {
            let mut host = Self { stamps: Stamps { wanted: true, ..Stamps::default() }, ahead: 1000 * HOUR };
            for now in [1, 2, 3] {
                host.receive(ms(now), &[], true);
            }
            host
        }

        /// The stamp of a frame that arrives at this time.
        fn stamp(&self, time: u64) -> Duration {
            ms(time) + self.ahead
        }

        /// The times, in milliseconds, of frames with these stamps, that are received and asked for at `now`.
        fn receive(&mut self, now: Duration, stamps: &[Duration], drained: bool) -> Vec<Option<u64>> {
            self.stamps.clear();
            self.stamps.look = now;
            stamps.iter().for_each(|stamp| self.stamps.push(*stamp));
            self.stamps.set_drained(drained);
            let mut times = Vec::new();
            self.stamps.convert(Some(Clocks { now, ahead: self.ahead }), &mut times);
            times.iter().map(|time| Some(u64::try_from(time.as_ref()?.as_millis()).unwrap())).collect()
        }
    }

    #[test]
    fn frames_have_the_times_of_their_arrival_however_long_they_waited() {
        let mut host = Host::new();
        let stamps = [host.stamp(10), host.stamp(250)];
        assert_eq!(host.receive(ms(900), &stamps, false), [Some(10), Some(250)]);
    }

    #[test]
    fn a_frame_that_came_between_the_look_at_the_ring_and_the_question_for_times_has_its_time() {
        let mut host = Host::new();
        host.stamps.clear();
        host.stamps.look = ms(10);
        host.stamps.set_drained(true);
        // Others had the processor meanwhile.
        host.stamps.convert(Some(Clocks { now: ms(400), ahead: host.ahead }), &mut Vec::new());
        let stamp = host.stamp(11);
        assert_eq!(host.receive(ms(401), &[stamp], true), [Some(11)]);
    }

    #[test]
    fn frames_from_before_and_after_the_clock_was_set_have_no_time_until_the_ring_was_empty() {
        for set in [Duration::checked_add, Duration::checked_sub] {
            let mut host = Host::new();
            let before = host.stamp(10);
            host.ahead = set(host.ahead, HOUR).unwrap();
            let after = host.stamp(11);
            assert_eq!(host.receive(ms(12), &[before, after], false), [None, None]);
            // Some that arrived before it was set may still be there.
            assert_eq!(host.receive(ms(13), &[before, after], false), [None, None]);
            assert_eq!(host.receive(ms(14), &[after], true), [None]);
            let stamp = host.stamp(15);
            assert_eq!(host.receive(ms(16), &[stamp], true), [Some(15)]);
        }
    }

    #[test]
    fn a_frame_that_came_between_the_look_at_the_ring_and_that_at_a_clock_just_set_has_no_time() {
        let mut host = Host::new();
        let stamp = host.stamp(10);
        host.ahead -= ms(100);
        assert_eq!(host.receive(ms(10), &[], true), []);
        assert_eq!(host.receive(ms(500), &[stamp], true), [None], "not 110");
    }

    #[test]
    fn a_clock_that_was_set_and_set_back_gives_no_time_that_cannot_be() {
        let mut host = Host::new();
        let (late, early) = (host.stamp(10) + HOUR, host.stamp(10) - HOUR);
        let stamp = host.stamp(10);
        assert_eq!(host.receive(ms(12), &[late, stamp, early], true), [None, Some(10), None]);
    }

    #[test]
    fn a_thread_that_cannot_read_the_clocks_at_once_knows_no_times_for_once() {
        let mut host = Host::new();
        host.stamps.push(host.stamp(10));
        let mut times = Vec::new();
        host.stamps.convert(None, &mut times);
        assert_eq!(times, []);
        let stamp = host.stamp(20);
        assert_eq!(host.receive(ms(21), &[stamp], true), [Some(20)]);
    }

    #[test]
    fn nothing_is_kept_for_who_does_not_ask() {
        let mut stamps = Stamps::default();
        stamps.push(HOUR);
        assert!(stamps.stamps.is_empty());
    }

    #[test]
    fn the_clocks_of_this_system_can_be_read_and_keep_their_distance() {
        let read = || std::iter::repeat_with(read_clocks).take(1000).find_map(|clocks| clocks).unwrap();
        let (one, other) = (read(), read());
        assert!(one.now <= other.now);
        assert!(one.ahead.abs_diff(other.ahead) < JUMP);
    }
}
