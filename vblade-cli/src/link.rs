//! The link that was chosen when the program was started: [`NetLink`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use aoe_link::{Link, LinkCounters, LinkInfo, NetifOptions, OpenError, PnetLink};
use bdev::AlignedBuf;

use crate::cli::LinkKind;

/// An interface, by one of the ways there are.
pub(crate) enum NetLink {
    /// Many frames to a system call.
    #[cfg(target_os = "linux")]
    Packet(aoe_link::PacketLink),
    /// The portable way.
    Pnet(PnetLink),
}

/// Calls the same method of either.
macro_rules! either {
    ($link:expr, $inner:ident => $call:expr) => {
        match $link {
            #[cfg(target_os = "linux")]
            NetLink::Packet($inner) => $call,
            NetLink::Pnet($inner) => $call,
        }
    };
}

impl NetLink {
    /// Opens the interface.
    ///
    /// # Errors
    ///
    /// When the interface, or the way to it, cannot be used.
    pub(crate) fn open(kind: LinkKind, name: &str, options: NetifOptions) -> Result<Self, OpenError> {
        match kind {
            #[cfg(target_os = "linux")]
            LinkKind::Auto | LinkKind::Packet => aoe_link::PacketLink::open(name, options).map(Self::Packet),
            #[cfg(not(target_os = "linux"))]
            LinkKind::Auto => PnetLink::open(name, options).map(Self::Pnet),
            LinkKind::Pnet => PnetLink::open(name, options).map(Self::Pnet),
        }
    }

    /// By which way, and if nobody chose it, why.
    pub(crate) fn way(&self, kind: LinkKind) -> &'static str {
        match (self, kind) {
            #[cfg(target_os = "linux")]
            (Self::Packet(_), LinkKind::Auto) => "packet (the fastest here)",
            #[cfg(target_os = "linux")]
            (Self::Packet(_), _) => "packet",
            (Self::Pnet(_), LinkKind::Auto) => "pnet (the only one on this system)",
            (Self::Pnet(_), _) => "pnet",
        }
    }

    /// Bytes of receive buffer that the kernel granted, as it counts them.
    pub(crate) fn recv_buffer(&self) -> usize {
        either!(self, link => link.recv_buffer())
    }

    /// What was lost.
    pub(crate) fn counters(&self) -> LinkCounters {
        either!(self, link => link.counters())
    }
}

impl Link for NetLink {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        either!(self, link => link.info())
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        either!(self, link => link.alloc())
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        either!(self, link => link.recycle(frame));
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        either!(self, link => link.recv(rx))
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        either!(self, link => link.send(tx))
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        either!(self, link => link.event())
    }
}
