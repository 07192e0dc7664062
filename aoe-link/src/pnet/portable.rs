//! Systems other than Linux: pnet's own channel, polled, and the interface looked at once a second.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use aoe_wire::MacAddr;
use pnet::datalink::{self, Channel, Config, DataLinkReceiver, DataLinkSender, NetworkInterface};

use super::{Interface, OpenError};

/// pnet does not tell the MTU.
const MTU: u32 = 1500;

/// How often the interface is looked at.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Port {
    tx: Box<dyn DataLinkSender>,
    rx: Box<dyn DataLinkReceiver>,
    looked: Instant,
    mac: MacAddr,
}

impl Port {
    pub(super) fn open(name: &str, _recv_buffer: usize) -> Result<(Self, Interface), OpenError> {
        let all = datalink::interfaces();
        let Some(found) = all.iter().find(|i| i.name == name) else {
            let existing = all.into_iter().map(|i| i.name).collect();
            return Err(OpenError::Unknown { name: name.to_owned(), existing });
        };
        let interface = state(found).check(name)?;
        let (tx, rx) = channel(found).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => OpenError::Permission { name: name.to_owned() },
            _ => OpenError::Io { name: name.to_owned(), action: "open a datalink channel", source },
        })?;
        Ok((Self { tx, rx, looked: Instant::now(), mac: interface.mac }, interface))
    }

    pub(super) fn find(&self, name: &str) -> Option<Interface> {
        datalink::interfaces().iter().find(|i| i.name == name).map(state)
    }

    pub(super) fn bind(&mut self, name: &str, interface: &Interface) -> io::Result<()> {
        self.mac = interface.mac;
        let all = datalink::interfaces();
        let found = all.iter().find(|i| i.name == name).ok_or(io::ErrorKind::NotFound)?;
        (self.tx, self.rx) = channel(found)?;
        Ok(())
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

    /// The next frame; nothing of it when it is one of ours on its way out.
    pub(super) fn next(&mut self) -> io::Result<&[u8]> {
        let frame = self.rx.next()?;
        Ok(if frame.get(6..12) == Some(&self.mac.0) && !self.mac.is_zero() { &[] } else { frame })
    }

    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.tx.send_to(frame, None).unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))
    }

    pub(super) fn listen(&mut self, _on: bool) {}

    pub(super) fn await_room(&mut self, _on: bool) {}

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

fn channel(interface: &NetworkInterface) -> io::Result<(Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>)> {
    let config = Config {
        read_buffer_size: 128 << 10,
        read_timeout: Some(Duration::ZERO),
        write_timeout: Some(Duration::ZERO),
        promiscuous: false,
        ..Config::default()
    };
    match datalink::channel(interface, config)? {
        Channel::Ethernet(tx, rx) => Ok((tx, rx)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
