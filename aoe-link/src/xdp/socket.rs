//! An AF_XDP socket with its four rings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::xdp_desc;
use rustix::net::sockopt;

use super::Copies;
use super::frame::{HEADROOM, Umem};
use super::ring::{Consumer, Producer};
use super::sys;

/// Entries of each ring.
pub(super) const RING: u32 = 2048;

/// Bytes that may be on their way out; the kernel charges a frame with about twice its length.
const SEND_BUFFER: usize = 8 << 20;

pub(super) struct Socket {
    pub(super) fill: Producer<u64>,
    pub(super) received: Consumer<xdp_desc>,
    pub(super) transmit: Producer<xdp_desc>,
    pub(super) completed: Consumer<u64>,
    fd: OwnedFd,
}

impl Socket {
    /// A socket whose frames lie in `umem`, which must be kept as long. It is not bound yet.
    pub(super) fn new(umem: &Umem) -> io::Result<Self> {
        let owner = sys::socket()?;
        let fd = owner.as_fd();
        let memory = libc::xdp_umem_reg {
            addr: umem.memory().start().addr().get() as u64,
            len: umem.memory().len() as u64,
            chunk_size: umem.layout().chunk as u32,
            headroom: HEADROOM as u32,
            flags: 0,
            tx_metadata_len: 0,
        };
        sys::set_option(fd, libc::XDP_UMEM_REG, &memory)?;
        for ring in
            [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
        {
            sys::set_option(fd, ring, &RING)?;
        }
        let places: libc::xdp_mmap_offsets = sys::option(fd, libc::XDP_MMAP_OFFSETS)?;
        // Saves time only: with less, a full buffer is tried again a little later.
        if sockopt::set_socket_send_buffer_size_force(fd, SEND_BUFFER).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(fd, SEND_BUFFER);
        }
        let offset = |offset: libc::c_ulonglong| libc::off_t::try_from(offset).unwrap_or(libc::off_t::MAX);
        Ok(Self {
            fill: Producer::map(fd, offset(libc::XDP_UMEM_PGOFF_FILL_RING), &places.fr, RING)?,
            completed: Consumer::map(fd, offset(libc::XDP_UMEM_PGOFF_COMPLETION_RING), &places.cr, RING)?,
            received: Consumer::map(fd, libc::XDP_PGOFF_RX_RING, &places.rx, RING)?,
            transmit: Producer::map(fd, libc::XDP_PGOFF_TX_RING, &places.tx, RING)?,
            fd: owner,
        })
    }

    /// Binds the socket to receive queue number `queue` of interface number `index`: without copies where the driver can do that. `pieces`
    /// says that a frame may take several entries.
    pub(super) fn bind(&self, index: u32, queue: u32, pieces: bool, copies: Copies) -> io::Result<()> {
        let pieces = if pieces { libc::XDP_USE_SG } else { 0 };
        let copies = if copies == Copies::Refused { libc::XDP_ZEROCOPY } else { 0 };
        sys::bind(self.fd(), index, queue, libc::XDP_USE_NEED_WAKEUP | pieces | copies)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the driver takes and gives frames without copying them.
    pub(super) fn is_zero_copy(&self) -> bool {
        sys::option::<libc::xdp_options>(self.fd(), libc::XDP_OPTIONS)
            .is_ok_and(|options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Frames that were lost for want of room since the socket was made.
    pub(super) fn overflow(&self) -> u64 {
        sys::option::<libc::xdp_statistics>(self.fd(), libc::XDP_STATISTICS)
            .map_or(0, |stats| stats.rx_dropped + stats.rx_ring_full)
    }

    /// Makes the kernel send what is in the transmit ring. Whether all of it has left the ring.
    pub(super) fn kick(&mut self) -> io::Result<bool> {
        let mut before = self.transmit.pending();
        // Each call takes at least one frame out, or is the last.
        while before != 0 && self.transmit.needs_wakeup() {
            let result = sys::kick(self.fd());
            let after = self.transmit.pending();
            match result {
                Err(error) if after == before => {
                    return match error.raw_os_error() {
                        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR) => Ok(false),
                        _ => Err(error),
                    };
                }
                Ok(()) if after == before => return Ok(false),
                _ => before = after,
            }
        }
        Ok(before == 0)
    }

    /// Makes a driver that sleeps look at the fill ring.
    pub(super) fn wake_receiver(&self) {
        if self.fill.needs_wakeup() {
            // What it fails for shows in what follows.
            let _ = rustix::net::recv(self.fd(), &mut [0; 0], rustix::net::RecvFlags::DONTWAIT);
        }
    }

    /// Whether the kernel has let go of the interface.
    pub(super) fn is_dead(&self) -> bool {
        matches!(sockopt::socket_error(self.fd()), Ok(Err(_)) | Err(_))
    }
}
