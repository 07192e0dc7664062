//! A packet socket that sends and receives many frames in one call: the example's only unsafe code, since the standard library has no
//! packet sockets and no `recvmmsg`.

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{io, mem, ptr};

use aoe_wire::{ETHERTYPE, MacAddr};

/// Bytes of a frame at the largest MTU.
const FRAME: usize = 9728;

/// Frames in a row, and the headers that describe them to the kernel.
struct Batch {
    memory: Vec<[u8; FRAME]>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in `vectors` and `headers` lead to the heap memory of the same value, which moves along and is never shared.
unsafe impl Send for Batch {}

impl Batch {
    fn new(count: usize) -> Self {
        let mut memory = vec![[0; FRAME]; count];
        let vector =
            |frame: &mut [u8; FRAME]| libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: FRAME };
        let mut vectors: Vec<_> = memory.iter_mut().map(vector).collect();
        let header = |vector: &mut libc::iovec| {
            // SAFETY: a header of all zeros is one without name, control data and flags.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        let headers = vectors.iter_mut().map(header).collect();
        Self { memory, vectors, headers }
    }
}

/// A socket on one interface for AoE frames.
pub(crate) struct Socket {
    fd: OwnedFd,
    mac: MacAddr,
    rx: Batch,
    tx: Batch,
    /// Frames that wait to be sent.
    queued: usize,
}

impl Socket {
    /// Opens the interface `name` for up to `window` frames at a time.
    pub(crate) fn open(name: &str, window: usize) -> io::Result<Self> {
        let name = CString::new(name)?;
        // SAFETY: the name ends with a zero byte.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, flags, ETHERTYPE.to_be().into()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an address of all zeros is valid; what matters is filled in below.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ETHERTYPE.to_be();
        address.sll_ifindex = index as i32;
        let mut len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: pointer and length are those of `address`.
        if unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), len) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: pointers and length are those of `address` and `len`; the kernel fills in the interface's own address.
        if unsafe { libc::getsockname(fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut len) } != 0
        {
            return Err(io::Error::last_os_error());
        }
        let [a, b, c, d, e, f, ..] = address.sll_addr;
        let mac = MacAddr([a, b, c, d, e, f]);
        ignore_outgoing(&fd)?;
        Ok(Self { fd, mac, rx: Batch::new(window.max(16)), tx: Batch::new(window.max(16)), queued: 0 })
    }

    /// The interface's own address.
    pub(crate) fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Has `build` write a frame and return its length; it is sent by the next [`flush`](Self::flush). No more than the window at a time.
    pub(crate) fn push(&mut self, build: impl FnOnce(&mut [u8]) -> usize) {
        let at = self.queued;
        self.tx.vectors[at].iov_len = build(&mut self.tx.memory[at]);
        self.queued += 1;
    }

    /// Sends what was pushed, and tries again while the kernel has no room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.queued {
            let rest = &mut self.tx.headers[sent..self.queued];
            // SAFETY: `rest` is a list of that many headers, whose vectors lead to memory that this value owns.
            let count =
                unsafe { libc::sendmmsg(self.fd.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
            match usize::try_from(count) {
                Ok(count) => sent += count,
                Err(_) => retry(io::Error::last_os_error())?,
            }
        }
        self.queued = 0;
        Ok(())
    }

    /// Receives what is there, without waiting; how many frames that was.
    pub(crate) fn recv(&mut self) -> io::Result<usize> {
        let headers = &mut self.rx.headers;
        let (list, count) = (headers.as_mut_ptr(), headers.len() as u32);
        // SAFETY: `list` is a list of `count` headers, whose vectors lead to memory that this value owns.
        let received = unsafe { libc::recvmmsg(self.fd.as_raw_fd(), list, count, 0, ptr::null_mut()) };
        match usize::try_from(received) {
            Ok(received) => Ok(received),
            Err(_) => retry(io::Error::last_os_error()).map(|()| 0),
        }
    }

    /// Frame `number` of those last received.
    pub(crate) fn frame(&self, number: usize) -> &[u8] {
        &self.rx.memory[number][..self.rx.headers[number].msg_len as usize]
    }
}

/// What is sent here is not to be received here.
fn ignore_outgoing(fd: &OwnedFd) -> io::Result<()> {
    const PACKET_IGNORE_OUTGOING: i32 = 23;
    let on = 1_i32;
    let (value, len) = (ptr::from_ref(&on).cast(), mem::size_of::<i32>() as u32);
    // SAFETY: pointer and length are those of `on`.
    match unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, value, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the call may be made again.
fn retry(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}
