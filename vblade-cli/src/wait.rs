//! Waiting: for frames, for disks, and for signals.

use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Exit status of a program that was told to end twice.
const IMPATIENT: i32 = 1;

/// SIGTERM and SIGINT: the first is noted here, a second one ends the program on the spot. SIGHUP: noted.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    reread: Arc<AtomicBool>,
    pipe: UnixStream,
}

impl Signals {
    /// Takes over the signals.
    pub(crate) fn new() -> io::Result<Self> {
        let (stop, reread) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            // In this order: the flag is still clear when the first signal looks at it.
            flag::register_conditional_shutdown(signal, IMPATIENT, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
            low_level::pipe::register(signal, write.try_clone()?)?;
        }
        flag::register(SIGHUP, Arc::clone(&reread))?;
        low_level::pipe::register(SIGHUP, write)?;
        Ok(Self { stop, reread, pipe })
    }

    /// Takes over no signal: `stop` is what a signal would set.
    #[cfg(test)]
    pub(crate) fn with_flag(stop: Arc<AtomicBool>) -> Self {
        let (pipe, _) = UnixStream::pair().expect("a pair of sockets");
        Self { stop, reread: Arc::default(), pipe }
    }

    /// Whether a signal to end has arrived.
    pub(crate) fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether SIGHUP has arrived since the last call.
    pub(crate) fn take_reread(&self) -> bool {
        // Nearly always there is none, and then nothing is to be written.
        self.reread.load(Ordering::Relaxed) && self.reread.swap(false, Ordering::AcqRel)
    }

    /// Whether there is a signal that was not acted upon: one to end, or SIGHUP.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_told(&self) -> bool {
        self.stop() || self.reread.load(Ordering::Acquire)
    }

    /// Makes [`event`](Self::event) wait for the next signal. The others have been noted by then: a signal is noted first, shown second.
    pub(crate) fn quieten(&self) {
        let mut shown = [0; 64];
        while matches!((&self.pipe).read(&mut shown), Ok(1..)) {}
    }

    /// Readable from a signal on until [`quieten`](Self::quieten).
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Waits for any number of descriptors. The list of them is used again: a wait allocates only when it is for more of them than any before.
#[derive(Default)]
pub(crate) struct Waiter(Vec<PollFd<'static>>);

impl Waiter {
    /// Waits until one of `events` is readable or `timeout` has passed. Returns whether the first of them is readable.
    pub(crate) fn readable<'a>(
        &mut self,
        events: impl Iterator<Item = BorrowedFd<'a>>,
        timeout: Duration,
    ) -> io::Result<bool> {
        self.ready(events.map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN)), timeout)
    }

    /// The same for events of any kind.
    pub(crate) fn ready<'a>(
        &mut self,
        events: impl Iterator<Item = PollFd<'a>>,
        timeout: Duration,
    ) -> io::Result<bool> {
        let mut fds: Vec<PollFd<'a>> = mem::take(&mut self.0);
        fds.extend(events);
        let first = wait(&mut fds, timeout);
        fds.clear();
        // An empty list, which borrows nothing, in the same memory.
        self.0 = fds.into_iter().map(|_| unreachable!("an empty list")).collect();
        first
    }
}

fn wait(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(fds, Some(&timeout)) {
        Ok(_) => Ok(fds.first().is_some_and(|first| !first.revents().is_empty())),
        Err(Errno::INTR) => Ok(false),
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
        Waiter::default().readable([near.as_fd()].into_iter(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20));

        far.write_all(b"x").expect("room");
        let start = Instant::now();
        Waiter::default().readable([near.as_fd()].into_iter(), Duration::from_secs(60)).expect("a wait");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_wait_for_nothing_takes_its_time() {
        let start = Instant::now();
        Waiter::default().readable(std::iter::empty(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn many_descriptors_are_waited_for_in_the_memory_of_the_wait_before() {
        let pairs: Vec<_> = (0..100).map(|_| UnixStream::pair().expect("a pair of sockets")).collect();
        let events = || pairs.iter().map(|(near, _)| near.as_fd());
        let mut waiter = Waiter::default();
        assert!(!waiter.readable(events(), Duration::ZERO).expect("a wait"));
        let memory = (waiter.0.as_ptr(), waiter.0.capacity());
        assert!(memory.1 >= 100);
        (&pairs[99].1).write_all(b"x").expect("room");
        let start = Instant::now();
        assert!(!waiter.readable(events(), Duration::from_secs(60)).expect("a wait"), "not the first");
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!((waiter.0.as_ptr(), waiter.0.capacity()), memory);
    }

    #[test]
    fn a_signal_is_noted_and_wakes_whoever_waits() {
        let signals = Signals::new().expect("signal handlers");
        assert!(!signals.stop());
        let start = Instant::now();
        Waiter::default().readable([signals.event()].into_iter(), Duration::from_millis(20)).expect("a wait");
        assert!(start.elapsed() >= Duration::from_millis(20), "nothing has happened yet");
        low_level::raise(SIGHUP).expect("a signal");
        assert!(
            Waiter::default()
                .readable([signals.event()].into_iter(), Duration::from_secs(60))
                .expect("a wait")
        );
        signals.quieten();
        assert!(!Waiter::default().readable([signals.event()].into_iter(), Duration::ZERO).expect("a look"));
        assert!(signals.is_told());
        assert!(signals.take_reread() && !signals.take_reread(), "noted once");
        assert!(!signals.is_told());
        assert!(!signals.stop());
        low_level::raise(SIGTERM).expect("a signal");
        assert!(signals.stop() && !signals.take_reread());
        let start = Instant::now();
        Waiter::default().readable([signals.event()].into_iter(), Duration::from_secs(60)).expect("a wait");
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
