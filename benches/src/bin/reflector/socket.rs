//! A packet socket by system calls alone: [`Socket`].
#![expect(unsafe_code, reason = "system calls by libc")]

use std::ffi::{CString, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{io, mem, ptr};

use aoe_target::LinkInfo;
use aoe_wire::{ATA_HEADER_LEN, MacAddr};
use bdev::{AlignedBuf, IoBuf};

/// Frames that one system call moves at most. With more of them both ends of a small window fall asleep in turn: at window 16, two pass
/// 290,000 requests where sixteen pass 190,000; at window 64, four pass the most.
const BURST: usize = 4;
/// Bytes of receive buffer.
const RECV_BUFFER: c_int = 8 << 20;
/// EtherType of AoE, in network order.
const AOE: u16 = 0x88a2_u16.to_be();

/// A bound socket.
pub(crate) struct Socket {
    fd: OwnedFd,
    info: LinkInfo,
}

impl Socket {
    /// Opens the interface called `name`.
    ///
    /// # Errors
    ///
    /// When there is none, or it takes a privilege that is missing.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        // SAFETY: takes integers and returns a descriptor or -1.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        check(fd)?;
        // SAFETY: it was opened just now and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        set(&fd, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        // Beyond the system's limit takes a privilege that a user namespace has not.
        set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECV_BUFFER)
            .or_else(|_| set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, RECV_BUFFER))?;

        let c_name = CString::new(name)?;
        // SAFETY: the string ends with a zero and is only read.
        let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: integers and bytes: all zero is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = AOE;
        address.sll_ifindex = index.cast_signed();
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is as long as told, and only read.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })?;
        // SAFETY: the address has room for as much as told. It now has the interface's own address.
        check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) })?;
        let [a, b, c, d, e, f, ..] = address.sll_addr;
        let mac = MacAddr([a, b, c, d, e, f]);
        let mtu = mtu(&fd, &c_name)?;
        Ok(Self { fd, info: LinkInfo { mac, mtu, payload_align: 1, up: true, generation: 0 } })
    }

    /// Sends each request back as its reply, for ever.
    ///
    /// # Errors
    ///
    /// When the interface is gone.
    pub(crate) fn reflect(&mut self, buffers: u16) -> io::Result<()> {
        let room = self.info.mtu as usize + 14;
        let mut frames: Vec<_> = (0..BURST).map(|_| AlignedBuf::new(room, 64, ATA_HEADER_LEN)).collect();
        let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BURST];
        // SAFETY: integers and raw pointers: all zero is a valid value.
        let mut headers: [libc::mmsghdr; BURST] = unsafe { mem::zeroed() };
        for (header, piece) in headers.iter_mut().zip(&mut pieces) {
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
        }
        loop {
            for (header, frame) in headers.iter().zip(&mut frames) {
                frame.set_len(room);
                // SAFETY: each header has the piece that it was given above, which nothing else refers to.
                unsafe { *header.msg_hdr.msg_iov = piece(frame) };
            }
            let headers_start = headers.as_mut_ptr();
            // SAFETY: there are `BURST` headers, each with one piece, which was set just now to memory of a frame.
            let arrived = unsafe {
                libc::recvmmsg(
                    self.fd.as_raw_fd(),
                    headers_start,
                    BURST as _,
                    libc::MSG_WAITFORONE as _,
                    ptr::null_mut(),
                )
            };
            let arrived = match check(arrived) {
                Ok(arrived) => arrived,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut answered = 0;
            for at in 0..arrived {
                frames[at].set_len((headers[at].msg_len as usize).min(room));
                if benches::answer(&mut frames[at], &self.info, buffers) {
                    // SAFETY: as above. Replies take the first headers.
                    unsafe { *headers[answered].msg_hdr.msg_iov = piece(&mut frames[at]) };
                    answered += 1;
                }
            }
            let mut sent = 0;
            while sent < answered {
                let rest = (answered - sent) as _;
                // SAFETY: so many headers follow, each with one piece, which is a frame's bytes.
                let result =
                    unsafe { libc::sendmmsg(self.fd.as_raw_fd(), headers_start.wrapping_add(sent), rest, 0) };
                // What cannot be sent is lost, as on any network.
                sent += check(result).unwrap_or(1).max(1);
            }
        }
    }
}

fn piece(frame: &mut AlignedBuf) -> libc::iovec {
    let bytes = frame.bytes_mut();
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

fn set(fd: &OwnedFd, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let len = size_of::<c_int>() as libc::socklen_t;
    let value = (&raw const value).cast::<c_void>();
    // SAFETY: the value is an integer of the length that is told, and only read.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, len) }).map(drop)
}

fn mtu(fd: &OwnedFd, name: &CString) -> io::Result<u32> {
    // SAFETY: integers, bytes and raw pointers: all zero is a valid value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *to = from.cast_signed() as _;
    }
    // SAFETY: the request is one for an interface, as SIOCGIFMTU takes and fills.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
    // SAFETY: the call has filled in this member.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn check(result: c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
