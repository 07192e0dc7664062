use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use aoe_link::{LinkInfo, MemLink};
use bdev::{Inline, MemDisk};
use bytes::BytesMut;

use super::*;
use crate::range::Sectors;
use crate::scene::{NEVER, Scene};

const DISK: usize = 4096;

fn load(milliseconds: u64) -> Load {
    Load {
        window: 16,
        sectors: 2,
        duration: Duration::from_millis(milliseconds),
        grace: Duration::from_secs(3),
        verify: false,
        seed: 1,
    }
}

fn plan(read_percent: u8, sectors: u8, blocks: u64) -> Plan {
    Plan::new(Sectors { start: 64, end: 64 + blocks * u64::from(sectors) }, sectors, read_percent, true, 1)
        .expect("room")
}

#[test]
fn reads_are_counted_until_the_time_is_over() {
    let mut scene = Scene::new(&Arc::new(Inline::new(MemDisk::new(DISK))), 1500);
    let out =
        measure(&mut scene.driver, scene.remote, plan(100, 2, 100), load(200), NEVER, &mut |_| {}).unwrap();
    assert!(
        out.elapsed >= Duration::from_millis(200) && out.elapsed < Duration::from_secs(3),
        "{:?}",
        out.elapsed
    );
    assert!(out.reads.replies() > 16 && out.writes.replies() == 0);
    assert_eq!(out.reads.bytes(), out.reads.replies() * 1024);
    assert_eq!((out.unfinished, out.interrupted, out.refused), (0, false, None));
}

#[test]
fn writes_stay_within_their_range() {
    let disk = Arc::new(Inline::new(MemDisk::new(DISK)));
    let mut scene = Scene::new(&disk, 1500);
    let out = measure(&mut scene.driver, scene.remote, plan(0, 2, 8), load(100), NEVER, &mut |_| {}).unwrap();
    assert!(out.writes.replies() > 16 && out.reads.replies() == 0);
    let content = disk.disk().content();
    let (range, all) = (64 * 512..80 * 512, 0..content.len());
    assert!(all.filter(|at| !range.contains(at)).all(|at| content[at] == 0));
    assert!(content[range].chunks(512).all(|sector| sector.iter().any(|byte| *byte != 0)));
}

#[test]
fn an_interrupt_ends_it_early_and_the_figures_stay() {
    let mut scene = Scene::new(&Arc::new(Inline::new(MemDisk::new(DISK))), 1500);
    let looks = Cell::new(0);
    let stop = || {
        looks.set(looks.get() + 1);
        looks.get() > 200
    };
    let out =
        measure(&mut scene.driver, scene.remote, plan(100, 2, 8), load(60_000), &stop, &mut |_| {}).unwrap();
    assert!(out.interrupted && out.elapsed < Duration::from_secs(30));
    assert!(out.reads.replies() > 0);
}

#[test]
fn a_target_that_falls_silent_does_not_hold_it_up() {
    let mut scene = Scene::new(&Arc::new(Inline::new(MemDisk::new(DISK))), 1500);
    scene.kill();
    let load = Load { grace: Duration::from_millis(1500), ..load(100) };
    let out = measure(&mut scene.driver, scene.remote, plan(100, 2, 8), load, NEVER, &mut |_| {}).unwrap();
    assert_eq!((out.reads.replies(), out.unfinished), (0, 16));
    assert!(out.trouble.retransmits > 0, "{:?}", out.trouble);
    assert!(out.elapsed < Duration::from_secs(5), "{:?}", out.elapsed);
    assert!(out.draining >= Duration::from_millis(1400) && out.draining < out.elapsed, "{:?}", out.draining);
}

#[test]
fn what_is_written_is_what_is_read() {
    let mut scene = Scene::new(&Arc::new(Inline::new(MemDisk::new(DISK))), 1500);
    let load = Load { verify: true, ..load(300) };
    // Fewer blocks than are in flight, so that reads and writes meet.
    let out = measure(&mut scene.driver, scene.remote, plan(50, 2, 11), load, NEVER, &mut |_| {}).unwrap();
    assert!(out.checked > 16, "{}", out.checked);
    assert_eq!((out.wrong, out.mismatches), (0, vec![]));
}

/// A wire on which one in a hundred long frames to here has a bit changed.
struct Flips(MemLink, u32);

impl Link for Flips {
    type Frame = BytesMut;
    fn info(&self) -> LinkInfo {
        self.0.info()
    }
    fn alloc(&mut self) -> Option<BytesMut> {
        self.0.alloc()
    }
    fn recycle(&mut self, frame: BytesMut) {
        self.0.recycle(frame);
    }
    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        let before = rx.len();
        self.0.recv(rx)?;
        for frame in rx[before..].iter_mut().filter(|frame| frame.len() > 1000) {
            self.1 += 1;
            if self.1.is_multiple_of(100) {
                frame[700] ^= 1;
            }
        }
        Ok(())
    }
    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        self.0.send(tx)
    }
}

#[test]
fn a_changed_bit_is_found_and_ends_it() {
    let mut scene = Scene::through(&Arc::new(Inline::new(MemDisk::new(DISK))), 1500, |link| Flips(link, 0));
    let load = Load { verify: true, ..load(20_000) };
    let out = measure(&mut scene.driver, scene.remote, plan(50, 2, 11), load, NEVER, &mut |_| {}).unwrap();
    assert!(out.wrong > 0 && out.elapsed < Duration::from_secs(15));
    // Byte 700 of the frame lies in the second sector.
    assert_eq!((out.mismatches[0].lba % 2, out.mismatches[0].found), (1, crate::bench::ledger::Found::Other));
}
