//! Bursts of frames between the pool and a packet socket.

use std::collections::VecDeque;
use std::io;

use bdev::{AlignedBuf, IoBuf};

use super::sys::Batch;
use crate::netif::{Interface, Pool, Port, Traffic};
use crate::{LinkCounters, is_aoe};

/// Frames that one system call sends at most.
const MOST_SENT: usize = 64;

pub(super) struct Batches {
    rx: Batch,
    tx: Batch,
}

impl Traffic for Batches {
    /// Eight share the cost of a call well enough. With more, the answers to the first frames wait for the last, so that both ends of a
    /// small window fall asleep in turn and must be woken: with 16, half as many 1 KiB reads pass at window 16, and no more at 64.
    const BURST: usize = 8;

    fn attach(port: &Port, _name: &str, interface: &Interface) -> io::Result<Self> {
        port.bind_to_driver(interface)?;
        Ok(Self { rx: Batch::new(Self::BURST), tx: Batch::new(MOST_SENT) })
    }

    fn receive(
        &mut self,
        port: &Port,
        pool: &mut Pool,
        rx: &mut Vec<AlignedBuf>,
        counters: &mut LinkCounters,
    ) -> io::Result<()> {
        let before = rx.len();
        let arrived = self.rx.receive(port.socket(), pool.upcoming(Self::BURST))?;
        for len in self.rx.lengths(arrived) {
            let Some(mut frame) = pool.take() else { break };
            match len {
                Some(len) => frame.set_len(len),
                None => counters.rx_refused += 1,
            }
            rx.push(frame);
        }
        // Those that were too long are empty.
        rx.extract_if(before.., |frame| !is_aoe(frame.bytes())).for_each(|frame| pool.put(frame));
        Ok(())
    }

    fn send(&mut self, port: &Port, tx: &VecDeque<AlignedBuf>) -> io::Result<usize> {
        self.tx.send(port.socket(), tx.iter())
    }
}
