//! Random stacks of layers against flat memory.
//!
//! A script picks a device (memory, or a file), puts layers on it that delay, reorder and refuse, opens up to two queues, and sends requests
//! with buffers in one piece or several. Requests that overlap wait for each other, as the contract of `bdev` asks of a front end. Every
//! request must end once, with its buffer, its tag and the right status; what a read brings, and the whole disk at the end, must equal a flat
//! memory to which the same was done.
//!
//! [`bdev::Pooled`] is left out: its threads would make a run depend on more than its input.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arbitrary::Arbitrary;
use bdev::testing::{Delay, Fault, Faults, Faulty, Gate, Pieces, Reorder, TestBuf};
use bdev::{
    AlignedBuf, Backend, DeviceInfo, Done, Extent, Features, FileDisk, FileOptions, Inline, Io, IoQueue,
    MemDisk, Op, SECTOR_SIZE, Status, Submit,
};

const SECTORS: u64 = 64;
const MAX_STEPS: usize = 300;
const HEADER: usize = 36;
/// Reaps without an end after which a queue counts as stuck.
const PATIENCE: usize = 10_000;

/// A device, its layers, and what is done to them.
#[derive(Arbitrary, Clone, Debug)]
pub struct Script {
    device: Device,
    in_pieces: bool,
    layers: [Layer; 3],
    depth: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Memory,
    File,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Layer {
    None,
    Reorder(u8),
    Gate,
    Delay(u8),
    /// Every so many requests there is no room.
    Full(u8),
    /// Every so many requests end as [`Status::Media`] without having run.
    Fail(u8),
    /// A request that touches this sector ends as [`Status::Aborted`].
    Bad(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Read(Place),
    Write(Place, bool),
    Discard(Place),
    WriteZeroes(Place),
    Flush,
    /// Not for this device: beyond its end.
    Beyond(Place),
    Kick,
    Reap,
    Release(u8),
    /// Uses the other queue from here on.
    Switch,
    /// Everything ends, and the queue is opened anew.
    Reopen(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Place {
    lba: u8,
    sectors: u8,
}

impl Place {
    fn extent(self) -> Extent {
        let lba = u64::from(self.lba) % SECTORS;
        Extent::new(lba, u32::from(self.sectors % 18).min((SECTORS - lba) as u32))
    }
}

/// Runs a script to its end.
///
/// # Panics
///
/// When the stack does anything that flat memory would not.
pub fn run(script: &Script) {
    if script.in_pieces { Run::<Pieces>::all(script) } else { Run::<AlignedBuf>::all(script) }
}

struct Run<B> {
    backend: Arc<dyn Backend<B>>,
    info: DeviceInfo,
    gates: Vec<Gate>,
    queues: [Box<dyn IoQueue<B>>; 2],
    at: usize,
    in_flight: BTreeMap<u64, (usize, Op, Extent)>,
    tags: u64,
    may_fail: bool,
    model: Vec<u8>,
}

impl<B: TestBuf> Run<B> {
    fn all(script: &Script) {
        let mut run = Self::new(script);
        for step in script.steps.iter().take(MAX_STEPS) {
            run.step(*step);
        }
        run.drain();
        // Through what may fail, nothing can be read for sure.
        if !run.may_fail {
            let buf = B::make(HEADER, run.model.len(), 512);
            run.submit(Io::read(Extent::new(0, SECTORS as u32), buf, HEADER));
            run.drain();
        }
    }

    fn new(script: &Script) -> Self {
        let mut backend: Arc<dyn Backend<B>> = match script.device {
            Device::Memory => Arc::new(Inline::new(MemDisk::new(SECTORS as usize))),
            Device::File => Arc::new(Inline::new(file())),
        };
        let (mut gates, mut may_fail) = (vec![], false);
        for layer in script.layers {
            let faults = Faults::default();
            backend = match layer {
                Layer::None => backend,
                Layer::Reorder(seed) => Arc::new(Reorder::new(backend, seed.into())),
                Layer::Delay(reaps) => Arc::new(Delay::for_reaps(backend, (reaps % 8).into())),
                Layer::Gate => {
                    let (delay, gate) = Delay::until_released(backend);
                    gates.push(gate);
                    Arc::new(delay)
                }
                Layer::Full(every) => {
                    faults.add(Fault::full().every(u64::from(every).max(1)));
                    Arc::new(Faulty::new(backend, &faults))
                }
                Layer::Fail(every) => {
                    may_fail = true;
                    faults.add(Fault::status(Status::Media).every(u64::from(every).max(1)));
                    Arc::new(Faulty::new(backend, &faults))
                }
                Layer::Bad(lba) => {
                    may_fail = true;
                    let bad = Extent::new(u64::from(lba) % SECTORS, 1);
                    faults.add(Fault::status(Status::Aborted).touching(bad));
                    Arc::new(Faulty::new(backend, &faults))
                }
            };
        }
        let depth = u16::from(script.depth);
        let queues = [0, 1].map(|_| backend.open_queue(depth).expect("a queue can be opened"));
        Self {
            info: backend.info(),
            backend,
            gates,
            queues,
            at: 0,
            in_flight: BTreeMap::new(),
            tags: 0,
            may_fail,
            model: vec![0; SECTORS as usize * SECTOR_SIZE],
        }
    }

    fn step(&mut self, step: Step) {
        let data = |extent: Extent| B::make(HEADER, extent.bytes(), 512);
        match step {
            Step::Read(place) => self.submit(Io::read(place.extent(), data(place.extent()), HEADER)),
            Step::Write(place, fua) => {
                let extent = place.extent();
                let mut io = Io::new(Op::Write { fua }, extent, data(extent), HEADER);
                let mut bytes = content(self.tags + 1, extent).into_iter();
                for mut piece in io.segments_mut() {
                    piece.iter_mut().zip(&mut bytes).for_each(|(to, from)| *to = from);
                }
                self.submit(io);
            }
            Step::Discard(place) => self.submit(Io::new(Op::Discard, place.extent(), B::make(0, 0, 1), 0)),
            Step::WriteZeroes(place) => {
                self.submit(Io::new(Op::WriteZeroes, place.extent(), B::make(0, 0, 1), 0));
            }
            Step::Flush => self.submit(Io::flush(B::make(HEADER, 0, 1))),
            Step::Beyond(place) => {
                let extent =
                    Extent::new(SECTORS - u64::from(place.lba % 4), 4 + u32::from(place.sectors % 4));
                let io = Io::read(extent, data(extent), HEADER);
                assert_eq!(io.check(&self.info), Err(Status::OutOfRange));
                let done = io.abandon();
                assert_eq!(done.status(), Status::Aborted);
            }
            Step::Kick => self.queues[self.at].kick().expect("the device can be reached"),
            Step::Reap => self.reap(self.at),
            Step::Release(count) => self.gates.iter().for_each(|gate| gate.release(count.into())),
            Step::Switch => self.at = 1 - self.at,
            Step::Reopen(depth) => {
                self.drain();
                self.queues[self.at] = self.backend.open_queue(depth.into()).expect("a queue can be opened");
            }
        }
    }

    fn submit(&mut self, io: Io<B>) {
        if io.check(&self.info).is_err() {
            // A feature the device lacks.
            let _ = io.abandon();
            return;
        }
        let (op, extent) = (io.op(), io.extent());
        let clash = |(_, other, there): &(usize, Op, Extent)| {
            (op.is_write() || other.is_write()) && there.overlaps(extent)
        };
        if self.in_flight.values().any(clash) {
            self.drain();
        }
        self.tags += 1;
        self.in_flight.insert(self.tags, (self.at, op, extent));
        let mut io = io.with_tag(self.tags);
        for _ in 0..PATIENCE {
            match self.queues[self.at].submit(io) {
                Submit::Done(done) => return self.ended(self.at, &done),
                Submit::Queued => return,
                Submit::Full(back) => io = back,
            }
            assert!(self.queues[self.at].in_flight() > 0, "full with nothing in flight");
            self.gates.iter().for_each(|gate| gate.release(1));
            self.reap(self.at);
        }
        panic!("the queue stays full: {:?}", io.abandon().extent());
    }

    fn reap(&mut self, at: usize) {
        let before = self.queues[at].in_flight();
        let mut done = Vec::new();
        self.queues[at].reap(&mut done);
        assert_eq!(
            self.queues[at].in_flight() + done.len(),
            before,
            "what was reaped is no longer in flight"
        );
        for done in done {
            self.ended(at, &done);
        }
    }

    /// Ends everything in flight.
    fn drain(&mut self) {
        self.gates.iter().for_each(Gate::open);
        for _ in 0..PATIENCE {
            for at in 0..2 {
                self.queues[at].kick().expect("the device can be reached");
                self.reap(at);
            }
            if self.in_flight.is_empty() {
                break;
            }
        }
        assert!(self.in_flight.is_empty(), "never ended: {:?}", self.in_flight);
        assert_eq!(self.queues.each_ref().map(|queue| queue.in_flight()), [0, 0]);
        self.gates.iter().for_each(Gate::close);
    }

    fn ended(&mut self, at: usize, done: &Done<B>) {
        let (on, op, extent) =
            self.in_flight.remove(&done.tag()).expect("it was in flight, and has not ended before");
        assert_eq!((at, done.op(), done.extent()), (on, op, extent));
        if done.status() != Status::Ok {
            // The faults strike before anything has run.
            assert!(self.may_fail, "{op:?} of {extent} ended as {:?}", done.status());
            assert!(matches!(done.status(), Status::Media | Status::Aborted));
            return;
        }
        let bytes = extent.lba as usize * SECTOR_SIZE..extent.end() as usize * SECTOR_SIZE;
        match op {
            Op::Read => {
                let found: Vec<u8> = done.segments().flat_map(|piece| piece.to_vec()).collect();
                assert!(found == self.model[bytes], "{extent} reads as something else");
            }
            Op::Write { .. } => self.model[bytes].copy_from_slice(&content(done.tag(), extent)),
            Op::WriteZeroes => self.model[bytes].fill(0),
            Op::Discard => {
                assert!(
                    self.info.features.contains(Features::DISCARD_ZEROES),
                    "else its content is not known"
                );
                self.model[bytes].fill(0);
            }
            Op::Flush => {}
        }
    }
}

/// What request `tag` writes.
fn content(tag: u64, extent: Extent) -> Vec<u8> {
    let sectors = (0..extent.sectors).flat_map(|number| {
        let mut sector = [tag as u8 ^ number as u8; SECTOR_SIZE];
        sector[..8].copy_from_slice(&tag.to_le_bytes());
        sector[504..].copy_from_slice(&(extent.lba + u64::from(number)).to_le_bytes());
        sector
    });
    sectors.collect()
}

/// A file of zeros, in memory where the system has such a place; always the same, which is emptied each time.
fn file() -> FileDisk {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
        folder.join(format!("fuzz-stack-{}", std::process::id()))
    });
    let file = File::create(path).expect("a temporary file can be made");
    file.set_len(SECTORS * SECTOR_SIZE as u64).expect("a temporary file can grow");
    let disk = FileDisk::open(&FileOptions::new(path)).expect("a regular file opens");
    // The descriptor is enough from here on.
    std::fs::remove_file(path).expect("it is there");
    disk
}
