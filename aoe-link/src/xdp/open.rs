//! Opening: everything that can be refused, in an order in which nothing happens to the interface before it is sure.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aoe_l2::LinkInfo;
use aoe_wire::ETH_HEADER_LEN;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};

use super::frame::Layout;
use super::program::{Attach, Program};
use super::queue::{self, Queue};
use super::{Copies, RETRY, XdpError, XdpLink, XdpMode, sys};
use crate::OpenError;
use crate::netif::{Lull, Netif, NetifOptions, VLAN_TAG};
use crate::packet::Batches;

/// Receive queues that get a socket of their own. What arrives by others takes the way of the packet socket.
const MOST_QUEUES: u32 = 8;

/// The most bytes of receive buffer for the packet socket.
const PASSED_BUFFER: usize = 1 << 20;

/// For how long it is tried again where the kernel has not yet cleaned up behind an AF_XDP socket that was closed.
const CLEANING: Duration = Duration::from_millis(500);

impl XdpLink {
    /// Opens the interface called `name`, and refuses one whose driver copies if so asked.
    pub(super) fn open_with(name: &str, options: &NetifOptions, copies: Copies) -> Result<Self, OpenError> {
        // Only what the program lets pass comes this way.
        let recv_buffer = options.recv_buffer.min(PASSED_BUFFER);
        let netif = Netif::open(name, &NetifOptions { recv_buffer, ..options.clone() })?;
        let LinkInfo { mac, mtu, .. } = netif.info();
        let Some(layout) = Layout::of_frame(longest(mtu)) else {
            let most = Layout::LONGEST - (longest(mtu) - mtu as usize);
            return Err(XdpError::Mtu { name: name.to_owned(), mtu, most: most as u32 }.into());
        };
        let index = netif.index();
        let count = sys::receive_queues(netif.socket(), name).min(MOST_QUEUES);
        let queues = open_queues(name, index, layout, options.pool, count, copies)?;
        // Attached last: from then on frames arrive. A driver may lose its carrier for a moment meanwhile.
        let attach =
            |way| persist(|| Program::attach(index, way, mac, &options.accept, count, layout.per_frame > 1));
        let (program, native) = match attach(Attach::Native) {
            Ok(program) => (program, true),
            Err(error)
                if copies == Copies::Allowed
                    && matches!(
                        error.raw_os_error(),
                        Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE)
                    ) =>
            {
                let attached = attach(Attach::Generic);
                (attached.map_err(|error| XdpError::new(name, "attach a program", error))?, false)
            }
            Err(error) => return Err(XdpError::new(name, "attach a program", error).into()),
        };
        for (number, queue) in (0..).zip(&queues) {
            let directed = program.direct(number, queue.fd());
            directed.map_err(|error| XdpError::new(name, "direct frames to a socket", error))?;
        }
        let (epoll, ready) =
            watch(&netif, &queues).map_err(|error| XdpError::new(name, "wait for events", error.into()))?;
        let mode = match native {
            true if queues.iter().all(Queue::is_zero_copy) => XdpMode::ZeroCopy,
            true => XdpMode::Native,
            false => XdpMode::Generic,
        };
        Ok(Self {
            netif,
            program: Some(program),
            queues,
            mode,
            most: layout.capacity(),
            index,
            epoll,
            ready,
            busy: false,
            lull: Lull::default(),
            out: 0,
            idle: 0,
            since_look: 0,
            rx: Vec::new(),
            tx: VecDeque::new(),
            tx_dropped: 0,
            rx_dropped: 0,
            rx_refused: 0,
            mtu,
        })
    }
}

/// A bound socket for each of `count` receive queues, with memory for `frames` frames.
fn open_queues(
    name: &str,
    index: u32,
    layout: Layout,
    frames: usize,
    count: u32,
    copies: Copies,
) -> Result<Vec<Queue>, XdpError> {
    let frames = u32::try_from(frames).unwrap_or(u32::MAX);
    let open = |number| {
        let mut queue = Queue::new(number, layout, frames).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                XdpError::Memory { name: name.to_owned(), bytes: queue::memory(layout, frames) }
            }
            _ => XdpError::new(name, "open a socket", error),
        })?;
        persist(|| queue.bind(index, copies)).map_err(|error| XdpError::new(name, "bind a socket", error))?;
        Ok(queue)
    };
    (0..count as u16).map(open).collect()
}

/// Tries again while the kernel says that somebody is there, who may be gone in a moment.
fn persist<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && start.elapsed() < CLEANING => {
                std::thread::sleep(RETRY);
            }
            result => return result,
        }
    }
}

/// One descriptor to wait on, for all sockets, and one that is always readable, to be let in.
fn watch(netif: &Netif<Batches>, queues: &[Queue]) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let ready = eventfd(1, EventfdFlags::CLOEXEC)?;
    epoll::add(&epoll, &ready, EventData::new_u64(0), EventFlags::empty())?;
    for fd in queues.iter().map(Queue::fd).chain(netif.event()) {
        epoll::add(&epoll, fd, EventData::new_u64(0), EventFlags::IN)?;
    }
    Ok((epoll, ready))
}

/// The longest frame of an interface: some let pass what is longer by a VLAN tag.
fn longest(mtu: u32) -> usize {
    mtu as usize + ETH_HEADER_LEN + VLAN_TAG
}
