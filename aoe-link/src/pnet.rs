//! [`PnetLink`]: an Ethernet interface through a pnet datalink channel.

mod error;
mod interface;
#[cfg(target_os = "linux")]
mod linux;
mod pool;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(target_os = "linux")]
mod sys;
mod throttle;

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use aoe_l2::{Link, LinkInfo};
use bdev::{AlignedBuf, IoBuf};
use tracing::{info, warn};

pub use self::error::OpenError;
use self::interface::Interface;
#[cfg(target_os = "linux")]
use self::linux::Port;
use self::pool::Pool;
#[cfg(not(target_os = "linux"))]
use self::portable::Port;
use self::throttle::Throttle;
use crate::{LinkCounters, is_aoe};

/// The smallest MTU, in bytes, that an interface is opened with: one sector behind the AoE and ATA headers.
pub const MIN_MTU: u32 = 548;

/// Frames that one call of `recv` delivers at most. pnet makes its system calls for each frame, so a larger burst saves nothing, and the
/// replies to its first frames wait for its last: an initiator with a small window falls asleep meanwhile, and must be woken.
const BURST: usize = 4;

/// For how long a frame that the interface's queue refused is tried again before frames are dropped.
const PATIENCE: Duration = Duration::from_millis(5);

/// When a refused frame is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// How a [`PnetLink`] is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PnetOptions {
    /// Bytes of receive buffer to ask the kernel for. [`PnetLink::recv_buffer`] tells what it granted. Default 8 MiB.
    pub recv_buffer: usize,
    /// Address alignment of byte 36 of every frame in bytes, rounded up to a power of two, at most 64 KiB. Default 512.
    pub payload_align: usize,
    /// Frames that can be out at the same time, at least 1. They are allocated when first needed. Default 1280,
    /// some more than the 1024 requests that a target's server takes.
    pub pool: usize,
}

impl Default for PnetOptions {
    fn default() -> Self {
        Self { recv_buffer: 8 << 20, payload_align: 512, pool: 1280 }
    }
}

/// An Ethernet interface, opened by name.
///
/// Only AoE frames for this host arrive: the interface is not made promiscuous, and on Linux a filter in the kernel keeps out its own
/// outgoing frames, other hosts' frames (when somebody else makes it promiscuous) and frames of a VLAN that has no interface here.
/// A received frame is copied once, into a frame of this link's pool; a sent frame is not copied.
///
/// **Every frame must come back**, through [`send`](Link::send) or [`recycle`](Link::recycle): a frame dropped elsewhere is missing
/// from the pool for good. A frame that was out while the MTU grew has the old, smaller capacity.
///
/// # What it survives
///
/// * The interface goes down and up, or loses its carrier: `up` in [`LinkInfo`] follows.
/// * It is removed: `up` is false. One of the same name appears: the socket moves there, without any privilege.
/// * Its MTU or address changes. Frames that wait in the socket are kept, unless they are longer than the new MTU allows.
/// * A full queue of the interface (`ENOBUFS`): the frame is tried again for 5 ms, then dropped, and so is every further frame until
///   one passes. A full socket (`EAGAIN`): frames stay in `tx`.
/// * A frame longer than the MTU (`EMSGSIZE`), or sent while the link is down: dropped.
///
/// All of these are counted in [`counters`](Self::counters). The methods of [`Link`] return no error.
///
/// # Waiting
///
/// On Linux [`event`](Link::event) becomes readable when frames can be received, when the interface may have changed, and when frames
/// left in `tx` should be tried again; [`recv`](Link::recv), then `send`, is the answer to each. While the pool is exhausted, arriving
/// frames do not make it readable. Elsewhere there is no event: poll.
///
/// ```no_run
/// use aoe_link::{PnetLink, PnetOptions};
/// use aoe_l2::Link;
///
/// let mut link = PnetLink::open("eth0", PnetOptions { payload_align: 4096, ..PnetOptions::default() })?;
/// println!("{}: {} MTU {}", link.name(), link.info().mac, link.info().mtu);
///
/// let mut frames = Vec::new();
/// link.recv(&mut frames)?;
/// for frame in frames {
///     link.recycle(frame);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PnetLink {
    name: String,
    port: Port,
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
}

impl PnetLink {
    /// Opens the interface called `name`. One that is down is opened too, and serves when it comes up.
    ///
    /// Takes `CAP_NET_RAW` (or root), which may be dropped afterwards. On Linux the link stays in the network namespace that the
    /// calling thread is in now.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose text names the interface and the remedy.
    pub fn open(name: &str, options: PnetOptions) -> Result<Self, OpenError> {
        let (port, interface) = Port::open(name, options.recv_buffer)?;
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
            pool: Pool::new(interface.mtu, align, options.pool.max(1)),
            info,
            index: interface.index,
            fell: false,
            refused_since: None,
            counters: LinkCounters::default(),
            overflow: Cell::new(0),
            troubles: Throttle::default(),
        })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of receive buffer that the kernel granted, as it counts them: each frame is charged with its bookkeeping, about twice its
    /// length. 0 where the system does not tell.
    #[must_use]
    pub fn recv_buffer(&self) -> usize {
        self.port.recv_buffer()
    }

    /// What was lost since the link was opened.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.overflow.set(self.overflow.get() + self.port.take_overflow());
        LinkCounters { rx_overflow: self.overflow.get(), ..self.counters }
    }
}

impl Link for PnetLink {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        self.info
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        self.pool.take()
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        self.pool.put(frame);
        self.port.listen(true);
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        // First, because the frames that follow must have room for the MTU that `info` tells.
        if self.port.woken() || self.fell {
            self.look();
        }
        for _ in 0..BURST {
            let Some(mut frame) = self.pool.take() else {
                self.port.listen(false);
                break;
            };
            match self.port.next() {
                Ok(bytes) if bytes.len() <= frame.capacity() && is_aoe(bytes) => {
                    frame.set_len(bytes.len());
                    frame.bytes_mut().copy_from_slice(bytes);
                    rx.push(frame);
                    continue;
                }
                Ok(bytes) if is_aoe(bytes) => self.counters.rx_refused += 1,
                Ok(_) => {}
                Err(e) if is_idle(&e) => {
                    self.pool.put(frame);
                    break;
                }
                // Left alone, an error that came after the look above would keep the event readable for ever.
                Err(e) => {
                    self.fell |= e.raw_os_error() == Some(libc::ENETDOWN);
                    self.fell |= self.port.take_error();
                }
            }
            self.pool.put(frame);
        }
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        let mut blocked = false;
        while let Some(frame) = tx.pop_front() {
            match self.port.send(frame.bytes()) {
                Ok(()) => self.refused_since = None,
                Err(e) if is_idle(&e) => {
                    tx.push_front(frame);
                    blocked = true;
                    break;
                }
                // pnet found no room because the socket has an error to tell.
                Err(_) if self.port.take_error() => {
                    tx.push_front(frame);
                    (self.fell, blocked) = (true, true);
                    break;
                }
                Err(e) if self.may_pass_later(&e) => {
                    tx.push_front(frame);
                    self.port.wake_in(RETRY);
                    break;
                }
                Err(e) => self.lost(&e),
            }
            self.recycle(frame);
        }
        self.port.await_room(blocked);
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.port.event()
    }
}

impl PnetLink {
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
            && let Err(error) = self.port.bind(&self.name, &seen)
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

    /// Whether a frame that `error` kept from leaving stays in the queue.
    fn may_pass_later(&mut self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ENOBUFS)
            && self.refused_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    /// Accounts for a frame that will not be sent.
    fn lost(&mut self, error: &io::Error) {
        self.counters.tx_dropped += 1;
        let told_by_look = matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV));
        if !told_by_look && let Some(unsaid) = self.troubles.pass() {
            warn!(interface = self.name, %error, unsaid, "frames are not sent");
        }
    }
}

impl fmt::Debug for PnetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PnetLink").field("name", &self.name).field("info", &self.info).finish_non_exhaustive()
    }
}

/// Whether `error` says that there is nothing to receive, or no room to send, at the moment.
fn is_idle(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
