//! One link at work: what was received, what is to be sent.

use std::collections::VecDeque;

use aoe_l2::{Frame, Link, LinkInfo};
use aoe_wire::{ETH_HEADER_LEN, MIN_FRAME, WireError};

/// Frames that wait for a link that takes none; beyond them nothing new is sent by it.
const BACKLOG: usize = 256;

/// Names a link of an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) usize);

pub(crate) struct Port<L: Link> {
    pub(crate) link: L,
    /// The link as it was at the beginning of this turn.
    pub(crate) info: LinkInfo,
    pub(crate) tx: VecDeque<L::Frame>,
    pub(crate) rx: Vec<L::Frame>,
    /// The link can never work again.
    pub(crate) broken: bool,
}

impl<L: Link> Port<L> {
    pub(crate) fn new(link: L) -> Self {
        let info = link.info();
        Self { link, info, tx: VecDeque::new(), rx: Vec::new(), broken: false }
    }

    /// Whether a frame can be queued now.
    fn has_room(&self) -> bool {
        self.tx.len() < BACKLOG
    }

    /// The link has said that it can never work again.
    pub(crate) fn give_up(&mut self) {
        (self.broken, self.info.up) = (true, false);
        self.tx.drain(..).for_each(|frame| self.link.recycle(frame));
    }

    /// Bytes of the longest frame that the link carries.
    pub(crate) fn longest(&self) -> usize {
        (self.info.mtu as usize + ETH_HEADER_LEN).max(MIN_FRAME)
    }

    /// Takes a frame, has it written (the function returns its length), and queues it. The function is not called when there is no
    /// frame to be had; its error is passed on.
    pub(crate) fn queue(
        &mut self,
        write: impl FnOnce(&mut L::Frame) -> Result<usize, WireError>,
    ) -> Result<(), WireError> {
        let frame = if self.has_room() { self.link.alloc() } else { None };
        let Some(mut frame) = frame else { return Ok(()) };
        frame.set_len(self.longest().min(frame.capacity()));
        match write(&mut frame) {
            Ok(len) => {
                frame.set_len(len);
                self.tx.push_back(frame);
                Ok(())
            }
            Err(error) => {
                self.link.recycle(frame);
                Err(error)
            }
        }
    }
}
