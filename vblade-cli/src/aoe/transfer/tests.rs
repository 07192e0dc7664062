use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bdev::{BlockingBackend, DeviceInfo, Inline, IoBuf, MemDisk};

use super::*;
use crate::scene::{NEVER, Scene};

const SECTORS: usize = 3 * CHUNK as usize + 100;

fn disk() -> Arc<Inline<MemDisk>> {
    Arc::new(Inline::new(MemDisk::new(SECTORS)))
}

fn pattern(sectors: usize) -> Vec<u8> {
    (0..sectors * SECTOR_SIZE).map(|at| (at / 7 + at / 512) as u8).collect()
}

fn all() -> Sectors {
    Sectors { start: 0, end: SECTORS as u64 }
}

fn quiet() -> Progress {
    Progress::new("test", None, true)
}

/// A source in memory that begins with the first sector of the target and may run out.
struct Bytes(Vec<u8>);

impl Source for Bytes {
    fn fill(&mut self, extent: Extent, mut buf: AlignedBuf) -> Result<Fill, LocalError> {
        let at = usize::try_from(extent.lba).unwrap() * SECTOR_SIZE;
        let Some(rest) = self.0.get(at..).filter(|rest| !rest.is_empty()) else { return Ok(Fill::End) };
        let len = rest.len().min(extent.bytes());
        buf.set_len(len);
        buf.bytes_mut().copy_from_slice(&rest[..len]);
        Ok(Fill::Ready(buf))
    }
}

/// A sink in memory; `fail_at` is a sector that it cannot take.
struct Memory {
    content: Vec<u8>,
    fail_at: Option<u64>,
    synced: bool,
}

impl Memory {
    fn new() -> Self {
        Self { content: vec![0; SECTORS * SECTOR_SIZE], fail_at: None, synced: false }
    }
}

impl Sink for Memory {
    fn take(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Option<AlignedBuf>, LocalError> {
        if self.fail_at.is_some_and(|lba| (extent.lba..extent.end()).contains(&lba)) {
            return Err(LocalError::Write(io::Error::other("no space")));
        }
        let at = usize::try_from(extent.lba).unwrap() * SECTOR_SIZE;
        self.content[at..at + buf.len()].copy_from_slice(buf.bytes());
        Ok(Some(buf))
    }

    fn sync(&mut self) -> Result<(), LocalError> {
        self.synced = true;
        Ok(())
    }
}

#[test]
fn what_is_written_arrives_and_is_flushed() {
    for mtu in [1500, 9000] {
        let disk = disk();
        let mut scene = Scene::new(&disk, mtu);
        let data = pattern(SECTORS);
        let mut source = Bytes(data.clone());
        let out = run(&mut scene.driver, scene.remote, all(), Work::Write(&mut source), &mut quiet(), NEVER);
        assert!(out.stop.is_none(), "{:?}", out.stop);
        assert_eq!((out.done, out.durable), (SECTORS as u64, SECTORS as u64));
        assert!(disk.disk().content() == data, "MTU {mtu}");
    }
}

#[test]
fn what_is_read_is_what_the_target_has_and_the_range_is_kept() {
    let disk = disk();
    let data = pattern(SECTORS);
    bdev::BlockingBackend::write_at(disk.disk(), 0, &data).unwrap();
    let mut scene = Scene::new(&disk, 9000);
    let mut sink = Memory::new();
    let range = Sectors { start: 3, end: 2 * CHUNK as u64 + 1 };
    let out = run(&mut scene.driver, scene.remote, range, Work::Read(&mut sink), &mut quiet(), NEVER);
    assert!(out.stop.is_none(), "{:?}", out.stop);
    assert_eq!((out.done, out.durable, sink.synced), (range.end, range.end, true));
    let (from, to) = (3 * 512, (2 * CHUNK as usize + 1) * 512);
    assert!(sink.content[from..to] == data[from..to]);
    assert!(sink.content[..from].iter().chain(&sink.content[to..]).all(|byte| *byte == 0));
}

/// A disk with a write cache, whose flushes may fail.
struct Cached {
    disk: MemDisk,
    flushes: AtomicUsize,
    broken: bool,
}

impl BlockingBackend for Cached {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { features: Features::FLUSH, ..self.disk.info() }
    }
    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        self.disk.read_at(lba, data)
    }
    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.disk.write_at(lba, data)
    }
    fn flush(&self) -> Result<(), Status> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        if self.broken { Err(Status::Media) } else { Ok(()) }
    }
}

#[test]
fn what_is_in_a_write_cache_is_durable_after_a_flush_and_not_before() {
    for broken in [false, true] {
        let disk = Cached { disk: MemDisk::new(SECTORS), flushes: AtomicUsize::new(0), broken };
        let disk = Arc::new(Inline::new(disk));
        let mut scene = Scene::new(&disk, 9000);
        let mut source = Bytes(pattern(SECTORS));
        let work = Work::Write(&mut source);
        let out = run(&mut scene.driver, scene.remote, all(), work, &mut quiet(), NEVER);
        assert!(disk.disk().flushes.load(Ordering::Relaxed) > 0);
        assert_eq!(out.done, SECTORS as u64);
        if broken {
            assert!(matches!(out.stop, Some(Stop::Flush { .. })), "{out:?}");
            assert_eq!(out.durable, 0);
        } else {
            assert!(out.stop.is_none(), "{out:?}");
            assert_eq!(out.durable, SECTORS as u64);
        }
    }
}

#[test]
fn a_source_that_runs_out_ends_the_transfer_there() {
    let disk = disk();
    let mut scene = Scene::new(&disk, 9000);
    let data = pattern(CHUNK as usize + 5);
    let out = run(
        &mut scene.driver,
        scene.remote,
        all(),
        Work::Write(&mut Bytes(data.clone())),
        &mut quiet(),
        NEVER,
    );
    assert!(out.stop.is_none(), "{:?}", out.stop);
    assert_eq!((out.done, out.durable), (CHUNK as u64 + 5, CHUNK as u64 + 5));
    let content = disk.disk().content();
    assert!(content[..data.len()] == data && content[data.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_error_of_the_local_side_says_which_part_is_done() {
    let mut scene = Scene::new(&disk(), 9000);
    let mut sink = Memory { fail_at: Some(CHUNK as u64 + 3), ..Memory::new() };
    let out = run(&mut scene.driver, scene.remote, all(), Work::Read(&mut sink), &mut quiet(), NEVER);
    assert!(matches!(out.stop, Some(Stop::Local(LocalError::Write(_)))), "{:?}", out.stop);
    assert_eq!((out.done, out.durable, sink.synced), (CHUNK as u64, CHUNK as u64, true));
}

#[test]
fn a_range_beyond_the_end_of_the_disk_is_the_targets_error() {
    let mut scene = Scene::new(&disk(), 9000);
    let range = Sectors { start: 0, end: SECTORS as u64 + 1 };
    let out =
        run(&mut scene.driver, scene.remote, range, Work::Read(&mut Memory::new()), &mut quiet(), NEVER);
    assert!(matches!(out.stop, Some(Stop::Target { status: Status::OutOfRange, .. })), "{:?}", out.stop);
}

#[test]
fn an_interrupt_lets_what_is_in_flight_end_and_flushes_it() {
    let disk = disk();
    let mut scene = Scene::new(&disk, 1500);
    let data = pattern(SECTORS);
    let looks = Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        looks.get() > 3
    };
    // One buffer at a time is filled, so that the interrupt comes before the end.
    let out = run(
        &mut scene.driver,
        scene.remote,
        all(),
        Work::Write(&mut Bytes(data.clone())),
        &mut quiet(),
        &stop,
    );
    assert!(matches!(out.stop, Some(Stop::Interrupted)), "{:?}", out.stop);
    assert_eq!(out.done, out.durable);
    let bytes = usize::try_from(out.done).unwrap() * SECTOR_SIZE;
    assert!(disk.disk().content()[..bytes] == data[..bytes]);
}

#[test]
fn a_target_that_falls_silent_ends_it_at_its_deadline() {
    let mut scene = Scene::new(&disk(), 1500);
    scene.kill();
    let start = Instant::now();
    let out = run(
        &mut scene.driver,
        scene.remote,
        all(),
        Work::Write(&mut Bytes(pattern(SECTORS))),
        &mut quiet(),
        NEVER,
    );
    let Some(Stop::Target { failure: Some(Failure::Timeout { .. }), .. }) = out.stop else {
        panic!("{:?}", out.stop)
    };
    assert_eq!((out.done, out.durable), (0, 0));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_target_that_is_away_for_less_than_the_deadline_is_waited_for() {
    let disk = disk();
    let mut scene = Scene::new(&disk, 9000);
    let hold = scene.hold();
    let data = pattern(SECTORS);
    let start = Instant::now();
    let looks = Cell::new(0);
    // The signals are looked at between requests: a good moment to take the target away, and to bring it back.
    let pause = || {
        looks.set(looks.get() + 1);
        let away = looks.get() >= 2 && start.elapsed() < Duration::from_millis(700);
        hold.store(away, Ordering::Relaxed);
        false
    };
    let mut source = Bytes(data.clone());
    let out = run(&mut scene.driver, scene.remote, all(), Work::Write(&mut source), &mut quiet(), &pause);
    assert!(out.stop.is_none() && out.durable == SECTORS as u64, "{out:?}");
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert!(scene.driver.remote(scene.remote).unwrap().stats().retransmits > 0);
    assert!(disk.disk().content() == data);
}

/// A source that needs some time to find out that it has more than fits.
struct Lingers(Bytes, u32);

impl Source for Lingers {
    fn fill(&mut self, extent: Extent, buf: AlignedBuf) -> Result<Fill, LocalError> {
        self.0.fill(extent, buf)
    }

    fn is_at_end(&mut self) -> Result<bool, LocalError> {
        self.1 -= 1;
        if self.1 == 0 { Err(LocalError::TooLong) } else { Ok(false) }
    }
}

#[test]
fn a_source_is_asked_for_its_end_until_it_knows() {
    let mut scene = Scene::new(&disk(), 9000);
    let mut source = Lingers(Bytes(pattern(SECTORS)), 100);
    let work = Work::Write(&mut source);
    let out = run(&mut scene.driver, scene.remote, all(), work, &mut quiet(), NEVER);
    assert!(matches!(out.stop, Some(Stop::Local(LocalError::TooLong))), "{out:?}");
    assert_eq!(out.done, SECTORS as u64);
}

#[test]
fn a_transfer_from_a_pipe_to_a_pipe_keeps_the_order() {
    let disk = disk();
    let mut scene = Scene::new(&disk, 9000);
    let data = pattern(SECTORS);
    let mut source = PipeSource::new(io::Cursor::new(data.clone()), all(), Default::default()).unwrap();
    let out = run(&mut scene.driver, scene.remote, all(), Work::Write(&mut source), &mut quiet(), NEVER);
    assert!(out.stop.is_none() && out.durable == SECTORS as u64, "{out:?}");
    let (mut reader, writer) = io::pipe().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        io::Read::read_to_end(&mut reader, &mut all).map(|_| all)
    });
    let mut sink = PipeSink::new(writer, 0).unwrap();
    let out = run(&mut scene.driver, scene.remote, all(), Work::Read(&mut sink), &mut quiet(), NEVER);
    assert!(out.stop.is_none(), "{out:?}");
    drop(sink);
    assert!(reader.join().unwrap().unwrap() == data);
}

#[test]
fn a_pipe_with_more_than_the_target_has_room_for_is_an_error_when_the_room_is_full() {
    let disk = disk();
    let mut scene = Scene::new(&disk, 9000);
    let data = pattern(SECTORS + 1);
    let mut source = PipeSource::new(io::Cursor::new(data.clone()), all(), Default::default()).unwrap();
    let out = run(&mut scene.driver, scene.remote, all(), Work::Write(&mut source), &mut quiet(), NEVER);
    assert!(matches!(out.stop, Some(Stop::Local(LocalError::TooLong))), "{out:?}");
    assert_eq!((out.done, out.durable), (SECTORS as u64, SECTORS as u64));
    assert!(disk.disk().content() == data[..SECTORS * SECTOR_SIZE]);
}
