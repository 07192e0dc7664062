//! A link with an event, whose frames are counted.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::{Link, LinkInfo};
use bytes::BytesMut;

/// What is known of a link's frames.
#[derive(Clone)]
pub(crate) struct Pool {
    /// Given out and not come back.
    pub(crate) out: Rc<Cell<isize>>,
    pub(crate) most: Rc<Cell<isize>>,
    /// Bytes that a new frame has room for.
    pub(crate) room: Rc<Cell<usize>>,
}

/// A link with an event and a pool of its own.
pub(crate) struct Lending {
    pub(crate) link: MemLink,
    pub(crate) pool: Pool,
    pub(crate) event: UnixStream,
}

impl Lending {
    pub(crate) fn new(link: MemLink) -> Self {
        let pool =
            Pool { out: Rc::default(), most: Rc::new(Cell::new(2000)), room: Rc::new(Cell::new(1514)) };
        Self { link, pool, event: UnixStream::pair().unwrap().0 }
    }

    fn lend(&self, frames: isize) {
        self.pool.out.set(self.pool.out.get() + frames);
    }
}

impl Link for Lending {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        self.link.info()
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        if self.pool.out.get() >= self.pool.most.get() {
            return None;
        }
        self.lend(1);
        Some(BytesMut::with_capacity(self.pool.room.get()))
    }

    fn recycle(&mut self, frame: BytesMut) {
        self.lend(-1);
        drop(frame);
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        let before = rx.len();
        self.link.recv(rx)?;
        self.lend((rx.len() - before) as isize);
        Ok(())
    }

    fn times(&mut self, times: &mut Vec<Option<Duration>>) {
        self.link.times(times);
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        let before = tx.len();
        self.link.send(tx)?;
        self.lend(-((before - tx.len()) as isize));
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.event.as_fd())
    }
}
