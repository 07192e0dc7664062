//! One thread's queue: which way a request goes, and what becomes of it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::{io, mem};

use bdev::{BlockingBackend, Done, Features, FileDisk, Io, IoBuf, IoQueue, Op, Status, Submit};

use crate::commit::Commit;
use crate::ring::Event;
use crate::transfers::{Name, Transfers};

/// Flags of a transfer.
const PLAIN: i32 = 0;
const DSYNC: i32 = libc::RWF_DSYNC;

pub(crate) struct UringQueue<B: IoBuf> {
    disk: Arc<FileDisk>,
    transfers: Transfers<B>,
    commit: Commit,
    /// Durable writes past the page cache that have not been started.
    durable: Vec<Name>,
    /// Such writes that the kernel works on.
    durable_begun: usize,
    /// An empty list, kept for its memory.
    names: Vec<Name>,
    /// What the ring is not for: parts of blocks, and zeroing.
    threads: Box<dyn IoQueue<B>>,
    depth: usize,
    /// Whether the ring can no longer be entered.
    broken: bool,
}

impl<B: IoBuf> UringQueue<B> {
    pub(crate) fn new(
        disk: Arc<FileDisk>,
        transfers: Transfers<B>,
        threads: Box<dyn IoQueue<B>>,
        depth: u16,
    ) -> Self {
        Self {
            disk,
            transfers,
            commit: Commit::default(),
            durable: Vec::new(),
            durable_begun: 0,
            names: Vec::new(),
            threads,
            depth: depth.into(),
            broken: false,
        }
    }

    /// Ends the request here, if it need not wait.
    fn end_in_place(&self, io: &mut Io<B>) -> Option<Result<(), Status>> {
        let info = self.disk.info();
        if let Err(status) = io.check(&info) {
            return Some(Err(status));
        }
        match io.op() {
            Op::Read | Op::Write { .. } if io.extent().sectors == 0 => Some(Ok(())),
            Op::Read => io.read_now_from(&*self.disk),
            Op::Write { fua } if !self.disk.write_waits(fua) => Some(io.run_on(&*self.disk)),
            Op::Flush if info.read_only || !info.features.contains(Features::FLUSH) => Some(Ok(())),
            Op::Flush if self.disk.is_in_memory() => Some(io.run_on(&*self.disk)),
            // What could not be written back may have been anybody's.
            Op::Flush | Op::Write { fua: true } if self.disk.is_lost() => Some(Err(Status::Media)),
            _ => None,
        }
    }

    /// Keeps a request that must wait. There is room.
    fn keep(&mut self, io: Io<B>) -> Submit<B> {
        let cached = self.disk.alignment().is_none();
        match io.op() {
            Op::Flush => self.gather(io),
            // Into the page cache; a sync follows.
            Op::Write { .. } if cached => match io.write_to(&*self.disk, false) {
                Ok(()) => self.gather(io),
                Err(status) => Submit::Done(io.done(status)),
            },
            Op::Read | Op::Write { .. } if self.disk.is_whole_blocks(io.extent()) => self.transfer(io),
            _ => self.threads.submit(io),
        }
    }

    fn gather(&mut self, io: Io<B>) -> Submit<B> {
        match self.transfers.hold(io, 0) {
            Ok(name) => self.commit.gather(name),
            Err(io) => return Submit::Full(io),
        }
        Submit::Queued
    }

    fn transfer(&mut self, io: Io<B>) -> Submit<B> {
        let durable = io.op() == (Op::Write { fua: true });
        let at = match self.disk.position(io.extent()) {
            Ok(at) => at,
            Err(status) => return Submit::Done(io.done(status)),
        };
        match self.transfers.hold(io, at) {
            Ok(name) if durable => self.durable.push(name),
            Ok(name) => self.transfers.start(name),
            Err(io) => return Submit::Full(io),
        }
        Submit::Queued
    }

    /// Starts durable writes: one that is alone by a flag, which saves the sync; those together without, and one sync follows for all.
    fn begin_durable(&mut self) {
        let alone = self.durable.len() == 1 && self.durable_begun == 0 && self.commit.is_idle();
        let flags = if alone && self.disk.takes_dsync() { DSYNC } else { PLAIN };
        for name in self.durable.drain(..) {
            self.transfers.set_flags(name, flags);
            self.transfers.start(name);
            self.durable_begun += 1;
        }
    }

    /// Gives the kernel what it can begin with now.
    fn begin(&mut self) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        self.begin_durable();
        if let Some(number) = self.commit.begin(self.durable_begun) {
            self.transfers.sync(number);
        }
        if self.threads.in_flight() > 0
            && let Some(event) = self.threads.event()
        {
            self.transfers.watch(event);
        }
        self.transfers.submit().inspect_err(|error| {
            self.broken = true;
            tracing::error!(%error, path = %self.disk.path().display(), "the ring can no longer be used");
        })
    }

    /// A transfer has ended: with that its request, or it goes on.
    fn transferred(&mut self, name: Name, result: i32, done: &mut Vec<Done<B>>) {
        let Some(op) = self.transfers.io(name).map(Io::op) else { return };
        let status = match usize::try_from(result) {
            Ok(0) => self.failed(name, None),
            Ok(moved) if self.transfers.advance(name, moved) == 0 => Status::Ok,
            // The end of the file in the middle of a block.
            Ok(_) if !self.transfers.is_at_block(name) => self.failed(name, None),
            Ok(_) => return self.transfers.start(name),
            Err(_) => match -result {
                libc::EINTR | libc::EAGAIN => return self.transfers.start(name),
                libc::EOPNOTSUPP if self.transfers.flags(name) == DSYNC => {
                    self.disk.dsync_refused();
                    self.transfers.set_flags(name, PLAIN);
                    return self.transfers.start(name);
                }
                libc::ECANCELED => Status::Aborted,
                errno => self.failed(name, Some(errno)),
            },
        };
        if op == (Op::Write { fua: true }) {
            self.durable_begun -= 1;
            if status.is_ok() && self.transfers.flags(name) == PLAIN {
                return self.commit.gather(name);
            }
        }
        self.end(name, status, done);
    }

    /// A sync has ended, and with that the requests that waited for it.
    fn synced(&mut self, number: u8, result: i32, done: &mut Vec<Done<B>>) {
        let mut names = mem::take(&mut self.names);
        let status = match -result {
            libc::EINTR | libc::EAGAIN => {
                self.commit.again(number, &mut names);
                return self.end_all(names, Status::Ok, done);
            }
            libc::ECANCELED => Status::Aborted,
            errno if errno > 0 => {
                self.disk.sync_failed(errno);
                Status::Media
            }
            // Somebody else may have been told what this sync would have been.
            _ if self.disk.is_lost() => Status::Media,
            _ => Status::Ok,
        };
        if status.is_ok() {
            self.commit.succeeded(number, &mut names);
        } else {
            self.commit.failed(number, &mut names);
        }
        self.end_all(names, status, done);
    }

    /// Logs a failed transfer.
    fn failed(&self, name: Name, errno: Option<i32>) -> Status {
        let Some(io) = self.transfers.io(name) else { return Status::Aborted };
        let what = match io.op() {
            Op::Read => "read",
            Op::Write { fua: true } => "durable write",
            _ => "write",
        };
        self.disk.failed(what, io.extent(), errno)
    }

    fn end(&mut self, name: Name, status: Status, done: &mut Vec<Done<B>>) {
        done.extend(self.transfers.take(name).map(|io| io.done(status)));
    }

    fn end_all(&mut self, mut names: Vec<Name>, status: Status, done: &mut Vec<Done<B>>) {
        for name in names.drain(..) {
            self.end(name, status, done);
        }
        self.names = names;
    }

    /// Ends what the kernel will never take over.
    fn abort(&mut self, done: &mut Vec<Done<B>>) {
        for event in self.transfers.take_unstarted() {
            self.look_at(event, done);
        }
        let mut names = mem::take(&mut self.durable);
        self.commit.take_gathered(&mut names);
        self.end_all(names, Status::Aborted, done);
    }

    fn look_at(&mut self, event: Event, done: &mut Vec<Done<B>>) {
        match event {
            Event::Transfer { name, result } => self.transferred(name, result, done),
            Event::Sync { number, result } => self.synced(number, result, done),
        }
    }
}

impl<B: IoBuf> IoQueue<B> for UringQueue<B> {
    fn submit(&mut self, mut io: Io<B>) -> Submit<B> {
        if let Some(result) = self.end_in_place(&mut io) {
            return Submit::Done(io.done(result.into()));
        }
        if self.broken {
            return Submit::Done(io.done(Status::Aborted));
        }
        if self.in_flight() >= self.depth {
            return Submit::Full(io);
        }
        self.keep(io)
    }

    fn kick(&mut self) -> io::Result<()> {
        self.threads.kick()?;
        self.begin()
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        while let Some(event) = self.transfers.next() {
            self.look_at(event, done);
        }
        if self.threads.in_flight() > 0 {
            self.threads.reap(done);
        }
        // What goes on, and the next group. A failure has been logged, and ends what waits, below.
        let _ = self.begin();
        if self.broken {
            self.abort(done);
        }
    }

    fn in_flight(&self) -> usize {
        self.transfers.len() + self.threads.in_flight()
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.transfers.event())
    }
}

#[cfg(test)]
mod tests;
