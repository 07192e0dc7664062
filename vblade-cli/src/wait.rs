//! Waiting: for frames, for disks, and for the signals that end the program.

use std::array;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Exit status of a program that was told to end twice.
const IMPATIENT: i32 = 1;

/// SIGTERM and SIGINT: the first is noted here, a second one ends the program on the spot.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    pipe: UnixStream,
}

impl Signals {
    /// Takes over both signals.
    pub(crate) fn new() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (pipe, write) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            // In this order: the flag is still clear when the first signal looks at it.
            flag::register_conditional_shutdown(signal, IMPATIENT, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
            low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { stop, pipe })
    }

    /// Takes over no signal: `stop` is what a signal would set.
    #[cfg(test)]
    pub(crate) fn with_flag(stop: Arc<AtomicBool>) -> Self {
        let (pipe, _) = UnixStream::pair().expect("a pair of sockets");
        Self { stop, pipe }
    }

    /// Whether a signal has arrived.
    pub(crate) fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Readable from the first signal on.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Descriptors waited for at a time: one link, one disk, the signals, and one to spare.
const EVENTS: usize = 4;

/// Waits until one of `events` is readable or `timeout` has passed.
pub(crate) fn readable<'a>(
    events: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> io::Result<()> {
    let mut events = events.peekable();
    let Some(&first) = events.peek() else {
        std::thread::sleep(timeout);
        return Ok(());
    };
    // Room that is left over holds the first once more, which changes nothing.
    let mut fds: [PollFd<'_>; EVENTS] =
        array::from_fn(|_| PollFd::from_borrowed_fd(events.next().unwrap_or(first), PollFlags::IN));
    debug_assert!(events.next().is_none(), "more than {EVENTS} events");
    let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_event_ends_the_wait_and_without_one_it_times_out() {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        let start = Instant::now();
        readable([near.as_fd()].into_iter(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20));

        far.write_all(b"x").expect("room");
        let start = Instant::now();
        readable([near.as_fd()].into_iter(), Duration::from_secs(60)).expect("a wait");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_wait_for_nothing_takes_its_time() {
        let start = Instant::now();
        readable(std::iter::empty(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_signal_is_noted_and_wakes_whoever_waits() {
        let signals = Signals::new().expect("signal handlers");
        assert!(!signals.stop());
        let start = Instant::now();
        readable([signals.event()].into_iter(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20), "nothing has happened yet");
        low_level::raise(SIGTERM).expect("a signal");
        assert!(signals.stop());
        let start = Instant::now();
        readable([signals.event()].into_iter(), Duration::from_secs(60)).expect("a wait");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
