//! The loop of a benchmark: as many requests in flight as the window has, and nothing else.

use std::io;
use std::time::{Duration, Instant};

use aoe_initiator::{Completion, Driver, Event, Failure, RemoteId, RemoteStats};
use aoe_link::Link;
use bdev::{AlignedBuf, Extent, Io, IoBuf, SECTOR_SIZE, Status, Submit};

use super::ledger::{Ledger, Mismatch};
use super::plan::{Chance, Plan, Step};
use super::tally::{Tally, Trouble, per_second};

/// The longest wait without a look at the signals.
const TICK: Duration = Duration::from_millis(100);

/// How often the live figures are told.
const LIVE: Duration = Duration::from_secs(1);

/// Wrong sectors that are told one by one.
const TOLD: usize = 10;

/// How long an interrupted benchmark waits for what is in flight.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// Steps that are tried until one is found that may be written now.
const LOOKS: usize = 8;

/// How long, and how much at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) window: u16,
    /// Sectors in one request.
    pub(crate) sectors: u8,
    pub(crate) duration: Duration,
    /// How long to wait at the end for what is in flight.
    pub(crate) grace: Duration,
    /// Whether what is read is judged by what was written.
    pub(crate) verify: bool,
    pub(crate) seed: u64,
}

/// What was measured.
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// The part of it at the end in which nothing more was asked.
    pub(crate) draining: Duration,
    pub(crate) interrupted: bool,
    pub(crate) reads: Tally,
    pub(crate) writes: Tally,
    pub(crate) trouble: Trouble,
    /// Reads that were judged.
    pub(crate) checked: u64,
    /// Reads that were wrong.
    pub(crate) wrong: u64,
    /// The first of them.
    pub(crate) mismatches: Vec<Mismatch>,
    /// Requests that had not ended when the grace was over.
    pub(crate) unfinished: usize,
    /// The first error that a reply told of, or that no reply came.
    pub(crate) error: Option<(Extent, Failure)>,
    /// With what status the target refused a request at once, so that it ended early.
    pub(crate) refused: Option<Status>,
}

impl Measured {
    fn new() -> Self {
        Self {
            elapsed: Duration::ZERO,
            draining: Duration::ZERO,
            interrupted: false,
            reads: Tally::new(),
            writes: Tally::new(),
            trouble: Trouble::default(),
            checked: 0,
            wrong: 0,
            mismatches: Vec::new(),
            unfinished: 0,
            error: None,
            refused: None,
        }
    }
}

/// Figures of the time since they were last told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) elapsed: Duration,
    pub(crate) replies_per_second: f64,
    pub(crate) mb_per_second: f64,
    pub(crate) errors: u64,
    pub(crate) retransmits: u64,
}

/// Keeps the window full for as long as asked, or until `stop`.
///
/// # Errors
///
/// When the link can never work again.
pub(crate) fn measure<L: Link>(
    driver: &mut Driver<L, AlignedBuf>,
    remote: RemoteId,
    plan: Plan,
    load: Load,
    stop: &dyn Fn() -> bool,
    live: &mut dyn FnMut(Live),
) -> io::Result<Measured> {
    let before = stats(driver, remote);
    let mut run = Run {
        driver,
        remote,
        plan,
        load,
        ledger: load.verify.then(|| Ledger::new(load.seed)),
        slots: vec![Slot::default(); usize::from(load.window)],
        in_flight: 0,
        ending: false,
        out: Measured::new(),
    };
    let start = Instant::now();
    run.start();
    run.keep_full(start, before, stop, live)?;
    let asked = start.elapsed();
    run.drain()?;

    let Run { mut out, in_flight, driver, .. } = run;
    out.elapsed = start.elapsed();
    out.draining = out.elapsed.saturating_sub(asked);
    out.unfinished = in_flight;
    out.trouble = trouble(before, stats(driver, remote));
    if in_flight > 0 {
        // Its buffers come back by events, which nobody needs any more.
        driver.detach(remote);
        while driver.poll().is_some() {}
    }
    Ok(out)
}

struct Run<'a, L: Link> {
    driver: &'a mut Driver<L, AlignedBuf>,
    remote: RemoteId,
    plan: Plan,
    load: Load,
    ledger: Option<Ledger>,
    /// What each request in flight is; its tag is its place here.
    slots: Vec<Slot>,
    in_flight: usize,
    /// Nothing more is asked.
    ending: bool,
    out: Measured,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    write: bool,
    block: u64,
    /// The oldest version that a read may return.
    oldest: u32,
}

impl<L: Link> Run<'_, L> {
    fn start(&mut self) {
        let mut chance = Chance::new(self.load.seed);
        for tag in 0..self.slots.len() {
            let mut buf = AlignedBuf::with_len(usize::from(self.load.sectors) * SECTOR_SIZE, 512);
            // Not zeros, which a target or its file system might treat in a way of its own.
            for word in buf.bytes_mut().chunks_exact_mut(8) {
                word.copy_from_slice(&chance.next().to_le_bytes());
            }
            self.submit(tag, buf);
        }
    }

    fn keep_full(
        &mut self,
        start: Instant,
        before: RemoteStats,
        stop: &dyn Fn() -> bool,
        live: &mut dyn FnMut(Live),
    ) -> io::Result<()> {
        let end = start + self.load.duration;
        let mut told = start;
        let (mut replies, mut bytes) = (0, 0);
        while !self.ending {
            self.turn()?;
            let now = Instant::now();
            if now >= end {
                break;
            }
            if stop() {
                self.out.interrupted = true;
                break;
            }
            let since = now.duration_since(told);
            if since >= LIVE {
                let (reads, writes) = (&self.out.reads, &self.out.writes);
                let (all, all_bytes) = (reads.replies() + writes.replies(), reads.bytes() + writes.bytes());
                live(Live {
                    elapsed: now.duration_since(start),
                    replies_per_second: per_second(all - replies, since),
                    mb_per_second: per_second(all_bytes - bytes, since) / 1e6,
                    errors: reads.errors() + writes.errors(),
                    retransmits: stats(self.driver, self.remote).retransmits - before.retransmits,
                });
                (told, replies, bytes) = (now, all, all_bytes);
            }
        }
        Ok(())
    }

    /// Waits for what is in flight.
    fn drain(&mut self) -> io::Result<()> {
        self.ending = true;
        let grace = if self.out.interrupted { self.load.grace.min(IMPATIENCE) } else { self.load.grace };
        let until = Instant::now() + grace;
        while self.in_flight > 0 && Instant::now() < until {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn, and what it brought, which is asked anew; waits only when nothing moved.
    fn turn(&mut self) -> io::Result<()> {
        let mut idle = self.driver.turn()?.is_idle();
        while let Some(event) = self.driver.poll() {
            if let Event::Done(id, completion) = event
                && id == self.remote
            {
                idle = false;
                self.finish(completion);
            }
        }
        if idle { self.driver.wait(TICK) } else { Ok(()) }
    }

    fn finish(&mut self, completion: Completion<AlignedBuf>) {
        let Completion { done, latency, failure, .. } = completion;
        self.in_flight -= 1;
        let (extent, ok) = (done.extent(), done.status().is_ok());
        let tag = usize::try_from(done.tag()).unwrap_or(usize::MAX);
        let Some(&slot) = self.slots.get(tag) else { return };
        let tally = if slot.write { &mut self.out.writes } else { &mut self.out.reads };
        if ok {
            tally.ok(latency, extent.bytes());
        } else {
            tally.error();
        }
        if let (None, Some(failure)) = (&self.out.error, failure) {
            self.out.error = Some((extent, failure));
        }
        let buf = done.into_buf();
        if let Some(ledger) = &mut self.ledger {
            if slot.write {
                ledger.end_write(slot.block, ok);
            } else if ok {
                match ledger.end_read(slot.block, slot.oldest, extent, buf.bytes()) {
                    Ok(judged) => self.out.checked += u64::from(judged),
                    Err(mismatch) => self.wrong(mismatch),
                }
            }
        }
        if !self.ending {
            self.submit(tag, buf);
        }
    }

    /// Data that is wrong is what the benchmark was to find: it ends here.
    fn wrong(&mut self, mismatch: Mismatch) {
        self.out.checked += 1;
        self.out.wrong += 1;
        self.ending = true;
        if self.out.mismatches.len() < TOLD {
            self.out.mismatches.push(mismatch);
        }
    }

    fn submit(&mut self, tag: usize, mut buf: AlignedBuf) {
        let (step, oldest) = self.choose(&mut buf);
        if let Some(slot) = self.slots.get_mut(tag) {
            *slot = Slot { write: step.write, block: step.block, oldest };
        }
        let io = if step.write { Io::write(step.extent, buf, 0) } else { Io::read(step.extent, buf, 0) };
        let done = match self.driver.submit(self.remote, io.with_tag(tag as u64)) {
            Submit::Queued => {
                self.in_flight += 1;
                return;
            }
            Submit::Done(done) => done,
            Submit::Full(io) => io.abandon(),
        };
        if step.write
            && let Some(ledger) = &mut self.ledger
        {
            ledger.end_write(step.block, false);
        }
        self.out.refused = Some(done.status());
        self.ending = true;
    }

    /// The next request, and the oldest version that it may return if it is a read.
    fn choose(&mut self, buf: &mut AlignedBuf) -> (Step, u32) {
        let mut step = self.plan.step();
        let Some(ledger) = &mut self.ledger else { return (step, 0) };
        for _ in 0..LOOKS {
            if !step.write || ledger.begin_write(step.block, step.extent, buf.bytes_mut()) {
                return (step, ledger.begin_read(step.block));
            }
            step = self.plan.step();
        }
        // Everything is being written: a small range.
        step.write = false;
        (step, ledger.begin_read(step.block))
    }
}

fn stats<L: Link>(driver: &Driver<L, AlignedBuf>, remote: RemoteId) -> RemoteStats {
    driver.remote(remote).map(|remote| *remote.stats()).unwrap_or_default()
}

fn trouble(before: RemoteStats, after: RemoteStats) -> Trouble {
    Trouble {
        retransmits: after.retransmits - before.retransmits,
        timeouts: after.timeouts - before.timeouts,
        late: after.late - before.late,
        malformed: after.malformed - before.malformed,
    }
}

#[cfg(test)]
mod tests;
