//! Sending: by the rings, or by the packet socket where they are gone.

use std::collections::VecDeque;

use aoe_l2::LinkInfo;
use aoe_wire::ETH_HEADER_LEN;
use bdev::IoBuf;

use super::queue::Queue;
use super::{RETRY, XdpFrame, XdpLink, queue_of};

impl XdpLink {
    /// Sends by the packet socket.
    pub(super) fn send_copies(&mut self, tx: &mut VecDeque<XdpFrame>) {
        while let Some(frame) = tx.pop_front() {
            if let Some(mut copy) = self.netif.alloc() {
                let len = frame.segments().map(<[u8]>::len).sum();
                if len <= copy.capacity() {
                    copy.set_len(len);
                    let mut rest = copy.bytes_mut();
                    for piece in frame.segments() {
                        let (head, tail) = rest.split_at_mut(piece.len());
                        head.copy_from_slice(piece);
                        rest = tail;
                    }
                    self.tx.push_back(copy);
                } else {
                    self.netif.recycle(copy);
                    self.tx_dropped += 1;
                }
            } else {
                self.tx_dropped += 1;
            }
            if let Some(queue) = queue_of(&mut self.queues, &frame) {
                queue.recycle(frame);
            }
        }
        self.netif.send(&mut self.tx);
    }

    /// Sends by the AF_XDP sockets.
    pub(super) fn send_by_ring(&mut self, tx: &mut VecDeque<XdpFrame>) {
        // Who only sends must take back what was sent, too.
        self.queues.iter_mut().for_each(Queue::complete);
        self.push(tx);
        if self.kick() && !tx.is_empty() {
            self.netif.wake_in(RETRY);
        }
    }

    /// Sends what is in the rings. Whether all of it is on its way; if not, it is tried again soon.
    pub(super) fn kick(&mut self) -> bool {
        let mut all = true;
        for queue in &mut self.queues {
            match queue.kick() {
                Ok(sent) => all &= sent,
                // The interface went down, or away: it is looked at when nothing arrives any more.
                Err(_) => self.idle = 1,
            }
        }
        if !all {
            self.netif.wake_in(RETRY);
        }
        all
    }

    /// Puts frames into the rings, as long as there is room.
    fn push(&mut self, tx: &mut VecDeque<XdpFrame>) {
        let LinkInfo { up, mtu, .. } = self.netif.info();
        let most = (mtu as usize + ETH_HEADER_LEN).min(self.most);
        while let Some(frame) = tx.pop_front() {
            let len = frame.segments().map(<[u8]>::len).sum::<usize>();
            let Some(queue) = queue_of(&mut self.queues, &frame) else { continue };
            if !up || len > most || len < ETH_HEADER_LEN {
                self.tx_dropped += 1;
                queue.recycle(frame);
            } else if let Err(frame) = queue.push(frame) {
                tx.push_front(frame);
                break;
            }
        }
    }
}
