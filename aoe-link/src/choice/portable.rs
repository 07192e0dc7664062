//! The choice elsewhere: there is one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use aoe_l2::{Link, LinkInfo};
use bdev::AlignedBuf;

use super::LinkKind;
use crate::{Accept, LinkCounters, NetifOptions, OpenError, PnetLink};

/// A frame of a [`NetLink`].
pub type NetFrame = AlignedBuf;

/// An Ethernet interface, by a pnet datalink channel.
#[derive(Debug)]
pub struct NetLink(PnetLink);

impl NetLink {
    /// Opens the interface called `name`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or not in the way that was asked for.
    pub fn open(kind: LinkKind, name: &str, options: NetifOptions) -> Result<Self, OpenError> {
        match kind {
            LinkKind::Auto | LinkKind::Pnet => PnetLink::open(name, options).map(Self),
            LinkKind::Xdp | LinkKind::Packet => Err(OpenError::Io {
                name: name.to_owned(),
                action: "use links of 64-bit Linux on this system; ask for auto or pnet",
                source: io::ErrorKind::Unsupported.into(),
            }),
        }
    }

    /// What it is.
    #[must_use]
    pub fn way(&self) -> &'static str {
        "pnet"
    }

    /// Why it is that.
    #[must_use]
    pub fn why(&self) -> &str {
        "the only one on this system"
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Bytes of receive buffer that the kernel granted, as it counts them.
    #[must_use]
    pub fn recv_buffer(&self) -> usize {
        self.0.recv_buffer()
    }

    /// Every frame arrives on this system, whatever `accept` asks for.
    ///
    /// # Errors
    ///
    /// None.
    pub fn set_accept(&mut self, accept: Accept) -> io::Result<()> {
        self.0.set_accept(accept)
    }

    /// What was lost.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.0.counters()
    }
}

impl Link for NetLink {
    type Frame = NetFrame;

    fn info(&self) -> LinkInfo {
        self.0.info()
    }

    fn alloc(&mut self) -> Option<NetFrame> {
        self.0.alloc()
    }

    fn recycle(&mut self, frame: NetFrame) {
        self.0.recycle(frame);
    }

    fn recv(&mut self, rx: &mut Vec<NetFrame>) -> io::Result<()> {
        self.0.recv(rx)
    }

    fn send(&mut self, tx: &mut VecDeque<NetFrame>) -> io::Result<()> {
        self.0.send(tx)
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.0.event()
    }
}
