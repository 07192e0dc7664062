//! An initiator that loads many exports at once, each in a way of its own: [`Load`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use aoe_initiator::{AttachOptions, Completion, Driver, Event, RemoteId};
use aoe_link::{Accept, NetifOptions, PacketLink};
use bdev::{AlignedBuf, Extent, Io, SECTOR_SIZE, Submit};
use hdrhistogram::Histogram;

use crate::exports::{KEPT, address};
use crate::phase::{Phase, Phases};
use crate::{CABLES, Error};

/// The longest wait.
const TICK: Duration = Duration::from_millis(1);
/// How long exports may take to be found, and requests to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests in flight at an export, sectors of one, and writes in four of them: so that all of them meet.
const WINDOWS: [u16; 5] = [1, 2, 4, 8, 16];
const SECTORS: [u64; 3] = [2, 8, 17];
const WRITES: [u64; 4] = [0, 1, 2, 4];
/// Sectors that are asked for.
const RANGE: u64 = 4096;
/// From one request to the next, in requests: all blocks are visited before one is again.
const STRIDE: u64 = 37;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A window full of requests at each export 50 times a second, so that most of the processors is left.
    Bursts,
    /// All windows full at all times: more than the daemon's processor can do.
    Full,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bursts => "bursts, 50 a second at each export",
            Self::Full => "all windows full",
        })
    }
}

/// From one burst to the next.
const BURST: Duration = Duration::from_millis(20);

/// What the configuration does to an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Kept,
    Changed,
}

/// What was counted of the exports of one class in one phase.
pub(crate) struct Tally {
    /// In nanoseconds.
    latencies: Histogram<u64>,
    pub(crate) errors: u64,
    pub(crate) retransmits: u64,
}

impl Tally {
    fn new() -> Self {
        let longest = 60_000_000_000;
        let latencies =
            Histogram::new_with_bounds(1, longest, 3).expect("bounds in order, and digits up to 5");
        Self { latencies, errors: 0, retransmits: 0 }
    }

    pub(crate) fn replies(&self) -> u64 {
        self.latencies.len()
    }

    /// A percentile, in microseconds.
    pub(crate) fn latency_us(&self, percentile: f64) -> f64 {
        self.latencies.value_at_percentile(percentile) as f64 / 1e3
    }
}

/// What was counted, by class and phase, and how long each phase was.
#[derive(Default)]
pub(crate) struct Tallies {
    pub(crate) by: BTreeMap<(Class, u8), Tally>,
    /// Frames that the initiator's own interfaces dropped: not the daemon's fault.
    pub(crate) dropped_here: u64,
}

struct Disk {
    id: RemoteId,
    class: Class,
    sectors: u64,
    /// Of four requests.
    writes: u64,
    /// For requests that are not in flight.
    buffers: Vec<AlignedBuf>,
    window: usize,
    next: Duration,
    /// Requests so far.
    step: u64,
    /// Sent again when that was last looked at.
    retransmits: u64,
}

pub(crate) struct Load {
    driver: Driver<PacketLink, AlignedBuf>,
    disks: Vec<Disk>,
    pace: Pace,
}

impl Load {
    /// Finds so many exports by all cables.
    ///
    /// # Errors
    ///
    /// When one is not found.
    pub(crate) fn open(count: u16, pace: Pace) -> Result<Self, Error> {
        let options = NetifOptions { accept: Accept::Initiator, ..NetifOptions::default() };
        let links = CABLES
            .map(|(_, name)| PacketLink::open(name, options.clone()))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut driver = Driver::new(links)?;
        let disks = (0..count).map(|number| disk(&mut driver, number)).collect();
        let mut load = Self { driver, disks, pace };
        let deadline = Instant::now() + PATIENCE;
        let mut missing = load.disks.len();
        while missing > 0 {
            if Instant::now() > deadline {
                return Err(format!("{missing} exports are not found").into());
            }
            if load.driver.turn()?.is_idle() {
                load.driver.wait(TICK)?;
            }
            while let Some(event) = load.driver.poll() {
                match event {
                    Event::Ready(_) => missing -= 1,
                    Event::Failed(_, failure) => {
                        return Err(format!("an export is not found: {failure}").into());
                    }
                    _ => {}
                }
            }
        }
        Ok(load)
    }

    /// Loads them until the phases are over, which begin now.
    ///
    /// # Errors
    ///
    /// When an interface can never work again, or requests are left unanswered.
    pub(crate) fn run(&mut self, phases: Phases) -> Result<Tallies, Error> {
        let mut tallies = Tallies::default();
        let start = Instant::now();
        let mut phase = Phase::WarmUp;
        loop {
            let now = start.elapsed();
            if now >= phases.end() {
                break;
            }
            let at = phases.at(now);
            if at != phase {
                self.count_retransmits(phase, &mut tallies);
                phase = at;
            }
            for number in 0..self.disks.len() {
                self.ask(number, now)?;
            }
            self.turn(phase, &mut tallies)?;
        }
        let grace = Instant::now() + PATIENCE;
        while self.disks.iter().any(|disk| disk.buffers.len() < disk.window) {
            if Instant::now() > grace {
                return Err("requests are not answered".into());
            }
            self.turn(phase, &mut tallies)?;
        }
        self.count_retransmits(phase, &mut tallies);
        tallies.dropped_here = self.driver.links().map(|(_, link)| link.counters().rx_overflow).sum();
        Ok(tallies)
    }

    /// Sends what it is time for.
    fn ask(&mut self, number: usize, now: Duration) -> Result<(), Error> {
        let disk = &mut self.disks[number];
        if self.pace == Pace::Bursts {
            // A burst that is not answered yet is not followed by another.
            if now < disk.next || disk.buffers.len() < disk.window {
                return Ok(());
            }
            disk.next = now + BURST;
        }
        while let Some(buffer) = disk.buffers.pop() {
            // Never the sectors of a request in flight: the daemon would take it for that one, sent again.
            disk.step += 1;
            let block = disk.step * STRIDE % (RANGE / disk.sectors);
            let extent = Extent::new(block * disk.sectors, disk.sectors as u32);
            let write = disk.step % 4 < disk.writes;
            let io = if write { Io::write(extent, buffer, 0) } else { Io::read(extent, buffer, 0) };
            match self.driver.submit(disk.id, io.with_tag(number as u64)) {
                Submit::Queued => {}
                Submit::Done(done) => return Err(format!("a request is refused: {:?}", done.status()).into()),
                Submit::Full(io) => {
                    disk.buffers.push(io.abandon().into_buf());
                    break;
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, phase: Phase, tallies: &mut Tallies) -> Result<(), Error> {
        let idle = self.driver.turn()?.is_idle();
        let mut moved = false;
        while let Some(event) = self.driver.poll() {
            let Event::Done(_, Completion { done, latency, .. }) = event else { continue };
            moved = true;
            let disk = &mut self.disks[done.tag() as usize];
            if phase != Phase::WarmUp {
                let tally = tallies.by.entry((disk.class, phase as u8)).or_insert_with(Tally::new);
                match done.status().is_ok() {
                    true => tally.latencies.saturating_record(latency.as_nanos() as u64),
                    false => tally.errors += 1,
                }
            }
            disk.buffers.push(done.into_buf());
        }
        if idle && !moved {
            self.driver.wait(TICK)?;
        }
        Ok(())
    }

    /// Those since the last call belong to `phase`.
    fn count_retransmits(&mut self, phase: Phase, tallies: &mut Tallies) {
        for disk in &mut self.disks {
            let now = self.driver.remote(disk.id).map_or(0, |remote| remote.stats().retransmits);
            let before = std::mem::replace(&mut disk.retransmits, now);
            if phase != Phase::WarmUp {
                tallies.by.entry((disk.class, phase as u8)).or_insert_with(Tally::new).retransmits +=
                    now - before;
            }
        }
    }
}

fn disk(driver: &mut Driver<PacketLink, AlignedBuf>, number: u16) -> Disk {
    let at = usize::from(number);
    let window = WINDOWS[at % WINDOWS.len()];
    let sectors = SECTORS[at % SECTORS.len()];
    let options = AttachOptions { window, deadline: PATIENCE, ..AttachOptions::default() };
    let buffer = || AlignedBuf::with_len(sectors as usize * SECTOR_SIZE, 512);
    Disk {
        id: driver.attach(address(number), options),
        class: if number < KEPT { Class::Kept } else { Class::Changed },
        sectors,
        writes: WRITES[at % WRITES.len()],
        buffers: (0..window).map(|_| buffer()).collect(),
        window: window.into(),
        // Not all at once.
        next: BURST * number.into() / 64,
        step: 0,
        retransmits: 0,
    }
}
