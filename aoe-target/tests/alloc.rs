//! The data path allocates nothing once it is warm.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use aoe_target::bdev::{AlignedBuf, Inline, MemDisk};
use aoe_target::{Link, LinkInfo, MacAddr, Server, State, Target, TargetOptions};
use common::{HOST, OWN, TARGET};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
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

/// A link that receives the same frames at every turn, from a pool of its own, and throws replies away.
struct Treadmill {
    requests: Vec<Vec<u8>>,
    pool: Vec<AlignedBuf>,
    replies: u64,
}

impl Link for Treadmill {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        LinkInfo { mac: TARGET, mtu: 9000, payload_align: 512, up: true, generation: 0 }
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        self.pool.pop()
    }

    fn recycle(&mut self, frame: AlignedBuf) {
        self.pool.push(frame);
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> std::io::Result<()> {
        use aoe_target::IoBuf;
        for request in &self.requests {
            let Some(mut frame) = self.pool.pop() else { break };
            frame.set_len(request.len());
            frame.bytes_mut().copy_from_slice(request);
            rx.push(frame);
        }
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> std::io::Result<()> {
        self.replies += tx.len() as u64;
        self.pool.extend(tx.drain(..));
        Ok(())
    }
}

#[test]
fn ten_thousand_turns_of_every_common_request_allocate_nothing() {
    use aoe_target::Backend;
    let requests = vec![
        common::read(1, 8, 17),
        common::write(2, 100, &[7; 4096]),
        common::read(3, 1 << 40, 1),
        common::ata(4, [0, 0, 0, 0xe7], 0, &[]),
        common::ata(5, [0, 0, 1, 0xec], 0, &[]),
        common::request(HOST, 1, 6, &[0; 8]),
        common::request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], 1, 0, &[0; 8]),
        common::request(HOST, 2, 7, &[0; 4]),
        common::request(HOST, 3, 8, &[0; 2]),
        common::request_to(TARGET, HOST, [0, 9, 9], 1, 0, &[0; 8]),
    ];
    let answered = requests.len() as u64 - 1;
    let pool = (0..32).map(|_| AlignedBuf::new(9728, 512, 36)).collect();
    let disk = Inline::new(MemDisk::new(4096));
    let mut server = Server::new();
    let link = server.add_link(Treadmill { requests, pool, replies: 0 });
    let info = Backend::<AlignedBuf>::info(&disk);
    let target = Target::new(TargetOptions::new(OWN), info, State::default());
    server.add_target(target, disk.open_queue(16).unwrap(), Box::new(|_| Ok(())), &[link]).unwrap();

    let turns = |server: &mut Server<Treadmill>, count: u32, from: u32| {
        for turn in from..from + count {
            let _ = server.turn(std::time::Duration::from_millis(u64::from(turn))).unwrap();
        }
    };
    turns(&mut server, 10, 0);
    let before = (ALLOCATIONS.with(Cell::get), server.link(link).unwrap().replies);
    turns(&mut server, 10_000, 10);
    let after = (ALLOCATIONS.with(Cell::get), server.link(link).unwrap().replies);
    assert_eq!(after.1 - before.1, 10_000 * answered, "every request was answered at every turn");
    assert_eq!(after.0 - before.0, 0, "allocations");
}
