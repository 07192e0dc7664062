//! The four system calls that no safe library offers, each behind a safe function: the only unsafe code here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

/// EtherType of AoE, in the byte order the kernel wants it in.
pub(crate) const ETHERTYPE: u16 = 0x88a2_u16.to_be();

/// Moves the calling thread, and what it starts from now on, into a network namespace of its own.
pub(crate) fn unshare_network() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

/// Gives the calling thread, and what it starts from now on, its own view of the mounted file systems.
pub(crate) fn unshare_mounts() -> io::Result<()> {
    unshare(libc::CLONE_NEWNS)
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare takes no pointer. The flags used here separate namespaces only, never the descriptor table, so
    // every descriptor of the process stays valid in this thread.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds a packet socket to one interface and to AoE frames.
pub(crate) fn bind_to_interface(socket: &OwnedFd, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETHERTYPE,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer is to a live sockaddr_ll, len is its size, and bind only reads it.
    match unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends each of the frames, as many as the interface takes, and tells how many.
pub(crate) fn send_all(socket: &OwnedFd, frames: &[Vec<u8>]) -> io::Result<usize> {
    let piece =
        |frame: &Vec<u8>| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
    let mut pieces: Vec<_> = frames.iter().map(piece).collect();
    let header = |piece: &mut libc::iovec| {
        // SAFETY: it is made of integers and raw pointers, of which all zero is a valid value.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (piece, 1);
        header
    };
    let mut headers: Vec<_> = pieces.iter_mut().map(header).collect();
    let count = headers.len() as libc::c_uint;
    // SAFETY: `count` headers begin at the pointer, each with one of `pieces`, which are the bytes of frames. All of these outlive the call,
    // and the kernel only reads the frames.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Has the kernel kill the command when the thread that starts it ends, however that ends.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes one system call: it neither allocates nor locks.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}
