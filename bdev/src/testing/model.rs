//! Random requests against a model that is too simple to be wrong.

use super::chance::Chance;
use super::driver::Driver;
use super::rules::require_sectors;
use super::{TestBuf, content};
use crate::{Backend, Done, Extent, Features, Op, Status};

/// Sectors that the steps use.
const SECTORS: u64 = 96;
/// The longest request, in sectors.
const LONGEST: u32 = 20;

/// One step of a sequence. Places and lengths of any value are folded into the first 96 sectors of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads and compares.
    Read(u64, u32),
    /// Writes new content, durably or not.
    Write(u64, u32, bool),
    /// Flushes.
    Flush,
    /// Discards; skipped where the device cannot.
    Discard(u64, u32),
    /// Writes zeros; skipped where the device cannot.
    WriteZeroes(u64, u32),
    /// Waits until nothing is in flight.
    Drain,
}

/// Runs `steps` on `backend` with many requests in flight, and compares every byte that is read with a model. Requests that overlap one in
/// flight wait for it, as a front end makes them. Returns how many requests failed; what a failed change leaves behind is not compared
/// until it is written again.
///
/// # Panics
///
/// When the device breaks the contract or holds another content than the model.
pub fn run_against_model<B: TestBuf>(backend: &(impl Backend<B> + ?Sized), steps: &[Step]) -> usize {
    require_sectors(backend);
    let mut run = Run {
        driver: Driver::open(backend, 8),
        features: backend.info().features,
        sectors: vec![None; SECTORS as usize],
        in_flight: Vec::new(),
        stamp: 0,
        failed: 0,
    };
    for &step in steps {
        run.step(step);
    }
    run.drain();
    run.failed
}

/// `count` steps that `seed` determines.
pub(super) fn random_steps(seed: u64, count: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    (0..count)
        .map(|_| {
            let (kind, lba, sectors) = (chance.below(16), chance.next(), chance.next() as u32);
            match kind {
                0..6 => Step::Read(lba, sectors),
                6..10 => Step::Write(lba, sectors, false),
                10..12 => Step::Write(lba, sectors, true),
                12 => Step::Flush,
                13 => Step::Discard(lba, sectors),
                14 => Step::WriteZeroes(lba, sectors),
                _ => Step::Drain,
            }
        })
        .collect()
}

struct Run<B> {
    driver: Driver<B>,
    features: Features,
    /// The stamp that each sector holds: 0 is zeros. `None`: not known.
    sectors: Vec<Option<u64>>,
    in_flight: Vec<(Op, Extent)>,
    stamp: u64,
    failed: usize,
}

impl<B: TestBuf> Run<B> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Read(lba, sectors) => self.submit(Op::Read, fold(lba, sectors)),
            Step::Write(lba, sectors, fua) => self.submit(Op::Write { fua }, fold(lba, sectors)),
            Step::Flush => self.submit(Op::Flush, Extent::default()),
            Step::Discard(lba, sectors) if self.features.contains(Features::DISCARD) => {
                self.submit(Op::Discard, fold(lba, sectors));
            }
            Step::WriteZeroes(lba, sectors) if self.features.contains(Features::WRITE_ZEROES) => {
                self.submit(Op::WriteZeroes, fold(lba, sectors));
            }
            Step::Discard(..) | Step::WriteZeroes(..) => {}
            Step::Drain => self.drain(),
        }
    }

    fn submit(&mut self, op: Op, extent: Extent) {
        let clash =
            |&(other, there): &(Op, Extent)| (op.is_write() || other.is_write()) && there.overlaps(extent);
        if self.in_flight.iter().any(clash) {
            self.drain();
        }
        let mut io = content::request::<B>(op, extent);
        if matches!(op, Op::Write { .. }) {
            self.stamp += 1;
            content::fill(io.segments_mut(), self.stamp);
            io = io.with_tag(self.stamp);
        }
        self.in_flight.push((op, extent));
        self.driver.submit(io);
        self.look_at_ended();
    }

    fn drain(&mut self) {
        self.driver.drain();
        self.look_at_ended();
        assert_eq!(self.in_flight, [], "every request has ended");
    }

    fn look_at_ended(&mut self) {
        for done in std::mem::take(&mut self.driver.ended) {
            let this = (done.op(), done.extent());
            let at =
                self.in_flight.iter().position(|&other| other == this).expect("what ended was in flight");
            self.in_flight.swap_remove(at);
            self.look_at(&done);
        }
    }

    fn look_at(&mut self, done: &Done<B>) {
        let ok = done.status() == Status::Ok;
        self.failed += usize::from(!ok);
        let from = done.extent().lba as usize;
        let sectors = &mut self.sectors[from..from + done.extent().sectors as usize];
        match done.op() {
            Op::Read if ok => {
                for (index, (read, known)) in content::stamps(done).into_iter().zip(sectors).enumerate() {
                    if known.is_some() {
                        assert_eq!(read, *known, "sector {index} of the read of {}", done.extent());
                    }
                }
            }
            Op::Read | Op::Flush => {}
            Op::Write { .. } => {
                for (index, known) in sectors.iter_mut().enumerate() {
                    *known = ok.then_some(content::stamp(done.tag(), index));
                }
            }
            Op::WriteZeroes => sectors.fill(ok.then_some(0)),
            Op::Discard => {
                sectors.fill((ok && self.features.contains(Features::DISCARD_ZEROES)).then_some(0));
            }
        }
    }
}

fn fold(lba: u64, sectors: u32) -> Extent {
    let lba = lba % SECTORS;
    let sectors = 1 + sectors % LONGEST;
    Extent::new(lba, sectors.min((SECTORS - lba) as u32))
}
