//! A layer from end to end: it keeps every byte on the device inverted by a key, as an encrypting layer would keep it encrypted.

use std::io;
use std::os::fd::BorrowedFd;

use bdev::testing::{Reorder, conformance, conformance_segmented};
use bdev::{Backend, DeviceInfo, Done, Features, Inline, Io, IoBuf, IoQueue, MemDisk, Op, Status, Submit};

/// The layer: around a backend it is a backend, around a queue it is a queue.
struct Xor<T> {
    inner: T,
    key: u8,
}

impl<B: IoBuf, T: Backend<B>> Backend<B> for Xor<T> {
    fn info(&self) -> DeviceInfo {
        // What the device below fills with zeros, this layer would read as the key: it must not promise zeros.
        let info = self.inner.info();
        DeviceInfo {
            features: info.features.without(Features::DISCARD_ZEROES | Features::WRITE_ZEROES),
            ..info
        }
    }

    fn open_queue(&self, depth: u16) -> io::Result<Box<dyn IoQueue<B>>> {
        Ok(Box::new(Xor { inner: self.inner.open_queue(depth)?, key: self.key }))
    }
}

impl<T> Xor<T> {
    /// Before a write goes down, in place: the data belongs to the queue now.
    fn down<B: IoBuf>(&self, io: &mut Io<B>) {
        if matches!(io.op(), Op::Write { .. }) {
            io.segments_mut().for_each(|mut piece| piece.iter_mut().for_each(|byte| *byte ^= self.key));
        }
    }

    /// After a read comes up. What a failed read holds is unspecified, so it may stay.
    fn up<B: IoBuf>(&self, done: &mut Done<B>) {
        if done.op() == Op::Read && done.status() == Status::Ok {
            done.segments_mut().for_each(|mut piece| piece.iter_mut().for_each(|byte| *byte ^= self.key));
        }
    }
}

impl<B: IoBuf, Q: IoQueue<B>> IoQueue<B> for Xor<Q> {
    fn submit(&mut self, mut io: Io<B>) -> Submit<B> {
        if io.op() == Op::WriteZeroes {
            // This layer took the feature away, so the queue below does not refuse it for us.
            return Submit::Done(io.done(Status::Unsupported));
        }
        self.down(&mut io);
        match self.inner.submit(io) {
            Submit::Done(mut done) => {
                self.up(&mut done);
                Submit::Done(done)
            }
            Submit::Queued => Submit::Queued,
            Submit::Full(mut io) => {
                // It goes back as it came: changing it twice changes nothing.
                self.down(&mut io);
                Submit::Full(io)
            }
        }
    }

    fn kick(&mut self) -> io::Result<()> {
        self.inner.kick()
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        let before = done.len();
        self.inner.reap(done);
        done[before..].iter_mut().for_each(|done| self.up(done));
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.inner.event()
    }
}

fn main() {
    let layer = Xor { inner: Reorder::new(Inline::new(MemDisk::new(128)), 1), key: 0x5a };
    conformance(&layer);
    conformance_segmented(&layer);
}
