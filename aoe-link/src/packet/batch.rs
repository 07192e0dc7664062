//! Frames between the pool and a packet socket: out of its ring, and into it many at a time.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bdev::{AlignedBuf, IoBuf};
use rustix::net::RecvFlags;

use super::ring::{Arrived, Ring};
use super::stamps::Stamps;
use super::sys::Batch;
use crate::netif::{Interface, NetifOptions, Pool, Port, Traffic};
use crate::{LinkCounters, is_aoe};

/// Frames that one system call sends at most.
const MOST_SENT: usize = 64;

/// Frames that are received at a time, so that the answers to the first do not wait for the last: with a small window, both ends would
/// fall asleep in turn and had to be woken.
const FEW: usize = 8;

/// The same, while so many arrive that nobody sleeps.
const MANY: usize = 16;

/// Bytes of the frames that are received at a time: what is read into them should still be near the processor when they are sent.
const MOST_BYTES: usize = 36 << 10;

pub(crate) struct Batches {
    ring: Ring,
    /// Whether many frames waited when it was last looked at.
    many: bool,
    stamps: Stamps,
    tx: Batch,
}

impl Traffic for Batches {
    fn open(port: &Port, _name: &str, interface: &Interface, options: &NetifOptions) -> io::Result<Self> {
        // First, so that no frame arrives beside the ring.
        let ring = Ring::new(port.socket(), options.recv_buffer)?;
        port.bind_to_driver(interface)?;
        Ok(Self { ring, many: false, stamps: Stamps::default(), tx: Batch::new(MOST_SENT) })
    }

    fn attach(&mut self, port: &Port, _name: &str, interface: &Interface) -> io::Result<()> {
        port.bind_to_driver(interface)
    }

    fn recv_buffer(&self) -> Option<usize> {
        Some(self.ring.bytes())
    }

    fn receive(
        &mut self,
        port: &Port,
        pool: &mut Pool,
        rx: &mut Vec<AlignedBuf>,
        counters: &mut LinkCounters,
    ) -> io::Result<()> {
        self.many = self.ring.has_more_than(2 * MANY);
        let burst = if self.many { MANY } else { FEW };
        let burst = burst.min(MOST_BYTES / pool.capacity()).max(1);
        let mut result = Ok(());
        self.stamps.clear();
        for _ in 0..burst {
            if pool.is_exhausted() {
                break;
            }
            let Some(arrived) = self.ring.front() else { break };
            let Some(mut frame) = pool.take() else { break };
            let time = arrived.time;
            if arrived.in_socket {
                result = result.and(receive_whole(port, &mut frame, counters));
            } else {
                copy(&arrived, &mut frame, counters);
            }
            self.ring.release();
            // One that was lost is empty.
            if is_aoe(frame.bytes()) {
                self.stamps.push(time);
                rx.push(frame);
            } else {
                pool.put(frame);
            }
        }
        self.stamps.set_drained(!self.ring.has_more_than(0));
        result
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        self.stamps.times(times);
    }

    fn has_more_than(&self, count: usize) -> bool {
        // While few wait, no further slot is looked at, which the kernel has in its processor's cache.
        (self.many || count < MANY) && self.ring.has_more_than(count)
    }

    fn send(&mut self, port: &Port, tx: &VecDeque<AlignedBuf>) -> io::Result<usize> {
        self.tx.send(port.socket(), tx.iter())
    }
}

fn copy(arrived: &Arrived<'_>, frame: &mut AlignedBuf, counters: &mut LinkCounters) {
    if arrived.len > frame.capacity() {
        counters.rx_refused += 1;
    } else if arrived.bytes.len() < arrived.len {
        // It did not fit into the ring, and there was no room beside it.
        counters.rx_overflow += 1;
    } else {
        frame.set_len(arrived.len);
        frame.bytes_mut().copy_from_slice(arrived.bytes);
    }
}

/// Receives a frame that waits in the socket. An error is what the socket had to tell of the past.
fn receive_whole(port: &Port, frame: &mut AlignedBuf, counters: &mut LinkCounters) -> io::Result<()> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    frame.set_len(frame.capacity());
    let first = rustix::net::recv(port.socket(), frame.bytes_mut(), flags);
    // An error is told once, and then the frame is still there.
    let (received, told) = match first {
        Ok(received) => (Ok(received), Ok(())),
        Err(error) => (rustix::net::recv(port.socket(), frame.bytes_mut(), flags), Err(error.into())),
    };
    let len = match received {
        Ok((_, len)) if len <= frame.capacity() => len,
        Ok(_) => {
            counters.rx_refused += 1;
            0
        }
        Err(_) => {
            counters.rx_overflow += 1;
            0
        }
    };
    frame.set_len(len);
    told
}
