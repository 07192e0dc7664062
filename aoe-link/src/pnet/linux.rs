//! The Linux side: a packet socket of our own under pnet's channel, and a netlink socket that tells when to look again.
//!
//! pnet is given a duplicate of the packet socket, so that this side can wait on it, set its options and clear its errors. When an
//! interface is created anew, the same socket is bound to it: a new one would take a privilege that may be gone by then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use aoe_wire::ETHERTYPE;
use pnet::datalink::{
    self, Channel, ChannelType, Config, DataLinkReceiver, DataLinkSender, NetworkInterface,
};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netdevice, sockopt};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::{Interface, OpenError, sys};

/// pnet's buffer: an ATA request of 255 sectors fits. Memory that no frame reaches costs nothing, and no MTU asks for another one.
const READ_BUFFER: usize = 128 << 10;

/// The largest MTU that is used; only the loopback interface can have a larger one. It leaves room for the header, a VLAN tag, and a
/// byte more, by which a frame that was cut shows.
const MAX_MTU: u32 = (128 << 10) - 19;

/// Netlink messages that are read at a time. More of them wake us again.
const MESSAGES: usize = 64;

pub(super) struct Port {
    tx: Box<dyn DataLinkSender>,
    rx: Box<dyn DataLinkReceiver>,
    /// The packet socket that `tx` and `rx` use, too.
    socket: OwnedFd,
    /// Readable when any interface of the namespace changed.
    changes: OwnedFd,
    timer: OwnedFd,
    armed: bool,
    /// Covers the three above.
    epoll: OwnedFd,
    interest: epoll::EventFlags,
    recv_buffer: usize,
}

impl Port {
    pub(super) fn open(name: &str, recv_buffer: usize) -> Result<(Self, Interface), OpenError> {
        let io = |action| {
            move |source: Errno| OpenError::Io { name: name.to_owned(), action, source: source.into() }
        };
        // Before the first look, so that no change after it is missed.
        let changes = open_netlink().map_err(io("watch interfaces by netlink"))?;
        let interface = match find(changes.as_fd(), name) {
            Ok(interface) => interface.check(name)?,
            Err(e) if is_absent(&e) => {
                let existing = datalink::interfaces().into_iter().map(|i| i.name).collect();
                return Err(OpenError::Unknown { name: name.to_owned(), existing });
            }
            Err(source) => {
                return Err(OpenError::Io { name: name.to_owned(), action: "read its state", source });
            }
        };
        // Protocol 0: nothing arrives until it is bound.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None) {
            Ok(socket) => socket,
            Err(Errno::PERM | Errno::ACCESS) => return Err(OpenError::Permission { name: name.to_owned() }),
            Err(e) => return Err(io("open a raw socket")(e)),
        };
        sys::accept_only_frames_for_us(socket.as_fd()).map_err(|source| OpenError::Io {
            name: name.to_owned(),
            action: "filter frames",
            source,
        })?;
        let recv_buffer = enlarge(&socket, recv_buffer).map_err(io("size its receive buffer"))?;
        let (tx, rx) = channel(&socket, name, &interface).map_err(|source| OpenError::Io {
            name: name.to_owned(),
            action: "bind a raw socket to it",
            source,
        })?;

        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .map_err(io("make a timer"))?;
        let interest = epoll::EventFlags::IN;
        let epoll = watch([&socket, &changes, &timer], interest).map_err(io("wait for events"))?;
        let port = Self { tx, rx, socket, changes, timer, armed: false, epoll, interest, recv_buffer };
        Ok((port, interface))
    }

    /// The interface called `name` as it is now.
    pub(super) fn find(&self, name: &str) -> Option<Interface> {
        find(self.changes.as_fd(), name).ok()
    }

    /// Moves to another interface. Frames that wait in the socket are kept.
    pub(super) fn bind(&mut self, name: &str, interface: &Interface) -> io::Result<()> {
        (self.tx, self.rx) = channel(&self.socket, name, interface)?;
        Ok(())
    }

    /// Whether an interface may have changed since this was last called.
    pub(super) fn woken(&mut self) -> bool {
        if self.armed && rustix::io::read(&self.timer, &mut [0; 8]).is_ok() {
            self.armed = false;
        }
        let mut woken = false;
        for _ in 0..MESSAGES {
            // What a message says does not matter; one that is cut short or lost (ENOBUFS) means the same as one that is not.
            match rustix::net::recv(&self.changes, &mut [0; 16], RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::NOBUFS) => woken = true,
                Err(_) => break,
            }
        }
        woken
    }

    /// Clears the socket's error, and tells whether it was that the interface went down.
    pub(super) fn take_error(&self) -> bool {
        matches!(sockopt::socket_error(&self.socket), Ok(Err(Errno::NETDOWN)))
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> io::Result<&[u8]> {
        self.rx.next()
    }

    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.tx.send_to(frame, None).unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))
    }

    /// Whether arriving frames make [`event`](Self::event) readable.
    pub(super) fn listen(&mut self, on: bool) {
        self.set_interest(epoll::EventFlags::IN, on);
    }

    /// Whether room to send makes [`event`](Self::event) readable.
    pub(super) fn await_room(&mut self, on: bool) {
        self.set_interest(epoll::EventFlags::OUT, on);
    }

    fn set_interest(&mut self, flag: epoll::EventFlags, on: bool) {
        let mut interest = self.interest;
        interest.set(flag, on);
        if interest != self.interest
            && epoll::modify(&self.epoll, &self.socket, epoll::EventData::new_u64(0), interest).is_ok()
        {
            self.interest = interest;
        }
    }

    /// Makes [`event`](Self::event) readable once, after `pause`.
    pub(super) fn wake_in(&mut self, pause: Duration) {
        let Ok(it_value) = Timespec::try_from(pause) else { return };
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        self.armed = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_ok();
    }

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    pub(super) fn recv_buffer(&self) -> usize {
        self.recv_buffer
    }

    /// Frames that found the socket full since this was last called.
    pub(super) fn take_overflow(&self) -> u64 {
        sys::take_overflow(self.socket.as_fd()).map_or(0, u64::from)
    }
}

/// A netlink socket that gets a message for every change of an interface (rtnetlink(7), group `RTMGRP_LINK`).
fn open_netlink() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, libc::RTMGRP_LINK.cast_unsigned()))?;
    Ok(socket)
}

fn find(socket: BorrowedFd<'_>, name: &str) -> io::Result<Interface> {
    let index = netdevice::name_to_index(socket, name)?;
    let flags = sys::flags(socket, name)?;
    let (hardware, mac) = sys::hardware(socket, name)?;
    let serves = (libc::IFF_UP | libc::IFF_RUNNING).cast_unsigned();
    Ok(Interface {
        index,
        mac,
        mtu: sys::mtu(socket, name)?.min(MAX_MTU),
        up: flags & serves == serves,
        hardware,
    })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// Asks for a receive buffer and tells what was granted.
fn enlarge(socket: &OwnedFd, bytes: usize) -> rustix::io::Result<usize> {
    // The kernel doubles it, in 32 bits.
    let bytes = bytes.min(i32::MAX as usize / 2);
    // Beyond the system's limit (net.core.rmem_max) takes CAP_NET_ADMIN.
    if sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, bytes)?;
    }
    sockopt::socket_recv_buffer_size(socket)
}

type Ends = (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>);

/// A pnet channel over `socket`, bound to `interface` and the AoE EtherType.
fn channel(socket: &OwnedFd, name: &str, interface: &Interface) -> io::Result<Ends> {
    let [a, b, c, d, e, f] = interface.mac.0;
    let to = NetworkInterface {
        name: name.to_owned(),
        description: String::new(),
        index: interface.index,
        mac: Some(datalink::MacAddr(a, b, c, d, e, f)),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        read_buffer_size: READ_BUFFER,
        write_buffer_size: 0,
        read_timeout: Some(Duration::ZERO),
        write_timeout: Some(Duration::ZERO),
        channel_type: ChannelType::Layer3(ETHERTYPE),
        promiscuous: false,
        // pnet closes it, also when it fails.
        socket_fd: Some(rustix::io::fcntl_dupfd_cloexec(socket, 0)?.into_raw_fd()),
        ..Config::default()
    };
    match datalink::channel(&to, config)? {
        Channel::Ethernet(tx, rx) => Ok((tx, rx)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn watch(sources: [&OwnedFd; 3], interest: epoll::EventFlags) -> rustix::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for source in sources {
        epoll::add(&epoll, source, epoll::EventData::new_u64(0), interest)?;
    }
    Ok(epoll)
}
