//! What every link over a network interface shares: it is opened by name, followed through what happens to it, and told of.

mod error;
mod interface;
#[cfg(target_os = "linux")]
mod linux;
mod lull;
mod pool;
#[cfg(not(target_os = "linux"))]
mod portable;
mod throttle;

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use aoe_l2::LinkInfo;
use bdev::AlignedBuf;
use tracing::{info, warn};

pub use self::error::OpenError;
pub(crate) use self::interface::Interface;
#[cfg(target_os = "linux")]
pub use self::linux::Interfaces;
#[cfg(target_os = "linux")]
pub(crate) use self::linux::Port;
#[cfg(all(test, target_os = "linux"))]
pub(crate) use self::linux::attach_filter;
pub(crate) use self::lull::Lull;
pub(crate) use self::pool::Pool;
#[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
pub(crate) use self::pool::VLAN_TAG;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::portable::Port;
use self::throttle::Throttle;
use crate::{Accept, LinkCounters};

/// The smallest MTU, in bytes, that an interface is opened with: one sector behind the AoE and ATA headers.
pub const MIN_MTU: u32 = 548;

/// For how long a frame that the interface's queue refused is tried again before frames are dropped.
const PATIENCE: Duration = Duration::from_millis(5);

/// When a refused frame is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// While frames keep coming, the interface is looked at when so many calls have received some.
const LOOK_EVERY: u32 = 16;

/// How an interface is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetifOptions {
    /// Bytes of receive buffer to ask the kernel for, of which a `PacketLink` takes 16 MiB at most. The link's `recv_buffer` tells what
    /// it granted. Default 8 MiB.
    pub recv_buffer: usize,
    /// Address alignment of byte 36 of every frame in bytes, rounded up to a power of two, at most 64 KiB. Default 512.
    pub payload_align: usize,
    /// Frames that can be out at the same time, at least 1. They are allocated when first needed, 2 MiB at a time. Default 1280,
    /// some more than the 1024 requests that a target's server takes.
    pub pool: usize,
    /// The frames that arrive. Default all.
    pub accept: Accept,
}

impl Default for NetifOptions {
    fn default() -> Self {
        Self { recv_buffer: 8 << 20, payload_align: 512, pool: 1280, accept: Accept::All }
    }
}

/// How a link moves frames; all else is the same for each. No method waits.
pub(crate) trait Traffic: Sized {
    /// Moves frames between `port` and `interface` from now on.
    fn open(port: &Port, name: &str, interface: &Interface, options: &NetifOptions) -> io::Result<Self>;

    /// The same for another `interface`, which has taken the place of the first. Frames that wait in the port are kept.
    fn attach(&mut self, port: &Port, name: &str, interface: &Interface) -> io::Result<()>;

    /// Bytes of receive buffer, when it is not the socket's that counts.
    fn recv_buffer(&self) -> Option<usize> {
        None
    }

    /// Appends AoE frames to `rx`. Frames may come before an error, which says nothing of those behind it.
    fn receive(
        &mut self,
        port: &Port,
        pool: &mut Pool,
        rx: &mut Vec<AlignedBuf>,
        counters: &mut LinkCounters,
    ) -> io::Result<()>;

    /// As [`Link::times`](aoe_l2::Link::times).
    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        let _ = times;
    }

    /// As [`Link::has_more_than`](aoe_l2::Link::has_more_than).
    fn has_more_than(&self, count: usize) -> bool {
        let _ = count;
        false
    }

    /// Sends frames from the front of `tx`, which holds some, and tells how many, at least one. An error is that of the first.
    fn send(&mut self, port: &Port, tx: &VecDeque<AlignedBuf>) -> io::Result<usize>;
}

/// An interface, opened by name, and the frames of a link over it.
pub(crate) struct Netif<T> {
    name: String,
    port: Port,
    traffic: T,
    pool: Pool,
    info: LinkInfo,
    index: u32,
    /// The socket told that the interface went down: look at it, and if it is up by then, it was down in between.
    fell: bool,
    /// Since when the interface's queue refuses every frame.
    refused_since: Option<Instant>,
    counters: LinkCounters,
    overflow: Cell<u64>,
    troubles: Throttle,
    lull: Lull,
    /// Nothing arrived the last time, and whoever waits now sleeps.
    resting: bool,
    /// Of `recv`.
    calls: u32,
}

impl<T: Traffic> Netif<T> {
    pub(crate) fn open(name: &str, options: &NetifOptions) -> Result<Self, OpenError> {
        let (port, interface) = Port::open(name, options)?;
        let traffic = T::open(&port, name, &interface, options).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => OpenError::Permission { name: name.to_owned() },
            _ => OpenError::Io { name: name.to_owned(), action: "bind a raw socket to it", source },
        })?;
        let align = options.payload_align.clamp(1, 64 << 10).next_power_of_two();
        let info = LinkInfo {
            mac: interface.mac,
            mtu: interface.mtu,
            payload_align: u32::try_from(align).unwrap_or(1),
            up: interface.up,
            generation: 0,
        };
        Ok(Self {
            name: name.to_owned(),
            port,
            traffic,
            pool: Pool::new(interface.mtu, align, options.pool.max(1)),
            info,
            index: interface.index,
            fell: false,
            refused_since: None,
            counters: LinkCounters::default(),
            overflow: Cell::new(0),
            troubles: Throttle::default(),
            lull: Lull::default(),
            resting: true,
            calls: 0,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn recv_buffer(&self) -> usize {
        self.traffic.recv_buffer().unwrap_or_else(|| self.port.recv_buffer())
    }

    /// Receives from now on what `accept` says.
    pub(crate) fn set_accept(&self, accept: &Accept) -> io::Result<()> {
        self.port.set_accept(accept)
    }

    pub(crate) fn counters(&self) -> LinkCounters {
        self.overflow.set(self.overflow.get() + self.port.take_overflow());
        LinkCounters { rx_overflow: self.overflow.get() + self.counters.rx_overflow, ..self.counters }
    }

    /// What a link called `link` shows of itself.
    pub(crate) fn debug(&self, link: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(link).field("name", &self.name).field("info", &self.info).finish_non_exhaustive()
    }

    pub(crate) fn info(&self) -> LinkInfo {
        self.info
    }

    pub(crate) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.port.event()
    }

    /// The number of the interface, which changes when it is created anew.
    #[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The packet socket.
    #[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.port.socket()
    }

    /// Makes [`event`](Self::event) readable once, after `pause`.
    #[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
    pub(crate) fn wake_in(&mut self, pause: Duration) {
        self.port.wake_in(pause);
    }

    pub(crate) fn alloc(&mut self) -> Option<AlignedBuf> {
        self.pool.take()
    }

    pub(crate) fn recycle(&mut self, frame: AlignedBuf) {
        self.pool.put(frame);
        self.port.listen(true);
    }

    pub(crate) fn recv(&mut self, rx: &mut Vec<AlignedBuf>) {
        // First, because the frames that follow must have room for the MTU that `info` tells.
        self.calls = self.calls.wrapping_add(1);
        let due = self.resting || self.calls.is_multiple_of(LOOK_EVERY);
        if due && self.port.woken() || self.fell {
            self.look();
        }
        let before = rx.len();
        if let Err(error) = self.traffic.receive(&self.port, &mut self.pool, rx, &mut self.counters)
            && !is_idle(&error)
        {
            self.fell |= self.tells_of_a_fall(&error);
        }
        let arrived = rx.len() > before;
        if !arrived && !self.pool.is_whole() {
            // While frames are out, something else is waited for.
            self.lull.sleep();
        }
        let awake = if arrived { self.lull.frames(Instant::now()) } else { self.lull.nothing() };
        if self.pool.is_exhausted() {
            self.port.listen(false);
        }
        self.port.set_busy(awake && !self.pool.is_exhausted());
        self.resting = !arrived && !awake;
        if self.resting {
            // Left alone, an error that came after the look above would keep the event readable for ever.
            self.fell |= self.port.take_error();
        }
    }

    /// As [`Link::times`](aoe_l2::Link::times).
    #[cfg(all(feature = "packet", target_os = "linux"))]
    pub(crate) fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        self.traffic.times(times);
    }

    /// As [`Link::has_more_than`](aoe_l2::Link::has_more_than).
    #[cfg(all(feature = "packet", target_os = "linux"))]
    pub(crate) fn has_more_than(&self, count: usize) -> bool {
        self.traffic.has_more_than(count)
    }

    pub(crate) fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) {
        let (mut blocked, mut told) = (false, false);
        while !tx.is_empty() {
            match self.traffic.send(&self.port, tx) {
                Ok(sent) => {
                    self.refused_since = None;
                    tx.drain(..sent).for_each(|frame| self.recycle(frame));
                }
                Err(e) if is_idle(&e) => {
                    blocked = true;
                    break;
                }
                // The error may be what the socket had to tell of the past, and is told once.
                Err(e) if !told && self.tells_of_a_fall(&e) => (self.fell, told) = (true, true),
                Err(e) if self.may_pass_later(&e) => {
                    self.port.wake_in(RETRY);
                    break;
                }
                Err(e) => {
                    self.lost(&e);
                    tx.drain(..1).for_each(|frame| self.recycle(frame));
                }
            }
        }
        self.port.await_room(blocked);
    }

    /// Looks at the interface and takes over what has changed.
    fn look(&mut self) {
        let fell = mem::take(&mut self.fell) | self.port.take_error();
        let before = self.info;
        let mut created = false;
        match self.find() {
            Some(seen) => {
                created = seen.index != self.index;
                self.index = seen.index;
                let up = seen.up && seen.mtu >= MIN_MTU;
                self.info = LinkInfo { mac: seen.mac, mtu: seen.mtu, up, ..before };
            }
            None => self.info.up = false,
        }
        let bounced = fell && before.up && self.info.up;
        if self.info == before && !created && !bounced {
            return;
        }
        self.info.generation += 1;
        self.pool.set_mtu(self.info.mtu);
        self.tell(&before, created, bounced);
    }

    /// The interface as it is now, with the socket bound to it; `None` while there is none that serves.
    fn find(&mut self) -> Option<Interface> {
        let seen = self.port.find(&self.name)?;
        if !seen.is_ethernet() {
            return None;
        }
        if seen.index != self.index
            && let Err(error) = self.traffic.attach(&self.port, &self.name, &seen)
        {
            warn!(interface = self.name, %error, "cannot move to the interface that was created anew");
            return None;
        }
        Some(seen)
    }

    fn tell(&self, before: &LinkInfo, created: bool, bounced: bool) {
        let LinkInfo { mac, mtu, up, .. } = self.info;
        let interface = &self.name;
        if created {
            info!(interface, "interface was created anew");
        }
        if mac != before.mac {
            info!(interface, %mac, was = %before.mac, "address changed");
        }
        if mtu != before.mtu {
            info!(interface, mtu, was = before.mtu, "MTU changed");
            if mtu < MIN_MTU {
                warn!(interface, mtu, "MTU carries no sector: ip link set {interface} mtu 1500");
            }
        }
        match (before.up, up) {
            (true, false) => warn!(interface, "link is down"),
            (false, true) => info!(interface, "link is up"),
            _ if bounced => info!(interface, "link was down and is up"),
            _ => {}
        }
    }

    /// Whether `error`, or one that waits behind it, is the socket's word that the interface went down. No such word is left waiting.
    fn tells_of_a_fall(&self, error: &io::Error) -> bool {
        self.port.take_error() | (error.raw_os_error() == Some(libc::ENETDOWN))
    }

    /// Whether a frame that `error` kept from leaving stays in the queue.
    fn may_pass_later(&mut self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ENOBUFS)
            && self.refused_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    /// Accounts for a frame that will not be sent.
    fn lost(&mut self, error: &io::Error) {
        self.counters.tx_dropped += 1;
        let told_by_look = !self.info.up
            || matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV));
        if !told_by_look && let Some(unsaid) = self.troubles.pass() {
            warn!(interface = self.name, %error, unsaid, "frames are not sent");
        }
    }
}

/// Whether `error` says that there is nothing to receive, or no room to send, at the moment.
fn is_idle(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
