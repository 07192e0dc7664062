//! The choice on Linux: AF_XDP, a packet socket, or pnet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use aoe_l2::{Frame, Link, LinkInfo};
use bdev::{AlignedBuf, IoBuf};

use super::LinkKind;
use crate::{
    Accept, LinkCounters, NetifOptions, OpenError, PacketLink, PnetLink, XdpError, XdpFrame, XdpLink, XdpMode,
};

/// An Ethernet interface, by one of the ways there are.
///
/// [`LinkKind::Auto`] is AF_XDP where all of this holds, else a packet socket:
///
/// * the link is a target's ([`Accept::Target`]): only then it takes nothing from others on this host;
/// * the driver gives and takes frames without copying them. One that copies has no advantage over a packet socket's ring, and over a
///   veth pair it is slower, for the sender most of all;
/// * nobody else's program is there, and the user may put one there.
#[derive(Debug)]
pub struct NetLink {
    inner: Inner,
    why: String,
}

#[derive(Debug)]
enum Inner {
    Xdp(Boxed<XdpLink>),
    Packet(Boxed<PacketLink>),
    Pnet(Boxed<PnetLink>),
}

/// A link, with frames on the way between its kind and ours.
#[derive(Debug)]
struct Boxed<L: Link> {
    link: Box<L>,
    rx: Vec<L::Frame>,
    tx: VecDeque<L::Frame>,
}

/// Calls the same method of each.
macro_rules! each {
    ($link:expr, $inner:ident => $call:expr) => {
        match $link {
            Inner::Xdp(Boxed { link: $inner, .. }) => $call,
            Inner::Packet(Boxed { link: $inner, .. }) => $call,
            Inner::Pnet(Boxed { link: $inner, .. }) => $call,
        }
    };
}

impl NetLink {
    /// Opens the interface called `name`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened in the way that was asked for; with [`LinkKind::Auto`], in none. The text names the interface and the
    /// remedy.
    pub fn open(kind: LinkKind, name: &str, options: NetifOptions) -> Result<Self, OpenError> {
        let (inner, why) = match kind {
            LinkKind::Xdp => (Inner::Xdp(boxed(XdpLink::open(name, options)?)), "asked for".to_owned()),
            LinkKind::Packet => (packet(name, options)?, "asked for".to_owned()),
            LinkKind::Pnet => (Inner::Pnet(boxed(PnetLink::open(name, options)?)), "asked for".to_owned()),
            LinkKind::Auto => match fastest(name, &options) {
                Ok(link) => (Inner::Xdp(boxed(link)), "the fastest here".to_owned()),
                Err(why) => (packet(name, options)?, why),
            },
        };
        Ok(Self { inner, why })
    }

    /// What it is: `xdp (native)`, `xdp (zero-copy)`, `xdp (generic)`, `packet` or `pnet`.
    #[must_use]
    pub fn way(&self) -> &'static str {
        match &self.inner {
            Inner::Xdp(Boxed { link, .. }) => match link.mode() {
                XdpMode::ZeroCopy => "xdp (zero-copy)",
                XdpMode::Native => "xdp (native)",
                XdpMode::Generic => "xdp (generic)",
            },
            Inner::Packet(_) => "packet",
            Inner::Pnet(_) => "pnet",
        }
    }

    /// Why it is that: a few words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        each!(&self.inner, link => link.name())
    }

    /// Bytes of receive buffer that the kernel granted, as it counts them.
    #[must_use]
    pub fn recv_buffer(&self) -> usize {
        each!(&self.inner, link => link.recv_buffer())
    }

    /// Receives from now on the frames that `accept` asks for, and keeps those that wait. None is lost that was asked for before and
    /// still is. Takes no privilege, except by AF_XDP.
    ///
    /// # Errors
    ///
    /// As [`PacketLink::set_accept`] and [`XdpLink::set_accept`].
    pub fn set_accept(&mut self, accept: Accept) -> io::Result<()> {
        each!(&mut self.inner, link => link.set_accept(accept))
    }

    /// What was lost.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        each!(&self.inner, link => link.counters())
    }
}

/// An AF_XDP link, if it is sure to be faster and to do no harm; else why not.
fn fastest(name: &str, options: &NetifOptions) -> Result<XdpLink, String> {
    if !matches!(options.accept, Accept::Target(_)) {
        return Err("the fastest that leaves other initiators their frames".to_owned());
    }
    XdpLink::open_zero_copy(name, options).map_err(|error| match error {
        OpenError::Xdp(XdpError::Unsupported { .. }) => {
            "the fastest here: by AF_XDP the driver would copy, too".to_owned()
        }
        OpenError::Xdp(XdpError::Permission { .. }) => "the fastest that is permitted".to_owned(),
        OpenError::Xdp(XdpError::Busy { .. }) => {
            "the fastest left: another program uses XDP there".to_owned()
        }
        OpenError::Xdp(XdpError::Memory { .. }) => "the fastest within the limit of locked memory".to_owned(),
        error => error.to_string(),
    })
}

fn packet(name: &str, options: NetifOptions) -> Result<Inner, OpenError> {
    Ok(Inner::Packet(boxed(PacketLink::open(name, options)?)))
}

fn boxed<L: Link>(link: L) -> Boxed<L> {
    Boxed { link: Box::new(link), rx: Vec::new(), tx: VecDeque::new() }
}

impl<L: Link> Boxed<L> {
    fn recv(&mut self, rx: &mut Vec<NetFrame>, wrap: fn(L::Frame) -> NetFrame) -> io::Result<()> {
        let result = self.link.recv(&mut self.rx);
        rx.extend(self.rx.drain(..).map(wrap));
        result
    }

    /// A frame of another kind is another link's: it has no way home, and is dropped.
    fn send(
        &mut self,
        tx: &mut VecDeque<NetFrame>,
        wrap: fn(L::Frame) -> NetFrame,
        unwrap: fn(NetFrame) -> Option<L::Frame>,
    ) -> io::Result<()> {
        self.tx.extend(tx.drain(..).filter_map(unwrap));
        let result = self.link.send(&mut self.tx);
        tx.extend(self.tx.drain(..).map(wrap));
        result
    }

    fn recycle(&mut self, frame: Option<L::Frame>) {
        if let Some(frame) = frame {
            self.link.recycle(frame);
        }
    }
}

impl Link for NetLink {
    type Frame = NetFrame;

    fn info(&self) -> LinkInfo {
        each!(&self.inner, link => link.info())
    }

    fn alloc(&mut self) -> Option<NetFrame> {
        match &mut self.inner {
            Inner::Xdp(inner) => inner.link.alloc().map(NetFrame::Xdp),
            Inner::Packet(inner) => inner.link.alloc().map(NetFrame::Heap),
            Inner::Pnet(inner) => inner.link.alloc().map(NetFrame::Heap),
        }
    }

    fn recycle(&mut self, frame: NetFrame) {
        match &mut self.inner {
            Inner::Xdp(inner) => inner.recycle(frame.xdp()),
            Inner::Packet(inner) => inner.recycle(frame.heap()),
            Inner::Pnet(inner) => inner.recycle(frame.heap()),
        }
    }

    fn recv(&mut self, rx: &mut Vec<NetFrame>) -> io::Result<()> {
        match &mut self.inner {
            Inner::Xdp(inner) => inner.recv(rx, NetFrame::Xdp),
            Inner::Packet(inner) => inner.recv(rx, NetFrame::Heap),
            Inner::Pnet(inner) => inner.recv(rx, NetFrame::Heap),
        }
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        each!(&mut self.inner, link => link.times(times));
    }

    fn has_more_than(&self, count: usize) -> bool {
        each!(&self.inner, link => link.has_more_than(count))
    }

    fn send(&mut self, tx: &mut VecDeque<NetFrame>) -> io::Result<()> {
        match &mut self.inner {
            Inner::Xdp(inner) => inner.send(tx, NetFrame::Xdp, NetFrame::xdp),
            Inner::Packet(inner) => inner.send(tx, NetFrame::Heap, NetFrame::heap),
            Inner::Pnet(inner) => inner.send(tx, NetFrame::Heap, NetFrame::heap),
        }
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        each!(&self.inner, link => link.event())
    }
}

/// A frame of a [`NetLink`].
#[derive(Debug)]
pub enum NetFrame {
    /// In this process' memory.
    Heap(AlignedBuf),
    /// In memory that is shared with the kernel.
    Xdp(XdpFrame),
}

impl NetFrame {
    fn heap(self) -> Option<AlignedBuf> {
        match self {
            Self::Heap(frame) => Some(frame),
            Self::Xdp(_) => None,
        }
    }

    fn xdp(self) -> Option<XdpFrame> {
        match self {
            Self::Xdp(frame) => Some(frame),
            Self::Heap(_) => None,
        }
    }
}

mod buf {
    #![expect(unsafe_code, reason = "it passes on a promise")]

    use super::*;

    // SAFETY: each kind of frame keeps the contract, and this one only passes it on.
    unsafe impl IoBuf for NetFrame {
        const MAX_SEGMENTS: usize = XdpFrame::MAX_SEGMENTS;

        fn bytes(&self) -> &[u8] {
            match self {
                Self::Heap(frame) => frame.bytes(),
                Self::Xdp(frame) => frame.bytes(),
            }
        }

        fn bytes_mut(&mut self) -> &mut [u8] {
            match self {
                Self::Heap(frame) => frame.bytes_mut(),
                Self::Xdp(frame) => frame.bytes_mut(),
            }
        }

        fn segments(&self) -> impl Iterator<Item = &[u8]> {
            let (heap, xdp) = match self {
                Self::Heap(frame) => (Some(frame.bytes()), None),
                Self::Xdp(frame) => (None, Some(frame.segments())),
            };
            heap.into_iter().chain(xdp.into_iter().flatten())
        }

        fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
            let (heap, xdp) = match self {
                Self::Heap(frame) => (Some(frame.bytes_mut()), None),
                Self::Xdp(frame) => (None, Some(frame.segments_mut())),
            };
            heap.into_iter().chain(xdp.into_iter().flatten())
        }
    }
}

impl Frame for NetFrame {
    fn capacity(&self) -> usize {
        match self {
            Self::Heap(frame) => Frame::capacity(frame),
            Self::Xdp(frame) => Frame::capacity(frame),
        }
    }

    fn set_len(&mut self, len: usize) {
        match self {
            Self::Heap(frame) => Frame::set_len(frame, len),
            Self::Xdp(frame) => Frame::set_len(frame, len),
        }
    }
}
