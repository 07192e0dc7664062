//! The data path allocates nothing: 10,000 turns of 32 requests, counted by the allocator. No figures; it fails when one is made.
//!
//! The target once with a disk that ends every request in place, once with one that keeps them for two turns, so that requests are in flight, wait for
//! each other and are reaped; and the initiator with 64 requests in the air.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aoe_target::bdev::{AlignedBuf, Backend, Inline, NullDisk};
use bdev::testing::Delay;
use bdev::{Extent, Io};
use benches::{Mirror, Treadmill, round};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TURNS: u64 = 10_000;
const BATCH: u32 = 32;

/// Reads and writes, of which some share sectors, and what else initiators send often.
fn request(number: u32) -> Vec<u8> {
    let lba = u64::from(number) * 24;
    match number % 16 {
        0..8 => benches::read(number, lba, 17),
        8..12 => benches::write(number, lba, 8),
        12 => benches::write(number, 0, 8),
        13 => benches::flush(number),
        14 => benches::config(number),
        _ => benches::identify(number),
    }
}

/// How many allocations there were; `None` when requests were not answered, and nothing was shown.
fn count(name: &str, disk: &dyn Backend<AlignedBuf>) -> Option<u64> {
    let requests = (0..BATCH).map(request).collect();
    let queue = disk.open_queue(64).expect("it needs nothing");
    let mut server = benches::server([Treadmill::new(requests, 9000)], queue, disk.info());
    let mut turns = |turns: u64| -> usize {
        (0..turns).map(|_| server.turn(Duration::ZERO).expect("a treadmill never breaks").sent).sum()
    };
    turns(100);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let replies = turns(TURNS);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("alloc/{name}: {TURNS} turns, {replies} replies, {allocations} allocations");
    (replies as u64 >= TURNS * 4).then_some(allocations)
}

/// The same for the initiator.
fn count_initiator() -> Option<u64> {
    let (mut initiator, disk) = Mirror::new(64, 9000).initiator(64);
    let mut bufs: Vec<_> = (0..64).map(|_| AlignedBuf::with_len(17 * 512, 512)).collect();
    let mut now = Duration::ZERO;
    let io = |number: u64, buf| {
        let extent = Extent::new(number * 17, 17);
        if number.is_multiple_of(4) { Io::write(extent, buf, 0) } else { Io::read(extent, buf, 0) }
    };
    let mut turns = |turns| (0..turns).for_each(|_| round(&mut initiator, disk, &mut bufs, &mut now, io));
    turns(100);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    turns(TURNS);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let replies = initiator.remote(disk)?.stats().replies;
    println!("alloc/initiator: {TURNS} turns, {replies} replies, {allocations} allocations");
    (replies >= TURNS * 64).then_some(allocations)
}

fn main() -> ExitCode {
    let disk = || Inline::new(NullDisk::new(1 << 20));
    let counts =
        [count("in place", &disk()), count("in flight", &Delay::for_reaps(disk(), 2)), count_initiator()];
    if counts == [Some(0); 3] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
