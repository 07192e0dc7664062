//! The Linux side: a packet socket for AoE frames, and what tells when to look at its interface again.
//!
//! When an interface is created anew, the same socket is bound to it: a new one would take a privilege that may be gone by then.

mod interfaces;
mod sys;
mod watch;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, sockopt};

pub use self::interfaces::Interfaces;
#[cfg(test)]
pub(crate) use self::sys::attach_filter;
use self::watch::Watch;
use super::{Interface, NetifOptions, OpenError};
use crate::{Accept, filter};

/// The largest MTU that is used; only the loopback interface can have a larger one. An ATA request of 255 sectors fits, and with the
/// header and a VLAN tag a frame takes less than 128 KiB.
const MAX_MTU: u32 = (128 << 10) - 19;

/// A packet socket and its watch.
pub(crate) struct Port {
    socket: OwnedFd,
    watch: Watch,
    recv_buffer: usize,
}

impl Port {
    /// A socket that receives nothing yet: it is to be bound to the interface.
    pub(super) fn open(name: &str, options: &NetifOptions) -> Result<(Self, Interface), OpenError> {
        let failed =
            |action| move |source: io::Error| OpenError::Io { name: name.to_owned(), action, source };
        // Before the first look, so that no change after it is missed.
        let changes = watch::open_netlink().map_err(|e| failed("watch interfaces by netlink")(e.into()))?;
        let interface = match find(changes.as_fd(), name) {
            Ok(interface) => interface.check(name)?,
            Err(e) if is_absent(&e) => {
                return Err(OpenError::Unknown { name: name.to_owned(), existing: sys::names() });
            }
            Err(e) => return Err(failed("read its state")(e)),
        };
        // Protocol 0: nothing arrives until it is bound.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None) {
            Ok(socket) => socket,
            Err(Errno::PERM | Errno::ACCESS) => return Err(OpenError::Permission { name: name.to_owned() }),
            Err(e) => return Err(failed("open a raw socket")(e.into())),
        };
        sys::attach_filter(socket.as_fd(), &filter::program(&options.accept))
            .map_err(failed("filter frames"))?;
        // Saves time only: the filter drops them, too.
        let _ = sys::ignore_outgoing(socket.as_fd());
        let recv_buffer =
            enlarge(&socket, options.recv_buffer).map_err(|e| failed("size its receive buffer")(e.into()))?;
        let watch = Watch::new(&socket, changes).map_err(|e| failed("wait for events")(e.into()))?;
        Ok((Self { socket, watch, recv_buffer }, interface))
    }

    /// Lets pass what `accept` says from now on. What waits in the socket stays.
    pub(super) fn set_accept(&self, accept: &Accept) -> io::Result<()> {
        sys::attach_filter(self.socket(), &filter::program(accept))
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Binds the socket to `interface` and AoE's EtherType, past the queue that the interface may have.
    #[cfg(feature = "packet")]
    pub(crate) fn bind_to_driver(&self, interface: &Interface) -> io::Result<()> {
        // Saves time only.
        let _ = sys::bypass_qdisc(self.socket());
        sys::bind(self.socket(), interface.index)
    }

    /// The interface called `name` as it is now.
    pub(super) fn find(&self, name: &str) -> Option<Interface> {
        find(self.socket(), name).ok()
    }

    /// Whether an interface may have changed since this was last called.
    pub(super) fn woken(&mut self) -> bool {
        self.watch.woken()
    }

    /// Clears the socket's error, and tells whether it was that the interface went down.
    pub(super) fn take_error(&self) -> bool {
        matches!(sockopt::socket_error(&self.socket), Ok(Err(Errno::NETDOWN)))
    }

    /// Whether arriving frames make [`event`](Self::event) readable.
    pub(super) fn listen(&mut self, on: bool) {
        self.watch.set_interest(&self.socket, EventFlags::IN, on);
    }

    /// Whether room to send makes [`event`](Self::event) readable.
    pub(super) fn await_room(&mut self, on: bool) {
        self.watch.set_interest(&self.socket, EventFlags::OUT, on);
    }

    /// While `busy`, [`event`](Self::event) is readable, and frames cost less.
    pub(super) fn set_busy(&mut self, busy: bool) {
        self.watch.set_busy(&self.socket, busy);
    }

    /// Makes [`event`](Self::event) readable once, after `pause`.
    pub(super) fn wake_in(&mut self, pause: Duration) {
        self.watch.wake_in(pause);
    }

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.watch.event())
    }

    pub(super) fn recv_buffer(&self) -> usize {
        self.recv_buffer
    }

    /// Frames that found the socket full since this was last called.
    pub(super) fn take_overflow(&self) -> u64 {
        sys::take_overflow(self.socket()).map_or(0, u64::from)
    }
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
