//! One receive queue of an interface: an AF_XDP socket, its memory, and who has which part of it.

use std::io;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use aoe_l2::Frame;
use bdev::IoBuf;
use libc::xdp_desc;

use super::Copies;
use super::frame::{Chunk, Chunks, Holder, Layout, START, Umem, XdpFrame};
use super::socket::Socket;

/// Chunks that wait to be received into.
const WAITING: u32 = 1024;

/// Frames that are taken out at a time.
pub(super) const BURST: usize = 32;

pub(super) struct Queue {
    number: u16,
    socket: Socket,
    umem: Arc<Umem>,
    chunks: Chunks,
    /// Chunks that the kernel has to receive into, those that it has filled included.
    waiting: u32,
    /// Frames were put into the transmit ring, and some are there still.
    unkicked: bool,
    arriving: Arriving,
    refused: u64,
}

/// What has arrived of a frame whose pieces follow.
enum Arriving {
    Nothing,
    Pieces {
        frame: XdpFrame,
        count: usize,
        len: usize,
    },
    /// The frame is refused, and so is what follows of it.
    Refused,
}

impl Queue {
    /// Memory for `frames` frames that are out at the same time, and a socket over it that is not bound.
    pub(super) fn new(number: u16, layout: Layout, frames: u32) -> io::Result<Self> {
        let count = frames.saturating_mul(layout.per_frame as u32).saturating_add(WAITING);
        let (umem, free) = Umem::new(layout, count)?;
        let socket = Socket::new(&umem)?;
        let chunks = Chunks::new(free);
        Ok(Self {
            number,
            socket,
            umem,
            chunks,
            waiting: 0,
            unkicked: false,
            arriving: Arriving::Nothing,
            refused: 0,
        })
    }

    /// Binds the socket to interface number `index`.
    pub(super) fn bind(&mut self, index: u32, copies: Copies) -> io::Result<()> {
        // Before it is bound: some drivers take the first chunks at that moment.
        self.refill();
        self.socket.bind(index, self.number.into(), self.umem.layout().per_frame > 1, copies)?;
        self.socket.wake_receiver();
        Ok(())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }

    pub(super) fn is_zero_copy(&self) -> bool {
        self.socket.is_zero_copy()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.socket.is_dead()
    }

    /// Frames that were lost for want of room.
    pub(super) fn overflow(&self) -> u64 {
        self.socket.overflow()
    }

    /// Frames that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of memory that is shared with the kernel.
    pub(super) fn memory(&self) -> usize {
        self.umem.memory().len()
    }

    /// An empty frame; `None` when all are out.
    pub(super) fn alloc(&mut self) -> Option<XdpFrame> {
        XdpFrame::take(&self.umem, &mut self.chunks, self.number)
    }

    /// Whether it gave this frame out.
    pub(super) fn owns(&self, frame: &XdpFrame) -> bool {
        frame.is_of(&self.umem)
    }

    /// Takes back a frame of its own.
    pub(super) fn recycle(&mut self, frame: XdpFrame) {
        assert!(self.owns(&frame), "a frame of another link has no place in this one's memory");
        frame.into_chunks().for_each(|(chunk, _)| self.chunks.put(chunk));
    }

    /// Appends frames that have arrived, up to a burst.
    pub(super) fn receive(&mut self, rx: &mut Vec<XdpFrame>) {
        let most = rx.len() + BURST;
        let mut taken = false;
        // Chunks may have come back since there was none for the kernel.
        self.refill();
        while rx.len() < most
            && let Some(piece) = self.socket.received.pop()
        {
            taken = true;
            let Some((chunk, at)) = self.take_back(piece.addr, Holder::Receiver) else {
                self.refused += 1;
                continue;
            };
            self.waiting = self.waiting.saturating_sub(1);
            let more = piece.options & libc::XDP_PKT_CONTD != 0;
            rx.extend(self.join(chunk, at, piece.len as usize, more));
        }
        if taken {
            self.socket.received.release();
            self.refill();
        }
    }

    /// Whether more than `count` frames have arrived, of however many pieces.
    pub(super) fn has_more_than(&self, count: usize) -> bool {
        self.socket.received.waiting() as usize / self.umem.layout().per_frame > count
    }

    /// Whether the kernel has few chunks left to receive into, since the others are out.
    pub(super) fn is_starved(&self) -> bool {
        self.waiting < WAITING / 2
    }

    /// Adds a piece to the frame that is arriving; the frame, if that was the last. `at` and `len` say where in its chunk it lies.
    fn join(&mut self, chunk: Chunk, at: usize, len: usize, more: bool) -> Option<XdpFrame> {
        let layout = self.umem.layout();
        // The place and the length are those that we asked for; whatever else a driver does has no place in the frame's layout.
        let fits = at == START && len <= layout.piece() && (!more || len == layout.piece());
        let arriving = match mem::replace(&mut self.arriving, Arriving::Nothing) {
            Arriving::Nothing if fits => {
                XdpFrame::beginning(&self.umem, &mut self.chunks, self.number, chunk)
                    .map_or(Arriving::Refused, |frame| Arriving::Pieces { frame, count: 1, len })
            }
            Arriving::Pieces { mut frame, count, len: before } if fits && count < layout.per_frame => {
                self.chunks.put(frame.replace(count, chunk));
                Arriving::Pieces { frame, count: count + 1, len: before + len }
            }
            Arriving::Pieces { frame, .. } => {
                self.chunks.put(chunk);
                self.recycle(frame);
                Arriving::Refused
            }
            Arriving::Nothing | Arriving::Refused => {
                self.chunks.put(chunk);
                Arriving::Refused
            }
        };
        match arriving {
            arriving if more => {
                self.arriving = arriving;
                None
            }
            Arriving::Pieces { mut frame, len, .. } => {
                frame.set_len(len);
                Some(frame)
            }
            _ => {
                self.refused += 1;
                None
            }
        }
    }

    /// Puts `frame` into the transmit ring, or gives it back if there is no room. It leaves with the next [`kick`](Self::kick).
    pub(super) fn push(&mut self, frame: XdpFrame) -> Result<(), XdpFrame> {
        assert!(self.owns(&frame), "a frame of another link has no place in this one's memory");
        let pieces = frame.pieces();
        if self.socket.transmit.room(pieces as u32) < pieces as u32 {
            return Err(frame);
        }
        for (index, (chunk, len)) in frame.into_chunks().enumerate() {
            if index >= pieces {
                self.chunks.put(chunk);
                continue;
            }
            let number = self.chunks.lend(chunk, Holder::Sender);
            self.socket.transmit.push(xdp_desc {
                addr: u64::from(number) * self.umem.layout().chunk as u64 + START as u64,
                len: len as u32,
                options: if index + 1 == pieces { 0 } else { libc::XDP_PKT_CONTD },
            });
        }
        self.unkicked = true;
        Ok(())
    }

    /// Sends what was pushed. Whether all of it is on its way.
    pub(super) fn kick(&mut self) -> io::Result<bool> {
        if !self.unkicked {
            return Ok(true);
        }
        self.socket.transmit.publish();
        let sent = self.socket.kick()?;
        self.unkicked = !sent;
        Ok(sent)
    }

    /// Takes back what has been sent.
    pub(super) fn complete(&mut self) {
        let mut taken = false;
        while let Some(address) = self.socket.completed.pop() {
            taken = true;
            match self.take_back(address, Holder::Sender) {
                Some((chunk, _)) => self.chunks.put(chunk),
                None => self.refused += 1,
            }
        }
        if taken {
            self.socket.completed.release();
        }
    }

    fn take_back(&mut self, address: u64, from: Holder) -> Option<(Chunk, usize)> {
        let (number, at) = self.umem.locate(address)?;
        Some((self.chunks.take_back(number, from)?, at))
    }

    /// Gives the kernel chunks to receive into, as many as there should be.
    fn refill(&mut self) {
        let wanted = WAITING.saturating_sub(self.waiting);
        let count = wanted.min(self.socket.fill.room(wanted));
        let mut given = 0;
        while given < count
            && let Some(chunk) = self.chunks.take()
        {
            let number = self.chunks.lend(chunk, Holder::Receiver);
            self.socket.fill.push(u64::from(number) * self.umem.layout().chunk as u64);
            given += 1;
        }
        if given != 0 {
            self.waiting += given;
            self.socket.fill.publish();
            self.socket.wake_receiver();
        }
    }

    /// Fills a frame with what `from` holds; `None` when no frame is free, or it is too small.
    pub(super) fn copy_in(&mut self, from: &[u8]) -> Option<XdpFrame> {
        let mut frame = self.alloc()?;
        if from.len() > frame.capacity() {
            self.recycle(frame);
            return None;
        }
        frame.set_len(from.len());
        let mut rest = from;
        for piece in frame.segments_mut() {
            let (head, tail) = rest.split_at(piece.len());
            piece.copy_from_slice(head);
            rest = tail;
        }
        Some(frame)
    }
}

/// Bytes of memory that a queue with `frames` frames shares with the kernel.
pub(super) fn memory(layout: Layout, frames: u32) -> usize {
    layout.chunk * (frames as usize * layout.per_frame + WAITING as usize)
}
