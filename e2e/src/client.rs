//! A raw socket on one interface.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{netdevice, recv, send, socket_with};

use crate::sys;

/// Room for what the target may send while the test looks elsewhere.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Sends any bytes as a frame and receives the AoE frames that arrive, whomever they are for.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sent: Cell<u64>,
}

impl Client {
    /// Opens the interface, which must be in the namespace of the calling thread.
    pub fn open(interface: &str) -> io::Result<Self> {
        let socket = open_socket(interface)?;
        Ok(Self { socket, buffer: vec![0; 1 << 16], sent: Cell::new(0) })
    }

    /// Sends the bytes as they are.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        let sent = send(&self.socket, frame, SendFlags::empty()).unwrap_or_else(|why| {
            panic!("cannot send a frame of {} bytes: {why}", frame.len());
        });
        assert_eq!(sent, frame.len());
        self.sent.set(self.sent.get() + 1);
    }

    /// Frames sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// The next frame, if one arrives in time. Errors of the link (it is down) end the wait early.
    pub fn receive(&mut self, within: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero would mean for ever.
            let wait = left.max(Duration::from_micros(1));
            sockopt::set_socket_timeout(&self.socket, Timeout::Recv, Some(wait)).expect("SO_RCVTIMEO");
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, len)) => return Some(self.buffer[..len].to_vec()),
                Err(Errno::INTR) if !left.is_zero() => {}
                Err(Errno::AGAIN | Errno::INTR | Errno::NETDOWN | Errno::NXIO | Errno::NODEV) => return None,
                Err(why) => panic!("cannot receive: {why}"),
            }
        }
    }
}

/// A raw socket on an interface of the calling thread's namespace: AoE frames in, any bytes out.
pub(crate) fn open_socket(interface: &str) -> io::Result<OwnedFd> {
    let protocol = std::num::NonZeroU32::new(sys::ETHERTYPE.into()).map(Protocol::from_raw);
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    // Only root may go beyond the system's limit; others get as much as that allows.
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
    }
    let index = netdevice::name_to_index(&socket, interface)?;
    sys::bind_to_interface(&socket, index)?;
    Ok(socket)
}
