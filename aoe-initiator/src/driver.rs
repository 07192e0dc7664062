//! An initiator with a clock, that can wait: [`Driver`].

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use aoe_l2::Link;
use bdev::IoBuf;

#[cfg(target_os = "linux")]
use self::linux::Waiter;
#[cfg(not(target_os = "linux"))]
use self::portable::Waiter;
use crate::{Initiator, Progress};

/// When something is tried again that no event tells of.
const RETRY: Duration = Duration::from_millis(1);

/// An [`Initiator`] with the system's clock, and a way to wait for what happens next.
///
/// ```
/// use std::time::Duration;
///
/// use aoe_initiator::{Address, AttachOptions, Driver, Event, Failure, MacAddr};
/// use aoe_link::MemLink;
/// use bdev::AlignedBuf;
///
/// let (link, _nobody) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 7, 3]), 1500);
/// let mut driver = Driver::<_, AlignedBuf>::new([link])?;
/// let options = AttachOptions { deadline: Duration::from_millis(50), ..AttachOptions::default() };
/// let disk = driver.attach(Address::new(7, 3), options);
/// loop {
///     let progress = driver.turn()?;
///     if let Some(event) = driver.poll() {
///         assert!(matches!(event, Event::Failed(id, Failure::NotFound) if id == disk));
///         break;
///     }
///     if progress.is_idle() {
///         driver.wait(Duration::from_secs(1))?;
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Driver<L: Link, B: IoBuf> {
    initiator: Initiator<L, B>,
    start: Instant,
    waiter: Waiter,
    stalled: bool,
    /// Links that must be polled, since they have no event.
    polled: bool,
}

impl<L: Link, B: IoBuf> Driver<L, B> {
    /// A driver of an initiator with these links.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left to wait with.
    pub fn new(links: impl IntoIterator<Item = L>) -> io::Result<Self> {
        let mut initiator = Initiator::new(RandomState::new().hash_one(()));
        let mut polled = false;
        for link in links {
            polled |= link.event().is_none();
            initiator.add_link(link);
        }
        let waiter = Waiter::new(initiator.events())?;
        Ok(Self { initiator, start: Instant::now(), waiter, stalled: false, polled })
    }

    /// The time on the initiator's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// [`Initiator::turn`], now.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn turn(&mut self) -> io::Result<Progress> {
        let progress = self.initiator.turn(self.start.elapsed())?;
        self.stalled = progress.stalled;
        Ok(progress)
    }

    /// Waits until there is something to do, a signal came, or `at_most` has passed. Not at all while there are events to
    /// [`poll`](Initiator::poll).
    ///
    /// # Errors
    ///
    /// When the system refuses to wait.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let pause = self.pause().map_or(at_most, |pause| pause.min(at_most));
        self.waiter.wait(pause)
    }

    /// How long until a turn is due though nothing arrives.
    fn pause(&self) -> Option<Duration> {
        if self.initiator.has_news() {
            return Some(Duration::ZERO);
        }
        if self.stalled || self.polled {
            return Some(RETRY);
        }
        Some(self.initiator.deadline()?.saturating_sub(self.now()))
    }

    /// Sets the timer of [`event`](Self::event). For who waits for that: call it after the last turn before the wait.
    ///
    /// # Errors
    ///
    /// When the system has no timer.
    pub fn arm(&mut self) -> io::Result<()> {
        let (now, due) = (self.now(), self.pause());
        self.waiter.arm(now, due)
    }

    /// Readable when a turn is due, once [armed](Self::arm): a frame has arrived, or it is time. `None` where the system has no such thing: poll.
    #[must_use]
    pub fn event(&self) -> Option<BorrowedFd<'_>> {
        self.waiter.event()
    }
}

impl<L: Link, B: IoBuf> Deref for Driver<L, B> {
    type Target = Initiator<L, B>;

    fn deref(&self) -> &Self::Target {
        &self.initiator
    }
}

impl<L: Link, B: IoBuf> DerefMut for Driver<L, B> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.initiator
    }
}
