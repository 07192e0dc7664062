//! A link with a window: [`Carousel`].

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use aoe_target::bdev::AlignedBuf;
use aoe_target::{IoBuf, Link, LinkInfo};
use aoe_wire::ATA_HEADER_LEN;

use crate::TARGET;

/// Frames that one call of `recv` delivers at most, as with a packet socket.
const BURST: usize = 8;

/// A link that delivers one request after the other, round and round, and never has more of them unanswered than its window. Of each request
/// only the first 36 bytes are copied into its frame.
#[derive(Debug)]
pub struct Carousel {
    requests: Vec<Vec<u8>>,
    next: usize,
    pool: Vec<AlignedBuf>,
    info: LinkInfo,
    /// When the first frame could have arrived, and by how much the others are older than they could be.
    clock: Option<(Instant, Duration)>,
    burst: usize,
}

impl Carousel {
    /// A link that goes round `requests`, with a window of `window` requests.
    #[must_use]
    pub fn new(requests: Vec<Vec<u8>>, window: usize) -> Self {
        let frame = || AlignedBuf::new(1514, 512, ATA_HEADER_LEN);
        let info = LinkInfo { mac: TARGET, mtu: 1500, payload_align: 512, up: true, generation: 0 };
        Self { requests, next: 0, pool: (0..window).map(|_| frame()).collect(), info, clock: None, burst: 0 }
    }

    /// The same, whose frames tell when they arrived: so long before they are received, by a clock that began at `start`.
    #[must_use]
    pub fn with_times(self, start: Instant, ago: Duration) -> Self {
        Self { clock: Some((start, ago)), ..self }
    }
}

impl Link for Carousel {
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
        let before = rx.len();
        // Each unanswered request has one of the frames.
        for _ in 0..BURST {
            let Some(mut frame) = self.pool.pop() else { break };
            let request = &self.requests[self.next];
            self.next = (self.next + 1) % self.requests.len();
            frame.set_len(request.len());
            frame.bytes_mut()[..ATA_HEADER_LEN].copy_from_slice(&request[..ATA_HEADER_LEN]);
            rx.push(frame);
        }
        self.burst = rx.len() - before;
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        if let Some((start, ago)) = self.clock {
            let time = start.elapsed().saturating_sub(ago);
            times.extend(std::iter::repeat_n(Some(time), self.burst));
        }
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        self.pool.extend(tx.drain(..));
        Ok(())
    }
}
