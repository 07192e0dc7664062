//! Systems other than Linux: the interface is looked at once a second, and there is nothing to wait on.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use aoe_wire::MacAddr;
use pnet::datalink::{self, NetworkInterface};

use super::{Interface, NetifOptions, OpenError};
use crate::Accept;

/// pnet does not tell the MTU.
const MTU: u32 = 1500;

/// How often the interface is looked at.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) struct Port {
    looked: Instant,
}

impl Port {
    pub(super) fn open(name: &str, _options: &NetifOptions) -> Result<(Self, Interface), OpenError> {
        let all = datalink::interfaces();
        let Some(found) = all.iter().find(|i| i.name == name) else {
            let existing = all.into_iter().map(|i| i.name).collect();
            return Err(OpenError::Unknown { name: name.to_owned(), existing });
        };
        Ok((Self { looked: Instant::now() }, state(found).check(name)?))
    }

    /// Every frame arrives.
    pub(super) fn set_accept(&self, _accept: &Accept) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<Interface> {
        datalink::interfaces().iter().find(|i| i.name == name).map(state)
    }

    pub(super) fn woken(&mut self) -> bool {
        let woken = self.looked.elapsed() >= PERIOD;
        if woken {
            self.looked = Instant::now();
        }
        woken
    }

    pub(super) fn take_error(&self) -> bool {
        false
    }

    pub(super) fn listen(&mut self, _on: bool) {}

    pub(super) fn await_room(&mut self, _on: bool) {}

    pub(super) fn set_busy(&mut self, _busy: bool) {}

    pub(super) fn wake_in(&mut self, _pause: Duration) {}

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(super) fn recv_buffer(&self) -> usize {
        0
    }

    pub(super) fn take_overflow(&self) -> u64 {
        0
    }
}

/// An interface that has an address is taken for Ethernet.
fn state(interface: &NetworkInterface) -> Interface {
    let mac = interface.mac.map_or([0; 6], |m| m.octets());
    let hardware = if interface.mac.is_some() { 1 } else { u16::MAX };
    Interface { index: interface.index, mac: MacAddr(mac), mtu: MTU, up: interface.is_up(), hardware }
}
