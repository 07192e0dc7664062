//! [`PacketLink`]: an Ethernet interface through a Linux packet socket: frames come in by a ring, and leave many to a
//! system call.

mod batch;
mod ring;
mod stamps;
mod sys;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::{fmt, io};

use aoe_l2::{Link, LinkInfo};
use bdev::AlignedBuf;

pub(crate) use self::batch::Batches;
use crate::netif::{Netif, NetifOptions, OpenError};
use crate::{Accept, LinkCounters};

/// An Ethernet interface of a Linux system, opened by name.
///
/// Frames arrive in a ring of memory that is shared with the kernel: [`recv`](Link::recv) copies up to 16 of them into frames of this
/// link's pool, without a system call. One of more than 1,982 bytes is received from the socket instead, by one.
/// [`send`](Link::send) gives the socket up to 64 frames by one system call and copies none. They go to the interface's driver past
/// its queueing discipline (tc(8)).
///
/// Only AoE frames for this host arrive, and of them those that [`NetifOptions::accept`] asks for: the interface is not made
/// promiscuous, and a filter in the kernel keeps out all else: its own outgoing frames, other hosts' frames (when somebody else makes
/// it promiscuous) and frames of a VLAN that has no interface here.
///
/// **Every frame must come back**, through `send` or [`recycle`](Link::recycle): a frame dropped elsewhere is missing from the pool
/// for good. A frame that was out while the MTU grew has the old, smaller capacity.
///
/// # What it survives
///
/// * The interface goes down and up, or loses its carrier: `up` in [`LinkInfo`] follows.
/// * It is removed: `up` is false. One of the same name appears: the socket moves there, without any privilege.
/// * Its MTU or address changes. Frames that wait in the socket are kept, unless they are longer than the new MTU allows.
/// * A full driver (`ENOBUFS`): the frame is tried again for 5 ms, then dropped, and so is every further frame until one passes. A
///   full socket (`EAGAIN`): frames stay in `tx`.
/// * A frame longer than the MTU (`EMSGSIZE`), or sent while the link is down: dropped.
///
/// All of these are counted in [`counters`](Self::counters). The methods of [`Link`] return no error.
///
/// # Waiting
///
/// [`event`](Link::event) becomes readable when frames can be received, when the interface may have changed, and when frames left in
/// `tx` should be tried again; `recv`, then `send`, is the answer to each. While frames come close upon each other, it stays readable
/// for 50 us after each, so that nobody falls asleep who would be woken at once. While the pool is exhausted, arriving frames do not
/// make it readable.
///
/// ```no_run
/// use std::collections::VecDeque;
///
/// use aoe_link::{NetifOptions, PacketLink};
/// use aoe_l2::Link;
///
/// let mut link = PacketLink::open("eth0", NetifOptions::default())?;
/// println!("{}: {} MTU {}", link.name(), link.info().mac, link.info().mtu);
///
/// // Sends whatever arrives back.
/// let mut frames = Vec::new();
/// link.recv(&mut frames)?;
/// link.send(&mut VecDeque::from(frames))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PacketLink(Netif<Batches>);

impl PacketLink {
    /// Opens the interface called `name`. One that is down is opened too, and serves when it comes up.
    ///
    /// Takes `CAP_NET_RAW` (or root), which may be dropped afterwards. The link stays in the network namespace that the calling
    /// thread is in now.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose text names the interface and the remedy.
    pub fn open(name: &str, options: NetifOptions) -> Result<Self, OpenError> {
        Netif::open(name, &options).map(Self)
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Bytes of the ring that frames arrive in, which are locked in memory: 2 KiB for each that may wait. The socket's own buffer, which
    /// longer ones wait in, is as large as the system allows, up to the same size.
    #[must_use]
    pub fn recv_buffer(&self) -> usize {
        self.0.recv_buffer()
    }

    /// Receives from now on the frames that `accept` asks for, and keeps those that wait. None is lost that was asked for before and
    /// still is. Takes no privilege.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory for the filter (sysctl `net.core.optmem_max`): nothing has changed then.
    pub fn set_accept(&mut self, accept: Accept) -> io::Result<()> {
        self.0.set_accept(&accept)
    }

    /// What was lost since the link was opened.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.0.counters()
    }
}

impl Link for PacketLink {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        self.0.alloc()
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        self.0.recycle(frame);
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        self.0.recv(rx);
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        self.0.times(times);
    }

    fn has_more_than(&self, count: usize) -> bool {
        self.0.has_more_than(count)
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        self.0.send(tx);
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.0.event()
    }
}

impl fmt::Debug for PacketLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("PacketLink", f)
    }
}
