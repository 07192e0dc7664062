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

    pub(super) fn wait(&mut self, now: Duration, at_most: Duration) -> io::Result<()> {
        // One that has gone off would end every wait.
        if self.armed.is_some_and(|at| at <= now) {
            self.set(Duration::ZERO)?;
            self.armed = None;
        }
        let timeout = Timespec::try_from(at_most).map_err(|_| io::ErrorKind::InvalidInput)?;
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        match epoll::wait(&self.epoll, &mut [none; 4], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the event readable after `pause`, if not earlier. The timer is only ever set to an earlier time, and again when it has gone
    /// off: so it costs a system call now and then and not with every request.
    pub(super) fn arm(&mut self, now: Duration, pause: Option<Duration>) -> io::Result<()> {
        let due = pause.map(|pause| now.saturating_add(pause));
        let is_over = self.armed.is_some_and(|at| at <= now);
        let is_late = due.is_some_and(|due| self.armed.is_none_or(|at| due < at));
        if is_over || is_late {
            // Setting it also takes back that it has gone off. A time of zero disarms it.
            self.set(pause.map_or(Duration::ZERO, |pause| pause.max(Duration::from_nanos(1))))?;
            self.armed = due;
        }
        Ok(())
    }

    fn set(&self, after: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(after).map_err(|_| io::ErrorKind::InvalidInput)?;
        let set = Itimerspec { it_interval: zero, it_value };
        Ok(rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &set).map(drop)?)
    }

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}
