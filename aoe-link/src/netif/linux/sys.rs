//! Socket and interface calls that rustix does not have.
//!
//! Why at all: packet sockets are known to neither rustix nor the standard library, and the interface's state must be read in the
//! network namespace of the socket, which `/sys` does not promise.
#![expect(unsafe_code, reason = "system calls by libc")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{io, mem, ptr};

#[cfg(feature = "packet")]
use aoe_wire::ETHERTYPE;
use aoe_wire::MacAddr;

/// `SIOCGIFFLAGS`: the flags (`IFF_UP`, `IFF_RUNNING`, …) of the interface `name`.
pub(super) fn flags(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let answer = ask(socket, libc::SIOCGIFFLAGS, name)?;
    // SAFETY: SIOCGIFFLAGS succeeded, so this field of the union was written; any bytes are a valid `c_short`.
    let flags = unsafe { answer.ifr_ifru.ifru_flags };
    Ok(u32::from(flags.cast_unsigned()))
}

/// `SIOCGIFMTU`: the MTU of the interface `name`, in bytes.
pub(super) fn mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let answer = ask(socket, libc::SIOCGIFMTU, name)?;
    // SAFETY: SIOCGIFMTU succeeded, so this field of the union was written; any bytes are a valid `c_int`.
    let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
    Ok(u32::try_from(mtu).unwrap_or(0))
}

/// `SIOCGIFHWADDR`: the ARP hardware number of the interface `name`, and the first six bytes of its address.
pub(super) fn hardware(socket: BorrowedFd<'_>, name: &str) -> io::Result<(u16, MacAddr)> {
    let answer = ask(socket, libc::SIOCGIFHWADDR, name)?;
    // SAFETY: SIOCGIFHWADDR succeeded, so this field of the union was written; any bytes are a valid `sockaddr`.
    let address = unsafe { answer.ifr_ifru.ifru_hwaddr };
    let mut mac = [0; 6];
    for (byte, from) in mac.iter_mut().zip(address.sa_data) {
        // A character has a sign on some systems, and none on others.
        [*byte] = from.to_ne_bytes();
    }
    Ok((address.sa_family, MacAddr(mac)))
}

/// An ioctl that takes an interface's name and answers in place.
fn ask(socket: BorrowedFd<'_>, request: libc::c_ulong, name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is made of integers, arrays, addresses and a raw pointer: all zero is a valid value of it.
    let mut answer: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero and ends the name.
    let field = &mut answer.ifr_name[..libc::IFNAMSIZ - 1];
    if name.len() > field.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is open while it is borrowed; the three requests of this file read the name from, and write the answer to,
    // the `ifreq` that the pointer is valid for (netdevice(7)).
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), request as libc::Ioctl, ptr::from_mut(&mut answer)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// `SO_ATTACH_FILTER`: from now on the socket receives only what `program` lets pass. It takes the place of another in one step, and
/// takes no privilege.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: this option takes a `sock_fprog`, whose pointer is valid for as many steps as its length tells; the kernel only reads
    // them, and copies them before it returns (socket(7)).
    unsafe { set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter) }
}

/// `PACKET_IGNORE_OUTGOING`: the kernel does not even copy outgoing frames for this socket. Older kernels than 4.20 do not know it.
pub(super) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: this option takes an integer (packet(7)).
    unsafe { set_option(socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on) }
}

/// `PACKET_QDISC_BYPASS`: frames go to the interface's driver without a queue in between.
#[cfg(feature = "packet")]
pub(super) fn bypass_qdisc(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: this option takes an integer (packet(7)).
    unsafe { set_option(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &on) }
}

/// # Safety
///
/// `value` must be what the option takes, and every pointer in it be valid for what the kernel reads or keeps of it.
unsafe fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = mem::size_of_val(value) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes; the caller answers for their meaning.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Binds a packet socket to the interface with this `index` and to AoE's EtherType: from then on, frames arrive.
#[cfg(feature = "packet")]
pub(super) fn bind(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` is made of integers: all zero is a valid value of it.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = ETHERTYPE.to_be();
    address.sll_ifindex = index.cast_signed();
    let len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes, which hold a packet socket's address.
    let result = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `PACKET_STATISTICS`: frames that a packet socket had no room for since this was last called.
pub(super) fn take_overflow(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = mem::size_of_val(&stats) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes, of which the kernel writes at most as
    // many; any bytes are a valid `tpacket_stats` (packet(7)).
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            ptr::from_mut(&mut stats).cast(),
            ptr::from_mut(&mut len),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(stats.tp_drops) }
}

/// The names of all interfaces of the network namespace that the calling thread is in; none when the system does not tell.
pub(super) fn names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: takes nothing; the answer is null or a list that is ours until it is freed below.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return names;
    }
    let mut entry = list;
    loop {
        // SAFETY: `entry` began at the list's first element and is moved on only past elements that are not the last, which has no name
        // (if_nameindex(3)).
        let name = unsafe { (*entry).if_name };
        if name.is_null() {
            break;
        }
        // SAFETY: a name that is not null points to a string that ends with a zero and lives as long as the list.
        names.push(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
        // SAFETY: this element was not the last, so the next one belongs to the same list.
        entry = unsafe { entry.add(1) };
    }
    // SAFETY: `list` came from if_nameindex, was not freed yet, and nothing above keeps a pointer into it.
    unsafe { libc::if_freenameindex(list) };
    names
}
