//! A remote disk as a backend like any other: [`RemoteDisk`].

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::Address;
use bdev::{Backend, DeviceInfo, Done, Io, IoBuf, IoQueue, Submit};

use crate::{AttachOptions, Driver, Event, Failure, RemoteId};

/// Turns of one call, so that a flood of frames does not keep the caller.
const TURNS: usize = 64;

/// A disk that an AoE target serves.
///
/// Each queue has links of its own, opened by the function given to [`connect`](Self::connect), and finds the target by itself. A
/// request is repeated until the deadline of the options, then it ends as `Aborted`. What a target does not announce in its IDENTIFY
/// data is not offered: flush, discard, zeroes.
///
/// ```no_run
/// use aoe_initiator::{Address, AttachOptions, RemoteDisk};
/// use aoe_link::{PnetLink, NetifOptions};
///
/// let open = || Ok(vec![PnetLink::open("eth0", NetifOptions::default()).map_err(std::io::Error::other)?]);
/// let disk = RemoteDisk::connect(Address::new(7, 3), AttachOptions::default(), open)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RemoteDisk<L> {
    address: Address,
    options: AttachOptions,
    open: Box<dyn Fn() -> io::Result<Vec<L>> + Send + Sync>,
    info: Arc<Mutex<DeviceInfo>>,
}

/// Why a remote disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A link could not be opened, or failed.
    #[error("the link to {address} does not work")]
    Link {
        /// The target.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The target was not found or could not be identified.
    #[error("{address} cannot be used")]
    Target {
        /// The target.
        address: Address,
        /// Why.
        source: Failure,
    },
}

impl<L: Link + Send + 'static> RemoteDisk<L> {
    /// Finds the target `address` on the links that `open` opens, which may take as long as `options.seek` says, and asks what its disk
    /// is, which may take until its deadline.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], when a link cannot be opened or the target does not answer.
    pub fn connect(
        address: Address,
        options: AttachOptions,
        open: impl Fn() -> io::Result<Vec<L>> + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        let disk = Self { address, options, open: Box::new(open), info: Arc::default() };
        disk.attach::<Vec<u8>>()?;
        Ok(disk)
    }

    /// The target.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// A driver with the target attached and ready.
    fn attach<B: IoBuf>(&self) -> Result<(Driver<L, B>, RemoteId), ConnectError> {
        let address = self.address;
        let link = |source| ConnectError::Link { address, source };
        let mut driver = Driver::new((self.open)().map_err(link)?).map_err(link)?;
        let id = driver.attach(address, AttachOptions { identify: true, ..self.options.clone() });
        loop {
            let progress = driver.turn().map_err(link)?;
            while let Some(event) = driver.poll() {
                match event {
                    Event::Ready(ready) if ready == id => {
                        let disk = driver.remote(id).and_then(crate::Remote::disk);
                        *lock(&self.info) = disk.unwrap_or_default();
                        return Ok((driver, id));
                    }
                    Event::Failed(_, source) => return Err(ConnectError::Target { address, source }),
                    _ => {}
                }
            }
            if progress.is_idle() {
                driver.wait(Duration::from_millis(100)).map_err(link)?;
            }
        }
    }
}

impl<L: Link + Send + 'static, B: IoBuf> Backend<B> for RemoteDisk<L> {
    fn info(&self) -> DeviceInfo {
        *lock(&self.info)
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        let (driver, id) = self.attach().map_err(io::Error::other)?;
        let info = Arc::clone(&self.info);
        Ok(Box::new(RemoteQueue {
            driver,
            id,
            depth: depth.max(1).into(),
            ended: Vec::new(),
            in_flight: 0,
            info,
        }))
    }
}

impl<L> std::fmt::Debug for RemoteDisk<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteDisk").field("address", &self.address).finish_non_exhaustive()
    }
}

struct RemoteQueue<L: Link, B: IoBuf> {
    driver: Driver<L, B>,
    id: RemoteId,
    depth: usize,
    /// What has ended and was not reaped.
    ended: Vec<Done<B>>,
    in_flight: usize,
    info: Arc<Mutex<DeviceInfo>>,
}

impl<L: Link, B: IoBuf> RemoteQueue<L, B> {
    /// Turns until nothing moves, within bounds, and sees to it that the event tells of the next time.
    fn run(&mut self) -> io::Result<()> {
        let mut busy = true;
        for _ in 0..TURNS {
            busy = !self.driver.turn()?.is_idle();
            while let Some(event) = self.driver.poll() {
                self.note(event);
            }
            if !busy {
                break;
            }
        }
        // What has ended is to be reaped, also if nothing more arrives.
        match busy || !self.ended.is_empty() {
            true => self.driver.wake(),
            false => self.driver.arm(),
        }
    }

    fn note(&mut self, event: Event<B>) {
        match event {
            Event::Done(_, completion) => self.ended.push(completion.done),
            Event::Changed(_) => {
                if let Some(disk) = self.driver.remote(self.id).and_then(crate::Remote::disk) {
                    *lock(&self.info) = disk;
                }
            }
            _ => {}
        }
    }

    /// Ends everything as aborted: the link can never work again.
    fn abort(&mut self) {
        self.driver.detach(self.id);
        while let Some(event) = self.driver.poll() {
            self.note(event);
        }
    }
}

impl<L: Link + Send, B: IoBuf> IoQueue<B> for RemoteQueue<L, B> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        if self.in_flight >= self.depth {
            return Submit::Full(io);
        }
        let submit = self.driver.submit(self.id, io);
        self.in_flight += usize::from(matches!(submit, Submit::Queued));
        submit
    }

    fn kick(&mut self) -> io::Result<()> {
        self.run().inspect_err(|_| self.abort())
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        // Also with nothing in flight: what others say on the segment makes the event readable, too.
        if self.run().is_err() {
            self.abort();
        }
        self.in_flight -= self.ended.len();
        done.append(&mut self.ended);
        // The event was set for these.
        if self.driver.arm().is_err() {
            self.abort();
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.driver.event()
    }
}

impl<L: Link, B: IoBuf> Drop for RemoteQueue<L, B> {
    fn drop(&mut self) {
        self.abort();
    }
}

/// A thread that panicked with the lock held left it whole: it is only ever assigned.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
