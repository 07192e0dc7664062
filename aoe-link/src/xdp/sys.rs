//! System calls of AF_XDP sockets and of BPF (bpf(2)), which no crate of ours has.
#![expect(unsafe_code, reason = "system calls by libc")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{io, mem, ptr};

/// `SIOCETHTOOL`, which libc lacks.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// Plain integers that a system call reads or writes as they lie in memory.
///
/// # Safety
///
/// Every bit pattern is a value, and there is no padding that matters.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: integers only, in C's layout.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: integers only, in C's layout.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: integers only, in C's layout.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: integers only, in C's layout.
unsafe impl Plain for libc::xdp_options {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}

/// An AF_XDP socket that is bound to nothing.
pub(super) fn socket() -> io::Result<OwnedFd> {
    // SAFETY: takes integers only.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    owned(fd.into())
}

/// Sets an option of level `SOL_XDP`.
pub(super) fn set_option<T: Plain>(fd: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes, which the kernel only reads. An address
    // among them (XDP_UMEM_REG) is that of a mapping, whose pages the kernel pins (networking/af_xdp).
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, option, ptr::from_ref(value).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option of level `SOL_XDP`.
pub(super) fn option<T: Plain>(fd: BorrowedFd<'_>, option: libc::c_int) -> io::Result<T> {
    // SAFETY: every bit pattern is a value of a `Plain` type.
    let mut value: T = unsafe { mem::zeroed() };
    let mut len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes, of which the kernel writes at most as
    // many.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_XDP,
            option,
            ptr::from_mut(&mut value).cast(),
            ptr::from_mut(&mut len),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Binds an AF_XDP socket to a receive queue of an interface.
pub(super) fn bind(fd: BorrowedFd<'_>, index: u32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: index,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes, which hold an AF_XDP socket's address.
    let result = unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes the kernel send what is in the transmit ring, and never waits.
pub(super) fn kick(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open while it is borrowed; the null pointers come with length 0.
    let result = unsafe { libc::sendto(fd.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receive queues of the interface `name` in the network namespace of `socket`; 1 when its driver does not tell.
pub(super) fn receive_queues(socket: BorrowedFd<'_>, name: &str) -> u32 {
    // struct ethtool_channels: command, most rx, tx, other, combined, then the present number of each.
    let mut channels = [0_u32; 9];
    channels[0] = ETHTOOL_GCHANNELS;
    // SAFETY: `ifreq` is made of integers, arrays, addresses and a raw pointer: all zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = channels.as_mut_ptr().cast();
    // SAFETY: the descriptor is open while it is borrowed; the request's pointer leads to nine integers, as this command writes them
    // (linux/ethtool.h).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, ptr::from_mut(&mut request)) };
    if result == -1 { 1 } else { (channels[5] + channels[8]).max(1) }
}

/// bpf(2) with a command and what belongs to it.
///
/// # Safety
///
/// `attributes` is what the command takes, and every address in it is valid for what the kernel reads of or writes to it.
pub(super) unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    let len = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: the pointer is valid for `len` bytes; the caller answers for their meaning.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The descriptor that a system call has made.
pub(super) fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match libc::c_int::try_from(result) {
        // SAFETY: the system call has just made this descriptor, and nobody else knows it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
