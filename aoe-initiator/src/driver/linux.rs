//! Waiting on Linux: one epoll over the links and a timer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

pub(super) struct Waiter {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// When the timer goes off, on the driver's clock.
    armed: Option<Duration>,
}

impl Waiter {
    pub(super) fn new<'a>(events: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let add = |event| epoll::add(&epoll, event, epoll::EventData::new_u64(0), epoll::EventFlags::IN);
        add(timer.as_fd())?;
        for event in events {
            add(event)?;
        }
        Ok(Self { epoll, timer, armed: None })
    }

    pub(super) fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(at_most).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 4];
        match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the event readable after `pause`, if not earlier. The timer is only ever set to an earlier time, and again when it has gone
    /// off: so it costs a system call now and then and not with every request.
    pub(super) fn arm(&mut self, now: Duration, pause: Option<Duration>) -> io::Result<()> {
        if self.armed.is_some_and(|at| at <= now) {
            // Nothing to read just means that it has not gone off yet.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            self.armed = None;
        }
        let Some(pause) = pause else { return Ok(()) };
        if self.armed.is_some_and(|at| at <= now + pause) {
            return Ok(());
        }
        // A time of zero would disarm it.
        let value = Timespec::try_from(pause.max(Duration::from_nanos(1)))
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let set = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &set)?;
        self.armed = Some(now + pause);
        Ok(())
    }

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}
