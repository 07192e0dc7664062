//! That no other process of this host serves our address on our interface.
//!
//! The probe cannot tell: the other one's frames carry our own MAC address, and do not come back to the interface that sends them. So
//! each of us binds a name that stands for the address and the interface. Abstract names of Unix sockets belong to the network namespace,
//! as interfaces do, and are gone when the process is, however it ended.

use std::io;

use aoe_target::Address;

/// An address on an interface, ours while this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    #[cfg(target_os = "linux")]
    _name: std::os::unix::net::UnixDatagram,
}

impl Claim {
    /// Claims `address` on the interface `netif`; `None` when another process has.
    #[cfg(target_os = "linux")]
    pub(crate) fn take(address: Address, netif: &str) -> io::Result<Option<Self>> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let name = SocketAddr::from_abstract_name(format!("vblade/{address}/{netif}"))?;
        match UnixDatagram::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            bound => Ok(Some(Self { _name: bound? })),
        }
    }

    /// Claims nothing: such names are Linux's own.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn take(_: Address, _: &str) -> io::Result<Option<Self>> {
        Ok(Some(Self {}))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_claimed_once_on_each_interface_until_it_is_let_go() {
        let take = |slot, netif| Claim::take(Address::new(7, slot), netif).expect("a socket");
        // Named for this process: others may run the same test in this namespace.
        let (near, far) = (format!("n{}", std::process::id()), format!("f{}", std::process::id()));
        let first = take(3, &near);
        assert!(first.is_some());
        assert!(take(3, &near).is_none());
        assert!(take(4, &near).is_some() && take(3, &far).is_some());
        drop(first);
        assert!(take(3, &near).is_some());
    }
}
