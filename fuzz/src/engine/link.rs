//! A link whose other end is the fuzzer: it writes down what arrived and what was answered, in one list for all links.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use aoe_target::bdev::AlignedBuf;
use aoe_target::{IoBuf, Link, LinkInfo, MacAddr};

/// What every byte of a buffer is before a frame lies in it: none of it may leave.
const POISON: u8 = 0xdb;
/// Frames that one call delivers at most.
const BURST: usize = 16;

/// What happened, in order.
#[derive(Debug)]
pub(super) enum Event {
    /// The server learned that the link is new or has changed.
    Up { link: usize },
    /// The server was given a frame.
    Arrived(Arrived),
    /// The server had a frame ready to be sent.
    Answered { link: usize, frame: Vec<u8> },
}

/// A frame that the server was given.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) link: usize,
    /// What is received with others is taken in order of arrival; rounds one after the other.
    pub(super) round: u64,
    /// Written into its data, see [`super::frame::stamp`].
    pub(super) number: u64,
    /// As the server was told.
    pub(super) time: Option<Duration>,
    pub(super) frame: Vec<u8>,
}

/// The fuzzer's side of all links.
#[derive(Debug, Default)]
pub(super) struct Air {
    pub(super) links: Vec<Side>,
    pub(super) events: Vec<Event>,
    /// Frames that have arrived.
    arrivals: u64,
    /// Each link is asked once in a round, in the order of their numbers.
    round: u64,
    asked_last: usize,
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) info: LinkInfo,
    pub(super) arriving: VecDeque<(Option<Duration>, Vec<u8>)>,
    /// Whether the link knows when frames arrive.
    timed: bool,
    /// Frames that the link takes per turn; 0 is all.
    pub(super) jam: usize,
    /// The generation that the server has seen.
    seen: Option<u64>,
    /// Frames that were ready and not taken yet, as they were written down.
    unsent: VecDeque<Vec<u8>>,
}

impl Side {
    pub(super) fn new(mac: [u8; 6], mtu: u32, timed: bool) -> Self {
        let info = LinkInfo { mac: MacAddr(mac), mtu, payload_align: 1, up: true, generation: 0 };
        Self { info, arriving: VecDeque::new(), timed, jam: 0, seen: None, unsent: VecDeque::new() }
    }

    /// Bytes of the longest frame.
    pub(super) fn room(&self) -> usize {
        self.info.mtu as usize + 14
    }
}

/// The server's side of a link.
pub(super) struct FuzzLink {
    air: Rc<RefCell<Air>>,
    at: usize,
    pool: Vec<AlignedBuf>,
    /// Of the frames that were received last.
    times: Vec<Option<Duration>>,
}

impl FuzzLink {
    pub(super) fn new(air: &Rc<RefCell<Air>>, at: usize) -> Self {
        Self { air: Rc::clone(air), at, pool: Vec::new(), times: Vec::new() }
    }

    /// A frame of length 0 in a dirty buffer for exactly the MTU.
    fn frame(&mut self) -> AlignedBuf {
        let room = self.air.borrow().links[self.at].room();
        self.pool.retain(|frame| frame.capacity() == room);
        let mut frame = self.pool.pop().unwrap_or_else(|| AlignedBuf::new(room, 512, 36));
        frame.set_len(room);
        frame.bytes_mut().fill(POISON);
        frame.set_len(0);
        frame
    }
}

impl Link for FuzzLink {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        let mut air = self.air.borrow_mut();
        let side = &mut air.links[self.at];
        let info = side.info;
        if side.seen.replace(info.generation) != Some(info.generation) {
            air.events.push(Event::Up { link: self.at });
        }
        info
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        Some(self.frame())
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        self.pool.push(frame);
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        self.times.clear();
        {
            let air = &mut *self.air.borrow_mut();
            air.round += u64::from(self.at <= air.asked_last);
            air.asked_last = self.at;
        }
        for _ in 0..BURST {
            let next = self.air.borrow_mut().links[self.at].arriving.pop_front();
            let Some((time, mut bytes)) = next else { break };
            let mut frame = self.frame();
            let air = &mut *self.air.borrow_mut();
            air.arrivals += 1;
            super::frame::stamp(&mut bytes, air.arrivals);
            frame.set_len(bytes.len());
            frame.bytes_mut().copy_from_slice(&bytes);
            rx.push(frame);
            let time = time.filter(|_| air.links[self.at].timed);
            self.times.push(time);
            let (link, round, number) = (self.at, air.round, air.arrivals);
            air.events.push(Event::Arrived(Arrived { link, round, number, time, frame: bytes }));
        }
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        if self.air.borrow().links[self.at].timed {
            times.append(&mut self.times);
        }
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        let air = &mut *self.air.borrow_mut();
        let side = &mut air.links[self.at];
        for frame in tx.iter().skip(side.unsent.len()) {
            side.unsent.push_back(frame.bytes().to_vec());
            air.events.push(Event::Answered { link: self.at, frame: frame.bytes().to_vec() });
        }
        let count = if side.jam == 0 { tx.len() } else { side.jam.min(tx.len()) };
        for frame in tx.drain(..count) {
            let noted = side.unsent.pop_front();
            assert_eq!(noted.as_deref(), Some(frame.bytes()), "a reply that waited was changed");
            self.pool.push(frame);
        }
        Ok(())
    }
}
