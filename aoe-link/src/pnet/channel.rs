//! Frames through a pnet datalink channel: a system call or more for each.
//!
//! On Linux pnet is given a duplicate of the port's packet socket, because it hides what it opens and sets no option. Elsewhere the
//! channel is pnet's own.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use aoe_wire::MacAddr;
use bdev::{AlignedBuf, IoBuf};
use pnet::datalink::{self, Config, DataLinkReceiver, DataLinkSender, NetworkInterface};

use crate::netif::{Interface, NetifOptions, Pool, Port, Traffic};
use crate::{LinkCounters, is_aoe};

/// pnet's buffer: a frame of the largest MTU fits, and a byte more, by which one that was cut shows. Memory that no frame reaches costs
/// nothing.
const READ_BUFFER: usize = 128 << 10;

/// Frames that are received at a time. pnet makes its system calls for each frame, so a larger burst saves nothing, and the replies to
/// its first frames wait for its last: an initiator with a small window falls asleep meanwhile, and must be woken.
const BURST: usize = 4;

pub(super) struct Channel {
    tx: Box<dyn DataLinkSender>,
    rx: Box<dyn DataLinkReceiver>,
    /// The interface's own address.
    mac: MacAddr,
}

impl Traffic for Channel {
    fn open(port: &Port, name: &str, interface: &Interface, _options: &NetifOptions) -> io::Result<Self> {
        let (to, config) = plan(port, name, interface)?;
        match datalink::channel(&to, config)? {
            datalink::Channel::Ethernet(tx, rx) => Ok(Self { tx, rx, mac: interface.mac }),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn attach(&mut self, port: &Port, name: &str, interface: &Interface) -> io::Result<()> {
        *self = Self::open(port, name, interface, &NetifOptions::default())?;
        Ok(())
    }

    fn receive(
        &mut self,
        _port: &Port,
        pool: &mut Pool,
        rx: &mut Vec<AlignedBuf>,
        counters: &mut LinkCounters,
    ) -> io::Result<()> {
        for _ in 0..BURST {
            if pool.is_exhausted() {
                break;
            }
            let bytes = self.rx.next()?;
            let own = cfg!(not(target_os = "linux"))
                && bytes.get(6..12) == Some(&self.mac.0)
                && !self.mac.is_zero();
            if own || !is_aoe(bytes) {
                continue;
            }
            let Some(mut frame) = pool.take() else { break };
            if bytes.len() <= frame.capacity() {
                frame.set_len(bytes.len());
                frame.bytes_mut().copy_from_slice(bytes);
                rx.push(frame);
            } else {
                counters.rx_refused += 1;
                pool.put(frame);
            }
        }
        Ok(())
    }

    fn send(&mut self, _port: &Port, tx: &VecDeque<AlignedBuf>) -> io::Result<usize> {
        let frame = tx.front().map_or(&[][..], IoBuf::bytes);
        self.tx.send_to(frame, None).unwrap_or_else(|| Err(io::ErrorKind::InvalidInput.into()))?;
        Ok(1)
    }
}

/// A channel over the port's own socket, for the AoE EtherType.
#[cfg(target_os = "linux")]
fn plan(port: &Port, name: &str, interface: &Interface) -> io::Result<(NetworkInterface, Config)> {
    use std::os::fd::IntoRawFd;

    let to = NetworkInterface {
        name: name.to_owned(),
        description: String::new(),
        index: interface.index,
        mac: Some(interface.mac.0.into()),
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        write_buffer_size: 0,
        channel_type: datalink::ChannelType::Layer3(aoe_wire::ETHERTYPE),
        // pnet closes it, also when it fails.
        socket_fd: Some(rustix::io::fcntl_dupfd_cloexec(port.socket(), 0)?.into_raw_fd()),
        ..config()
    };
    Ok((to, config))
}

#[cfg(not(target_os = "linux"))]
fn plan(_port: &Port, name: &str, _interface: &Interface) -> io::Result<(NetworkInterface, Config)> {
    let to = datalink::interfaces().into_iter().find(|i| i.name == name).ok_or(io::ErrorKind::NotFound)?;
    Ok((to, config()))
}

/// One that never waits, and leaves the interface as it is.
fn config() -> Config {
    Config {
        read_buffer_size: READ_BUFFER,
        read_timeout: Some(Duration::ZERO),
        write_timeout: Some(Duration::ZERO),
        promiscuous: false,
        ..Config::default()
    }
}
