//! A link without a network: [`Treadmill`].

use std::collections::VecDeque;
use std::io;

use aoe_target::bdev::AlignedBuf;
use aoe_target::{IoBuf, Link, LinkInfo};
use aoe_wire::ATA_HEADER_LEN;

use crate::TARGET;

/// A link that receives the same requests at every turn and throws replies away. Its frames come from a pool, aligned for the disk, and of
/// each request only the first 36 bytes are copied into its frame: what stands in the data of a write is of no interest here.
#[derive(Debug)]
pub struct Treadmill {
    requests: Vec<Vec<u8>>,
    pool: Vec<AlignedBuf>,
    info: LinkInfo,
    replies: u64,
}

impl Treadmill {
    /// A link of MTU `mtu` that delivers all of `requests` per turn.
    #[must_use]
    pub fn new(requests: Vec<Vec<u8>>, mtu: u32) -> Self {
        let frame = || AlignedBuf::new(mtu as usize + 14, 512, ATA_HEADER_LEN);
        // Twice as many as a batch: what is still with a slow disk does not keep the next batch away.
        let pool = (0..2 * requests.len() + 4).map(|_| frame()).collect();
        let info = LinkInfo { mac: TARGET, mtu, payload_align: 512, up: true, generation: 0 };
        Self { requests, pool, info, replies: 0 }
    }

    /// Frames that were sent.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.replies
    }
}

impl Link for Treadmill {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        self.info
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        self.pool.pop()
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        self.pool.push(frame);
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        for request in &self.requests {
            let Some(mut frame) = self.pool.pop() else { break };
            frame.set_len(request.len());
            frame.bytes_mut()[..ATA_HEADER_LEN].copy_from_slice(&request[..ATA_HEADER_LEN]);
            rx.push(frame);
        }
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        self.replies += tx.len() as u64;
        self.pool.extend(tx.drain(..));
        Ok(())
    }
}
