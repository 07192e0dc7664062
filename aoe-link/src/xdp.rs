//! [`XdpLink`]: an Ethernet interface through Linux AF_XDP sockets, past the kernel's network stack.

mod error;
mod frame;
mod open;
mod program;
mod queue;
mod ring;
mod send;
mod socket;
mod sys;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{fmt, io};

use aoe_l2::{Link, LinkInfo};
use aoe_wire::ETH_HEADER_LEN;
use bdev::{AlignedBuf, IoBuf};
use rustix::event::epoll::{self, EventData, EventFlags};
use tracing::warn;

pub use self::error::XdpError;
pub use self::frame::XdpFrame;
use self::program::Program;
use self::queue::Queue;
use crate::netif::{Lull, Netif, NetifOptions, VLAN_TAG};
use crate::packet::Batches;
use crate::{Accept, LinkCounters, OpenError};

/// Calls of `recv` that bring frames between two looks at the packet socket.
const LOOK_EVERY: u32 = 64;

/// When frames that the driver did not take are tried again.
const RETRY: Duration = Duration::from_millis(1);

/// How an [`XdpLink`] gets at its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XdpMode {
    /// The driver runs the program, and gives and takes frames without copying them.
    ZeroCopy,
    /// The driver runs the program; each frame is copied once.
    Native,
    /// The driver knows nothing of it: the kernel runs the program behind it, and each frame is copied.
    Generic,
}

/// An Ethernet interface of a Linux system, opened by name: AF_XDP sockets for the frames that matter, and a packet socket for the rest.
///
/// A small program in the driver hands AoE frames for this host that [`NetifOptions::accept`] asks for to one AF_XDP socket for each
/// receive queue, by memory that is shared with the kernel. **Everything else passes to the kernel untouched**, so that others on
/// this host see what they always saw; of it, a [packet socket](crate::PacketLink) receives the AoE frames of interest: wildcards, which
/// are everybody's, and whatever came by a queue without a socket. So several programs can serve targets on one interface, as long as
/// one of them uses AF_XDP.
///
/// With [`Accept::All`](crate::Accept::All) and [`Accept::Initiator`](crate::Accept::Initiator) the link takes the frames of others on
/// this host, too: two initiators cannot share an interface so.
///
/// The program is removed when the link is dropped and when the process ends, in whatever way.
///
/// Frames of an MTU above 3,602 are in up to three pieces. **Every frame must come back**, through [`send`](Link::send) or
/// [`recycle`](Link::recycle).
///
/// # What it survives
///
/// What [`PacketLink`](crate::PacketLink) does. An interface that is created anew is served by the packet socket only, because it takes
/// privileges to put the program there; so is one from which somebody takes it away. A larger MTU than
/// that at opening is not used, and told of once; longer frames are counted as refused.
///
/// # VLANs
///
/// The program cannot see a VLAN tag that the network card has taken off a frame. On a trunk port whose other VLANs must not reach the
/// target, turn that off (`ethtool -K eth0 rxvlan off`), or use a packet socket.
pub struct XdpLink {
    /// For what the program lets pass, and for the interface's state.
    netif: Netif<Batches>,
    /// Taken away with the interface.
    program: Option<Program>,
    queues: Vec<Queue>,
    mode: XdpMode,
    /// The longest frame that the memory was made for.
    most: usize,
    index: u32,
    /// Covers the packet socket, and the AF_XDP sockets or, while busy, `ready`.
    epoll: OwnedFd,
    /// Always readable.
    ready: OwnedFd,
    busy: bool,
    lull: Lull,
    /// Frames that were given out and have not come back.
    out: usize,
    /// Calls of `recv` in a row that brought nothing, and calls since the last look at the packet socket.
    idle: u32,
    since_look: u32,
    rx: Vec<AlignedBuf>,
    tx: VecDeque<AlignedBuf>,
    tx_dropped: u64,
    rx_dropped: u64,
    rx_refused: u64,
    /// The interface's as it was last told of.
    mtu: u32,
}

impl XdpLink {
    /// Opens the interface called `name`, which may be down.
    ///
    /// Takes `CAP_NET_RAW`, `CAP_NET_ADMIN` and `CAP_BPF` (or root), which may be dropped afterwards. For each receive queue, up to eight
    /// of them, the memory of [`NetifOptions::pool`] frames and of 1024 that may arrive is locked: 4.5 MiB for an MTU of
    /// 1500, 19 MiB for one of 9000.
    ///
    /// # Errors
    ///
    /// [`OpenError`], whose text names the interface and the remedy.
    pub fn open(name: &str, options: NetifOptions) -> Result<Self, OpenError> {
        Self::open_with(name, &options, Copies::Allowed)
    }

    /// The same, if the driver gives and takes frames without copying them. Nothing happens to the interface if not.
    pub(crate) fn open_zero_copy(name: &str, options: &NetifOptions) -> Result<Self, OpenError> {
        Self::open_with(name, options, Copies::Refused)
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.netif.name()
    }

    /// How it gets at its frames.
    #[must_use]
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Bytes of receive buffer that the kernel granted the packet socket, as it counts them.
    #[must_use]
    pub fn recv_buffer(&self) -> usize {
        self.netif.recv_buffer()
    }

    /// Bytes of memory that are locked for frames.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.queues.iter().map(Queue::memory).sum()
    }

    /// Receives from now on the frames that `accept` asks for, and keeps those that wait. None is lost that was asked for before and
    /// still is. Takes the privileges that opening the link takes, because the program is replaced.
    ///
    /// # Errors
    ///
    /// When a privilege is missing (open a [`PacketLink`](crate::PacketLink) where the frames are to change later), or the kernel's memory: the
    /// frames that were asked for before arrive then, and some of the others may.
    pub fn set_accept(&mut self, accept: Accept) -> io::Result<()> {
        let next = match &self.program {
            Some(program) => Some((program, program.load(self.netif.info().mac, &accept)?)),
            None => None,
        };
        self.netif.set_accept(&accept)?;
        next.map_or(Ok(()), |(program, next)| program.replace(&next))
    }

    /// What was lost since the link was opened.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        let netif = self.netif.counters();
        let sum = |count: fn(&Queue) -> u64| self.queues.iter().map(count).sum::<u64>();
        LinkCounters {
            rx_overflow: netif.rx_overflow + self.rx_dropped + sum(Queue::overflow),
            rx_refused: netif.rx_refused + self.rx_refused + sum(Queue::refused),
            tx_dropped: netif.tx_dropped + self.tx_dropped,
        }
    }

    /// Receives what the program let pass, and looks after the interface.
    fn receive_passed(&mut self, rx: &mut Vec<XdpFrame>) {
        self.since_look = 0;
        self.netif.recv(&mut self.rx);
        for from in self.rx.drain(..) {
            match self.queues.first_mut().and_then(|queue| queue.copy_in(from.bytes())) {
                Some(frame) => rx.push(frame),
                None if from.bytes().len() > self.most => self.rx_refused += 1,
                None => self.rx_dropped += 1,
            }
            self.netif.recycle(from);
        }
        self.tell_of_mtu();
        let lost = self.program.is_some()
            && (self.netif.index() != self.index || self.queues.iter().any(Queue::is_dead));
        if lost {
            self.lose();
        }
    }

    /// Tells, once for each MTU, that the memory was not made for it.
    fn tell_of_mtu(&mut self) {
        let mtu = self.netif.info().mtu;
        if mtu == self.mtu {
            return;
        }
        self.mtu = mtu;
        let (interface, used) = (self.name(), self.info().mtu);
        if mtu > used {
            warn!(
                interface,
                mtu,
                used,
                "longer frames than at the start are refused: start anew, or ip link set {interface} mtu {used}"
            );
        }
    }

    /// Goes on without AF_XDP: the interface that the sockets were bound to is gone.
    fn lose(&mut self) {
        warn!(
            interface = self.name(),
            "AF_XDP ended with the interface: a packet socket serves from now on; start anew to have it back"
        );
        self.program = None;
        // The sockets would tell of the loss for ever.
        self.set_busy(true);
        let _ = epoll::modify(&self.epoll, &self.ready, EventData::new_u64(0), EventFlags::empty());
        self.busy = false;
    }

    /// While `busy`, the event is readable, and the sockets need tell nobody of a frame, which would cost the sender's processor.
    fn set_busy(&mut self, busy: bool) {
        let wait_for = |fd, on| {
            let flags = if on { EventFlags::IN } else { EventFlags::empty() };
            epoll::modify(&self.epoll, fd, EventData::new_u64(0), flags)
        };
        // In this order, so that the event is never silent in between. None of these calls fails while the descriptors are open.
        if busy {
            let _ = wait_for(self.ready.as_fd(), true);
        }
        for queue in &self.queues {
            let _ = if busy {
                epoll::delete(&self.epoll, queue.fd())
            } else {
                epoll::add(&self.epoll, queue.fd(), EventData::new_u64(0), EventFlags::IN)
            };
        }
        if !busy {
            let _ = wait_for(self.ready.as_fd(), false);
        }
        self.busy = busy;
    }
}

/// The queue that gave `frame` out; none, if that was another link's: it is dropped then.
fn queue_of<'a>(queues: &'a mut [Queue], frame: &XdpFrame) -> Option<&'a mut Queue> {
    queues.get_mut(usize::from(frame.queue)).filter(|queue| queue.owns(frame))
}

/// Whether a driver may copy frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    Allowed,
    Refused,
}

impl Link for XdpLink {
    type Frame = XdpFrame;

    fn info(&self) -> LinkInfo {
        let info = self.netif.info();
        let most = (self.most - ETH_HEADER_LEN - VLAN_TAG) as u32;
        LinkInfo { mtu: info.mtu.min(most), payload_align: 512, ..info }
    }

    fn alloc(&mut self) -> Option<XdpFrame> {
        let frame = self.queues.first_mut()?.alloc()?;
        self.out += 1;
        Some(frame)
    }

    fn recycle(&mut self, frame: XdpFrame) {
        self.out = self.out.saturating_sub(1);
        if let Some(queue) = queue_of(&mut self.queues, &frame) {
            queue.recycle(frame);
        }
    }

    fn recv(&mut self, rx: &mut Vec<XdpFrame>) -> io::Result<()> {
        let before = rx.len();
        if self.program.is_some() {
            for queue in &mut self.queues {
                queue.complete();
                queue.receive(rx);
            }
            self.kick();
            if self.queues.iter().any(Queue::is_starved) {
                // What has been sent comes back without a word.
                self.netif.wake_in(RETRY);
            }
        }
        self.since_look += 1;
        if rx.len() == before {
            self.idle = self.idle.saturating_add(1);
            if self.out != 0 {
                // A disk is waited for.
                self.lull.sleep();
            }
            if self.busy && !self.lull.nothing() {
                self.set_busy(false);
            }
        } else {
            self.idle = 0;
            if self.program.is_some() && self.lull.frames(Instant::now()) && !self.busy {
                self.set_busy(true);
            }
        }
        // The packet socket costs system calls, so it is left alone while the others have frames, but for a look now and then, and at the first
        // lull, since the event stays readable if there is something.
        let quiet = self.idle > 1 && !self.busy;
        if quiet || self.since_look >= LOOK_EVERY || self.program.is_none() {
            self.receive_passed(rx);
        }
        self.out += rx.len() - before;
        Ok(())
    }

    fn has_more_than(&self, count: usize) -> bool {
        // Several queues are received in turn, so that what comes later to one comes before what waits in another.
        match &*self.queues {
            [queue] if self.program.is_some() => queue.has_more_than(count),
            _ if self.program.is_none() => self.netif.has_more_than(count),
            _ => false,
        }
    }

    fn send(&mut self, tx: &mut VecDeque<XdpFrame>) -> io::Result<()> {
        let before = tx.len();
        if self.program.is_some() {
            self.send_by_ring(tx);
        } else {
            self.send_copies(tx);
        }
        self.out = self.out.saturating_sub(before - tx.len());
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }
}

impl fmt::Debug for XdpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpLink")
            .field("name", &self.name())
            .field("info", &self.info())
            .field("mode", &self.mode)
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}
