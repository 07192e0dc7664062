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

/// The longest wait, as far as clocks go.
const LONGEST: Duration = Duration::from_secs(3600);

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
    /// Links that there were at first, and those of them whose events are waited for.
    links: usize,
    events: usize,
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
        let (links, events) = (initiator.links().len(), initiator.events().count());
        Ok(Self { initiator, start: Instant::now(), waiter, stalled: false, polled, links, events })
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
        let events = self.initiator.events().count();
        if events < self.events {
            // A link has broken: what it had to tell would end every wait from now on.
            self.waiter = Waiter::new(self.initiator.events())?;
            self.events = events;
        }
        Ok(progress)
    }

    /// Waits until there is something to do, a signal came, or `at_most` has passed. Not at all while there are events to
    /// [`poll`](Initiator::poll), or requests that a turn has yet to begin.
    ///
    /// # Errors
    ///
    /// When the system refuses to wait.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let pause = self.pause().map_or(at_most, |pause| pause.min(at_most));
        self.waiter.wait(self.start.elapsed(), pause.min(LONGEST))
    }

    /// How long until a turn is due though nothing arrives.
    fn pause(&self) -> Option<Duration> {
        if self.initiator.has_news() || self.initiator.has_work() {
            return Some(Duration::ZERO);
        }
        // A link that was added later is not among those that are waited for.
        let polled = self.polled || self.initiator.links().len() > self.links;
        if self.stalled || polled {
            return Some(RETRY);
        }
        Some(self.initiator.deadline()?.saturating_sub(self.now()))
    }

    /// Sets the timer of [`event`](Self::event) to when a turn is due. For who waits for that: call it after the last turn before the wait.
    ///
    /// # Errors
    ///
    /// When the system has no timer.
    pub fn arm(&mut self) -> io::Result<()> {
        let due = self.pause();
        self.waiter.arm(self.start.elapsed(), due)
    }

    /// Makes [`event`](Self::event) readable, until it is armed again.
    pub(crate) fn wake(&mut self) -> io::Result<()> {
        self.waiter.arm(self.start.elapsed(), Some(Duration::ZERO))
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
