//! The engine under `read`, `write`, `copy` and its verification: some large requests in flight, their buffers used again and again.

mod end;
mod file;
mod local;
mod pipe;
mod stop;

use std::time::{Duration, Instant};

use aoe_initiator::{Driver, Event, Failure, Remote, RemoteId};
use aoe_link::Link;
use bdev::{AlignedBuf, Done, Extent, Features, Io, Op, SECTOR_SIZE, Status, Submit};

pub(crate) use self::end::{Account, Deed, conclude, options, size_of};
pub(crate) use self::file::{Compare, FileSink, FileSource, Mapping};
pub(crate) use self::local::{Local, Place};
pub(crate) use self::pipe::{PipeEnd, PipeSink, PipeSource};
pub(crate) use self::stop::{LocalError, Stop};
use crate::progress::Progress;
use crate::range::{DoneMap, Sectors};

/// Sectors of one request at most: 1 MiB. Requests end at multiples of it, so that the local side sees whole pages.
pub(crate) const CHUNK: u32 = 2048;

/// Requests in flight. Together they are more than any window takes, so that it stays full while the local side works on one of them.
const DEPTH: usize = 4;

/// The longest wait without a look at the signals.
const TICK: Duration = Duration::from_millis(200);

/// The longest wait while a pipe is what is waited for, which has no event here.
const PIPE_TICK: Duration = Duration::from_millis(2);

/// How often what was written is made durable, so that a transfer that breaks off can go on from there.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// What is in flight gets this long to end when a transfer breaks off, and so does the last flush.
const GRACE: Duration = Duration::from_secs(5);

/// The tag of a flush; the others have 0.
const FLUSH: u64 = 1;

/// Where the data of writes comes from.
pub(crate) trait Source {
    /// Fills a buffer with the sectors of `extent`, and sets its length. Extents are asked for in order.
    fn fill(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Fill, LocalError>;

    /// Asked when the range is full: whether nothing is left over. False when that is not known yet.
    fn is_at_end(&mut self) -> Result<bool, LocalError> {
        Ok(true)
    }
}

/// What a [`Source`] has.
#[derive(Debug)]
pub(crate) enum Fill {
    /// The sectors; fewer than asked for when they are the last.
    Ready(AlignedBuf),
    /// Nothing yet. Here is the buffer back.
    Wait(AlignedBuf),
    /// Nothing more.
    End,
}

/// Where the data of reads goes.
pub(crate) trait Sink {
    /// Takes sectors, in any order. Returns the buffer, unless it keeps it for a while.
    fn take(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Option<AlignedBuf>, LocalError>;

    /// A buffer that was kept and is no longer needed.
    fn reclaim(&mut self) -> Result<Option<AlignedBuf>, LocalError> {
        Ok(None)
    }

    /// Whether buffers are kept.
    fn is_busy(&self) -> bool {
        false
    }

    /// Makes durable what was taken.
    fn sync(&mut self) -> Result<(), LocalError> {
        Ok(())
    }
}

/// What to do between the target and the local side.
pub(crate) enum Work<'a> {
    Write(&'a mut dyn Source),
    Read(&'a mut dyn Sink),
}

/// How a transfer ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// All sectors before this one, from the first of the range on, are done.
    pub(crate) done: u64,
    /// And all before this one are on stable storage. At most `done`.
    pub(crate) durable: u64,
    /// Why it ended before the end of the range.
    pub(crate) stop: Option<Stop>,
}

/// Moves the sectors of `range`, and flushes at the end. Ends within a bounded time of `stop` being true, or of the target's silence.
pub(crate) fn run<L: Link>(
    driver: &mut Driver<L, AlignedBuf>,
    remote: RemoteId,
    range: Sectors,
    work: Work<'_>,
    progress: &mut Progress,
    stop: &dyn Fn() -> bool,
) -> Outcome {
    let volatile = driver.remote(remote).is_none_or(is_volatile);
    let transfer = Transfer {
        driver,
        remote,
        range,
        work,
        free: (0..DEPTH).map(|_| AlignedBuf::with_len(CHUNK as usize * SECTOR_SIZE, 4096)).collect(),
        next: range.start,
        end: range.end,
        at_end: false,
        in_flight: 0,
        map: DoneMap::new(range.start),
        stop: None,
        volatile,
        durable: range.start,
        flush: Flush { buf: Some(AlignedBuf::new(0, 1, 0)), covers: range.start, last: Instant::now() },
    };
    transfer.run(progress, stop)
}

/// Whether what was written is durable only after a flush: unless the disk has a write cache that is off.
fn is_volatile(remote: &Remote) -> bool {
    let written_through = remote
        .identity()
        .is_some_and(|page| page.supports_write_cache() && !page.features().write_cache_enabled);
    let has_flush = remote.disk().is_none_or(|disk| disk.features.contains(Features::FLUSH));
    has_flush && !written_through
}

struct Transfer<'d, 'w, L: Link> {
    driver: &'d mut Driver<L, AlignedBuf>,
    remote: RemoteId,
    range: Sectors,
    work: Work<'w>,
    free: Vec<AlignedBuf>,
    /// The first sector that was not asked for.
    next: u64,
    /// Where it ends: the end of the range, or of a source that was shorter.
    end: u64,
    /// The source has nothing left.
    at_end: bool,
    in_flight: usize,
    map: DoneMap,
    stop: Option<Stop>,
    /// Whether what was written is durable only after a flush.
    volatile: bool,
    durable: u64,
    flush: Flush,
}

struct Flush {
    /// Gone while a flush is in flight.
    buf: Option<AlignedBuf>,
    /// What was contiguous when it was sent.
    covers: u64,
    last: Instant,
}

impl<L: Link> Transfer<'_, '_, L> {
    fn run(mut self, progress: &mut Progress, stop: &dyn Fn() -> bool) -> Outcome {
        while self.stop.is_none() && !self.is_complete() {
            if stop() {
                self.stop(Stop::Interrupted);
                break;
            }
            let waiting = self.submit() || self.source_lingers();
            // A pipe may have taken the last of it just now, and nothing else would end the wait.
            if self.is_complete() {
                break;
            }
            if self.volatile && self.flush.last.elapsed() >= FLUSH_EVERY {
                self.submit_flush();
            }
            self.turn(if waiting { PIPE_TICK } else { TICK });
            progress.update(self.map.count() * SECTOR_SIZE as u64);
        }
        self.settle();
        let done = self.map.contiguous();
        let in_cache = self.volatile || matches!(self.work, Work::Read(_));
        let durable = if in_cache { self.durable } else { done };
        Outcome { done, durable, stop: self.stop }
    }

    fn is_complete(&self) -> bool {
        let busy = match &self.work {
            Work::Read(sink) => sink.is_busy(),
            Work::Write(_) => !self.at_end,
        };
        self.next >= self.end && self.in_flight == 0 && !busy
    }

    /// Whether a source that has filled the range has not yet said that nothing is left over.
    fn source_lingers(&mut self) -> bool {
        let Work::Write(source) = &mut self.work else { return false };
        if self.at_end || self.next < self.end || self.stop.is_some() {
            return false;
        }
        match source.is_at_end() {
            Ok(at_end) => {
                self.at_end = at_end;
                !at_end
            }
            Err(error) => self.local(error),
        }
    }

    /// The first reason is the one that is told.
    fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
    }

    /// Asks for what there is room for. Returns whether something without an event is waited for.
    fn submit(&mut self) -> bool {
        let mut waiting = false;
        if let Work::Read(sink) = &mut self.work {
            loop {
                match sink.reclaim() {
                    Ok(Some(buf)) => self.free.push(buf),
                    Ok(None) => break,
                    Err(error) => return self.local(error),
                }
            }
            waiting = sink.is_busy();
        }
        let range = Sectors { end: self.end, ..self.range };
        while let Some(extent) = range.step(self.next, CHUNK)
            && let Some(mut buf) = self.free.pop()
        {
            let io = match &mut self.work {
                Work::Read(_) => {
                    buf.set_len(extent.bytes());
                    Io::read(extent, buf, 0)
                }
                Work::Write(source) => match source.fill(extent, buf) {
                    Ok(Fill::Ready(buf)) => {
                        let sectors = u32::try_from(buf.len() / SECTOR_SIZE).unwrap_or(extent.sectors);
                        Io::write(Extent::new(extent.lba, sectors), buf, 0)
                    }
                    Ok(Fill::Wait(buf)) => {
                        self.free.push(buf);
                        return true;
                    }
                    Ok(Fill::End) => {
                        self.end = self.next;
                        self.at_end = true;
                        return false;
                    }
                    Err(error) => return self.local(error),
                },
            };
            let end = io.extent().end();
            match self.driver.submit(self.remote, io) {
                Submit::Queued => self.in_flight += 1,
                Submit::Done(done) => {
                    self.finish(done, None);
                    return false;
                }
                Submit::Full(io) => {
                    // Ask for it again: a source that cannot go back keeps nothing, so this one must not be lost.
                    self.stop(Stop::Target { extent: io.extent(), failure: None, status: Status::Aborted });
                    let _ = io.abandon();
                    return false;
                }
            }
            self.next = end;
        }
        waiting
    }

    fn local(&mut self, error: LocalError) -> bool {
        self.stop(Stop::Local(error));
        false
    }

    fn submit_flush(&mut self) {
        self.flush.last = Instant::now();
        if !matches!(self.work, Work::Write(_)) {
            return;
        }
        let Some(buf) = self.flush.buf.take() else { return };
        self.flush.covers = self.map.contiguous();
        match self.driver.submit(self.remote, Io::flush(buf).with_tag(FLUSH)) {
            Submit::Queued => {}
            Submit::Done(done) => self.finish(done, None),
            Submit::Full(io) => self.flush.buf = Some(io.abandon().into_buf()),
        }
    }

    /// One turn, and what it brought; waits when nothing moved.
    fn turn(&mut self, at_most: Duration) {
        let progress = match self.driver.turn() {
            Ok(progress) => progress,
            Err(error) => return self.stop(Stop::Link(error)),
        };
        let mut idle = progress.is_idle();
        while let Some(event) = self.driver.poll() {
            idle = false;
            match event {
                Event::Done(id, completion) if id == self.remote => {
                    if completion.done.op() != Op::Flush {
                        self.in_flight -= 1;
                    }
                    self.finish(completion.done, completion.failure);
                }
                Event::Changed(id) if id == self.remote => self.resized(),
                _ => {}
            }
        }
        if idle && let Err(error) = self.driver.wait(at_most) {
            self.stop(Stop::Link(error));
        }
    }

    fn resized(&mut self) {
        let disk = self.driver.remote(self.remote).and_then(Remote::disk);
        if let Some(disk) = disk.filter(|disk| disk.sectors < self.end.min(self.range.end)) {
            self.stop(Stop::Shrunk { sectors: disk.sectors });
        }
    }

    fn finish(&mut self, done: Done<AlignedBuf>, failure: Option<Failure>) {
        if done.op() == Op::Flush {
            return self.flushed(done, failure);
        }
        let (extent, status) = (done.extent(), done.status());
        let buf = done.into_buf();
        if !status.is_ok() {
            self.free.push(buf);
            return self.stop(Stop::Target { extent, failure, status });
        }
        match &mut self.work {
            Work::Write(_) => self.free.push(buf),
            Work::Read(sink) => match sink.take(extent, buf) {
                Ok(buf) => self.free.extend(buf),
                Err(error) => return self.stop(Stop::Local(error)),
            },
        }
        self.map.mark(extent);
    }

    fn flushed(&mut self, done: Done<AlignedBuf>, failure: Option<Failure>) {
        let status = done.status();
        self.flush.buf = Some(done.into_buf());
        if status.is_ok() {
            self.durable = self.durable.max(self.flush.covers);
        } else {
            self.stop(Stop::Flush { failure, status });
        }
    }

    /// Lets what is in flight end, and makes durable what is done.
    fn settle(&mut self) {
        let silent = matches!(
            &self.stop,
            Some(
                Stop::Target { failure: Some(Failure::Timeout { .. }), .. }
                    | Stop::Flush { .. }
                    | Stop::Link(_)
            )
        );
        let until = Instant::now() + GRACE;
        while (self.in_flight > 0 || self.flush.buf.is_none()) && !silent && Instant::now() < until {
            self.turn(PIPE_TICK);
        }
        match &mut self.work {
            Work::Read(sink) => match sink.sync() {
                Ok(()) => self.durable = self.map.contiguous(),
                Err(error) => self.stop(Stop::Local(error)),
            },
            Work::Write(_) if silent => {}
            Work::Write(_) => {
                // A transfer that is complete waits for its flush as long as the target may take, one that broke off does not.
                let whole = self.stop.is_none();
                self.submit_flush();
                while self.flush.buf.is_none() && (whole || Instant::now() < until) {
                    if matches!(self.stop, Some(Stop::Link(_))) {
                        break;
                    }
                    self.turn(TICK);
                }
            }
        }
        if self.in_flight > 0 || self.flush.buf.is_none() {
            // Its buffers come back by events, which nobody needs any more.
            self.driver.detach(self.remote);
            while self.driver.poll().is_some() {}
        }
    }
}

#[cfg(test)]
mod tests;
