//! [`PnetLink`]: an Ethernet interface through a pnet datalink channel.

mod channel;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::{fmt, io};

use aoe_l2::{Link, LinkInfo};
use bdev::AlignedBuf;

use self::channel::Channel;
use crate::netif::{Netif, NetifOptions, OpenError};
use crate::{Accept, LinkCounters};

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
/// left in `tx` should be tried again; [`recv`](Link::recv), then `send`, is the answer to each. While frames come close upon each
/// other, it stays readable for 50 us after each. While the pool is exhausted, arriving frames do not make it readable. Elsewhere
/// there is no event: poll.
///
/// ```no_run
/// use aoe_link::{NetifOptions, PnetLink};
/// use aoe_l2::Link;
///
/// let mut link = PnetLink::open("eth0", NetifOptions { payload_align: 4096, ..NetifOptions::default() })?;
/// println!("{}: {} MTU {}", link.name(), link.info().mac, link.info().mtu);
///
/// let mut frames = Vec::new();
/// link.recv(&mut frames)?;
/// for frame in frames {
///     link.recycle(frame);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PnetLink(Netif<Channel>);

impl PnetLink {
    /// Opens the interface called `name`. One that is down is opened too, and serves when it comes up.
    ///
    /// Takes `CAP_NET_RAW` (or root), which may be dropped afterwards. On Linux the link stays in the network namespace that the
    /// calling thread is in now.
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

    /// Bytes of receive buffer that the kernel granted, as it counts them: each frame is charged with its bookkeeping, about twice its
    /// length. 0 where the system does not tell.
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

impl Link for PnetLink {
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

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        self.0.send(tx);
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.0.event()
    }
}

impl fmt::Debug for PnetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("PnetLink", f)
    }
}
