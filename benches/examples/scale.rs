//! Many small disks in one process, on several interfaces, by one thread or by more.
//!
//! ```text
//! scale --exports 256 --links eth0,eth1 --threads 2
//! ```
//!
//! Serves disks at 7.0, 7.1 and so on until SIGINT or SIGTERM, then says what it has done and what it took. Each thread has a [`Server`] of
//! its own with a share of the disks and with links of its own on the same interfaces, which receive frames for its disks and wildcards
//! only: no thread waits for another. It waits as `vblade` does, so it is what to look at for what a disk at rest costs.

use std::error::Error;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, mem, thread};

use aoe_link::{Accept, NetifOptions, PacketLink};
use aoe_target::bdev::{AlignedBuf, FileDisk, FileOptions, Inline, MemDisk};
use aoe_target::{Address, Backend, DeviceInfo, IoQueue, Server, ServerStats, State, Target, TargetOptions};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Requests that a disk works on at a time.
const DEPTH: u16 = 64;
/// When something is tried again that no event tells of.
const RETRY: Duration = Duration::from_millis(2);
/// The longest wait for events.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Options {
    /// Disks: 7.0 to 7.254, then 8.0 on
    #[arg(long, default_value_t = 1)]
    exports: u16,
    /// Interfaces that each disk is served on
    #[arg(long, value_delimiter = ',', required = true)]
    links: Vec<String>,
    /// Threads that share the disks
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Size of a disk in memory, in MiB
    #[arg(long, default_value_t = 1)]
    mem: usize,
    /// Serve files instead; {} stands for the number of the disk
    #[arg(long)]
    file: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let numbers: Vec<u16> = (0..options.exports).collect();
    let share = numbers.len().div_ceil(options.threads.max(1).into()).max(1);
    let servers: Vec<_> =
        numbers.chunks(share).map(|share| server(&options, share)).collect::<Result<_, _>>()?;
    println!("serving {} disks, {} resident", options.exports, resident());
    let start = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> =
            servers.into_iter().map(|server| scope.spawn(|| serve(server, &stop))).collect();
        for (number, thread) in threads.into_iter().enumerate() {
            let stats = thread.join().expect("no panic")?;
            println!("thread {number}: {stats:?}");
        }
        Ok::<(), io::Error>(())
    })?;
    println!("after {:.1} s: {} resident", start.elapsed().as_secs_f64(), resident());
    Ok(())
}

/// A thread's share of the disks, with links of its own.
fn server(options: &Options, share: &[u16]) -> Result<Server<PacketLink>, Box<dyn Error>> {
    let address = |number: u16| Address::new(7 + number / 255, (number % 255) as u8);
    let mut server = Server::new();
    let mut links = Vec::new();
    for name in &options.links {
        let accept = Accept::Target(share.iter().copied().map(address).collect());
        links.push(
            server.add_link(PacketLink::open(name, NetifOptions { accept, ..NetifOptions::default() })?),
        );
    }
    for &number in share {
        let (info, queue) = disk(options, number)?;
        let settings = TargetOptions { write_cache: true, ..TargetOptions::new(address(number)) };
        let target = Target::new(settings, info, State::default());
        server.add_target(target, queue, Box::new(|_| Ok(())), &links)?;
    }
    Ok(server)
}

type Disk = (DeviceInfo, Box<dyn IoQueue<AlignedBuf>>);

fn disk(options: &Options, number: u16) -> Result<Disk, Box<dyn Error>> {
    fn open(disk: &impl Backend<AlignedBuf>) -> Result<Disk, Box<dyn Error>> {
        Ok((disk.info(), disk.open_queue(DEPTH)?))
    }
    match &options.file {
        Some(pattern) => {
            let path = PathBuf::from(pattern.replace("{}", &number.to_string()));
            open(&Inline::new(FileDisk::open(&FileOptions::new(path))?))
        }
        None => open(&Inline::new(MemDisk::new(options.mem * 2048))),
    }
}

/// The loop of `vblade`: turns while there is something to do, then waits.
fn serve(mut server: Server<PacketLink>, stop: &AtomicBool) -> io::Result<ServerStats> {
    let start = Instant::now();
    let mut fds = Vec::<PollFd<'static>>::new();
    while !stop.load(Ordering::Relaxed) {
        let progress = server.turn(start.elapsed())?;
        if progress.is_idle() {
            fds = wait(fds, server.events(), if progress.stalled { RETRY } else { IDLE })?;
        }
    }
    Ok(*server.stats())
}

/// Waits, with the memory of the list that `fds` was.
fn wait<'a>(
    mut fds: Vec<PollFd<'a>>,
    events: impl Iterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> io::Result<Vec<PollFd<'static>>> {
    fds.extend(events.map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN)));
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    fds.clear();
    Ok(mem::take(&mut fds).into_iter().map(|_| unreachable!("an empty list")).collect())
}

/// What the process has in memory, as the kernel tells it.
fn resident() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or_else(|| "an unknown number of kB".to_owned(), |rest| rest.trim().to_owned())
}
