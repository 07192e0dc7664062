//! Links: ways to move ATA over Ethernet frames, each an implementation of [`aoe_l2::Link`].
//!
//! | Link | Moves frames | Feature |
//! |---|---|---|
//! | [`MemLink`] | between two ends in memory, for tests, benchmarks and embedders | |
//! | `PnetLink` | through an Ethernet interface, by a pnet datalink channel | `pnet` (default) |
//! | `PacketLink` | through an Ethernet interface of Linux, by a packet socket: in by a ring, out many to a system call | `packet` (default) |
//! | `XdpLink` | through an Ethernet interface of Linux, by AF_XDP sockets, past the network stack | `xdp` (default) |
//! | `NetLink` | through an Ethernet interface, by the one of these that suits it, which it tells | all three |
//!
//! A link owns the memory of its frames and never waits. It survives what an interface goes through (down, up, gone and back, another
//! MTU or address, full queues): these show in [`LinkInfo`] and in [`LinkCounters`].
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use aoe_link::MemLink;
//! use aoe_l2::{Frame, Link};
//! use aoe_wire::MacAddr;
//!
//! let (mut near, mut far) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]), 1500);
//! let mut frame = near.alloc().expect("memory links have room");
//! Frame::set_len(&mut frame, 60);
//! frame[12..14].copy_from_slice(&aoe_wire::ETHERTYPE.to_be_bytes());
//!
//! near.send(&mut VecDeque::from([frame]))?;
//! let mut arrived = Vec::new();
//! far.recv(&mut arrived)?;
//! assert_eq!(arrived[0].len(), 60);
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

#[cfg(all(feature = "packet", feature = "pnet", feature = "xdp"))]
mod choice;
mod counters;
#[cfg(any(feature = "pnet", all(feature = "packet", target_os = "linux")))]
mod filter;
mod mem;
#[cfg(any(feature = "pnet", all(feature = "packet", target_os = "linux")))]
mod netif;
#[cfg(all(feature = "packet", target_os = "linux"))]
mod packet;
#[cfg(feature = "pnet")]
mod pnet;
#[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
mod xdp;

pub use aoe_l2::{Frame, Link, LinkInfo};
#[cfg(all(feature = "packet", feature = "pnet", feature = "xdp"))]
pub use choice::{LinkKind, NetFrame, NetLink};
pub use counters::LinkCounters;
#[cfg(any(feature = "pnet", all(feature = "packet", target_os = "linux")))]
pub use filter::Accept;
pub use mem::MemLink;
#[cfg(all(any(feature = "pnet", feature = "packet"), target_os = "linux"))]
pub use netif::Interfaces;
#[cfg(any(feature = "pnet", all(feature = "packet", target_os = "linux")))]
pub use netif::{MIN_MTU, NetifOptions, OpenError};
#[cfg(all(feature = "packet", target_os = "linux"))]
pub use packet::PacketLink;
#[cfg(feature = "pnet")]
pub use pnet::PnetLink;
#[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
pub use xdp::{XdpError, XdpFrame, XdpLink, XdpMode};

use aoe_wire::{ETH_HEADER_LEN, ETHERTYPE};

/// Whether `frame` has an Ethernet header of the AoE type.
fn is_aoe(frame: &[u8]) -> bool {
    frame.get(12..ETH_HEADER_LEN) == Some(&ETHERTYPE.to_be_bytes())
}
