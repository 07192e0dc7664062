//! Every link against the conformance suite, and each against what only it has to bear.

#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod accept;
mod conformance;
#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod interfaces;
mod mem;
#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod netif;
#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod netns;
#[cfg(all(feature = "packet", target_os = "linux"))]
mod packet;
#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod socket;
#[cfg(all(any(feature = "packet", feature = "pnet"), target_os = "linux"))]
mod veth;
#[cfg(all(feature = "pnet", feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
mod xdp;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aoe_l2::{Frame, Link};
use aoe_wire::MacAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const NEAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0a]);
const FAR: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0b]);

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes `frame` an AoE frame of `len` bytes from `src` to `dst`, with bytes that differ from those of another `seed`.
fn fill<F: Frame>(mut frame: F, dst: MacAddr, src: MacAddr, len: usize, seed: u32) -> F {
    frame.set_len(len);
    for (i, byte) in frame.segments_mut().flatten().enumerate() {
        *byte = (seed as usize * 31 + i * 7) as u8;
    }
    let bytes = frame.bytes_mut();
    if let Some(number) = bytes.get_mut(14..18) {
        number.copy_from_slice(&seed.to_be_bytes());
    }
    bytes[..6].copy_from_slice(&dst.0);
    bytes[6..12].copy_from_slice(&src.0);
    bytes[12..14].copy_from_slice(&[0x88, 0xa2]);
    frame
}

/// All bytes of a frame, which may have several pieces.
fn whole(frame: &impl Frame) -> Vec<u8> {
    frame.segments().collect::<Vec<_>>().concat()
}

/// A new frame of `link`, filled.
fn frame<L: Link>(link: &mut L, dst: MacAddr, len: usize, seed: u32) -> L::Frame {
    let src = link.info().mac;
    fill(link.alloc().expect("a frame"), dst, src, len, seed)
}

/// Waits until `link` has something to tell, `limit` at most; tells whether it had. A link without event is always worth asking.
fn wait<L: Link>(link: &L, limit: Duration) -> bool {
    let Some(event) = link.event() else {
        std::thread::yield_now();
        return true;
    };
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// Receives until `enough`, or until nothing has come for a while.
fn receive<L: Link>(link: &mut L, enough: usize) -> Vec<L::Frame> {
    let mut rx = Vec::new();
    let start = Instant::now();
    while rx.len() < enough && start.elapsed() < PATIENCE {
        link.recv(&mut rx).unwrap();
        if rx.len() < enough && !wait(link, Duration::from_millis(500)) {
            break;
        }
        if link.event().is_none() && start.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    rx
}

/// Receives what is there by now.
fn receive_now<L: Link>(link: &mut L) -> Vec<L::Frame> {
    let mut rx = Vec::new();
    loop {
        let before = rx.len();
        link.recv(&mut rx).unwrap();
        if rx.len() == before {
            return rx;
        }
    }
}

/// Asks `link` until `what` holds of its info.
fn until<L: Link>(link: &mut L, what: impl Fn(&aoe_l2::LinkInfo) -> bool) {
    let start = Instant::now();
    while !what(&link.info()) {
        assert!(start.elapsed() < PATIENCE, "still {:?}", link.info());
        wait(link, Duration::from_millis(100));
        let mut rx = Vec::new();
        link.recv(&mut rx).unwrap();
        rx.into_iter().for_each(|frame| link.recycle(frame));
    }
}

/// Sends all of `frames`; tells how often the link had to be waited for.
fn send<L: Link>(link: &mut L, frames: impl IntoIterator<Item = L::Frame>) -> usize {
    let mut tx: VecDeque<_> = frames.into_iter().collect();
    let start = Instant::now();
    let mut turns = 0;
    loop {
        link.send(&mut tx).unwrap();
        if tx.is_empty() {
            return turns;
        }
        assert!(start.elapsed() < PATIENCE, "{} frames are stuck", tx.len());
        assert!(wait(link, PATIENCE), "nothing tells when to send again");
        // As a driver does: the event is answered by `recv`, then `send`.
        let mut rx = Vec::new();
        link.recv(&mut rx).unwrap();
        rx.into_iter().for_each(|frame| link.recycle(frame));
        turns += 1;
    }
}
