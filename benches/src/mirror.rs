//! A target without a network or a disk: [`Mirror`].

use std::collections::VecDeque;
use std::io;

use aoe_initiator::bdev::AlignedBuf;
use aoe_initiator::{AttachOptions, Event, Initiator, Link, LinkInfo, RemoteId};
use aoe_wire::ATA_HEADER_LEN;

use crate::{HOST, OWN, answer};

/// More than any window.
const BUFFERS: u16 = 1024;

/// A link that turns every request it is given to send into its reply, which it receives next. What a read returns is whatever its
/// frame last held.
#[derive(Debug)]
pub struct Mirror {
    pool: Vec<AlignedBuf>,
    replies: Vec<AlignedBuf>,
    info: LinkInfo,
}

impl Mirror {
    /// A link of MTU `mtu` with `frames` frames, to a target that has room for as many requests.
    #[must_use]
    pub fn new(frames: usize, mtu: u32) -> Self {
        let frame = || AlignedBuf::new(mtu as usize + 14, 512, ATA_HEADER_LEN);
        let info = LinkInfo { mac: HOST, mtu, payload_align: 512, up: true, generation: 0 };
        Self { pool: (0..frames + 4).map(|_| frame()).collect(), replies: Vec::new(), info }
    }

    /// An initiator with this as its link and a ready target.
    #[must_use]
    pub fn initiator(self, window: u16) -> (Initiator<Self, AlignedBuf>, RemoteId) {
        let mut initiator = Initiator::new(1);
        initiator.add_link(self);
        let disk = initiator.attach(OWN, AttachOptions { window, ..AttachOptions::default() });
        for _ in 0..10 {
            let _ = initiator.turn(std::time::Duration::ZERO).expect("a mirror never breaks");
            while let Some(event) = initiator.poll() {
                if matches!(event, Event::Ready(_)) {
                    return (initiator, disk);
                }
            }
        }
        unreachable!("a mirror answers at once");
    }
}

impl Link for Mirror {
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
        rx.append(&mut self.replies);
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        for mut frame in tx.drain(..) {
            answer(&mut frame, &self.info, BUFFERS);
            self.replies.push(frame);
        }
        Ok(())
    }
}

/// Runs one request for each of `bufs` through the initiator, in turns of a clock that moves by `now`, and gives the buffers back.
pub fn round(
    initiator: &mut Initiator<Mirror, AlignedBuf>,
    disk: RemoteId,
    bufs: &mut Vec<AlignedBuf>,
    now: &mut std::time::Duration,
    io: impl Fn(u64, AlignedBuf) -> aoe_initiator::bdev::Io<AlignedBuf>,
) {
    let wanted = bufs.len();
    for (number, buf) in (0..).zip(bufs.drain(..)) {
        let _ = initiator.submit(disk, io(number, buf));
    }
    while bufs.len() < wanted {
        *now += std::time::Duration::from_micros(10);
        let _ = initiator.turn(*now).expect("a mirror never breaks");
        while let Some(event) = initiator.poll() {
            if let Event::Done(_, completion) = event {
                assert!(completion.done.status().is_ok(), "{:?}", completion.failure);
                bufs.push(completion.done.into_buf());
            }
        }
    }
}
