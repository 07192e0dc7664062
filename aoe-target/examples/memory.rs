//! Serves a disk in memory on an interface, as e7.3: the shortest target there is, and one that is faster than most initiators.
//!
//! ```text
//! cargo run --release -p aoe-target --example memory -- eth1
//! aoe bench e7.3 --window 64
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use aoe_link::{NetifOptions, PacketLink};
use aoe_target::{Address, Backend, Server, State, Target, TargetOptions};
use bdev::{AlignedBuf, Inline, MemDisk};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const SECTORS: usize = 131_072;

fn main() -> Result<(), Box<dyn Error>> {
    let netif = std::env::args().nth(1).ok_or("usage: memory NETIF")?;
    let disk = Inline::new(MemDisk::new(SECTORS));
    let mut server = Server::new();
    let link = server.add_link(PacketLink::open(&netif, NetifOptions::default())?);
    let options =
        TargetOptions { buffer_count: 64, write_cache: true, ..TargetOptions::new(Address::new(7, 3)) };
    let target = Target::new(options, Backend::<AlignedBuf>::info(&disk), State::default());
    server.add_target(target, disk.open_queue(64)?, Box::new(|_| Ok(())), &[link])?;

    let start = Instant::now();
    let second = Timespec::try_from(Duration::from_secs(1))?;
    loop {
        if server.turn(start.elapsed())?.is_idle() {
            let event = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
            let mut events: Vec<_> = server.events().map(event).collect();
            // Interrupted or not: look again.
            let _ = poll(&mut events, Some(&second));
        }
    }
}
