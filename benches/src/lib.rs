//! What the benchmarks share: requests, and a link that receives the same ones for ever.
//!
//! | Benchmark | Answers |
//! |---|---|
//! | `wire` | how long does it take to parse a frame, to make it a reply, to print it? |
//! | `turn` | how many requests a second go through the engine, by size of batch? |
//! | `overlap` | what does the order of overlapping requests cost, by how many are in flight, over how many links? |
//! | `late` | what does it cost to drop writes that newer ones have overtaken on another link? |
//! | `initiator` | how many requests a second go through the initiator, by window? |
//! | `queue` | how many requests a second does a backend take, by depth? |
//! | `alloc` | does the data path allocate? (It must not; no figures.) |
//! | `compare` | how many replies a second does `vblade` send over a real interface, beside other programs? |
//! | `rack` | what do 64 exports of `vbladed` notice of a reload, and what does it take when it has nothing to do? |
//!
//! `cargo bench -p benches` runs all but the last two, which are programs: `./x bench compare`, `./x bench rack`. `cargo bench -p benches -- --test` only shows that they
//! run. Figures are a machine's own: keep them with its name and the date, and compare within one machine.
//!
//! ```
//! // A read of two sectors, as the engine gets it.
//! let frame = benches::read(7, 64, 2);
//! println!("{}", aoe_wire::show(&frame));
//! assert_eq!(frame.len(), 60);
//! ```

use std::time::{Duration, Instant};

use aoe_target::bdev::IoQueue;
use aoe_target::{Address, DeviceInfo, Link, MacAddr, Server, State, Target, TargetOptions};
use aoe_wire::{
    AFlags, AtaArg, AtaCommand, ConfigCommand, Lba, RequestHeader, SECTOR, Tag, build_ata, build_config,
};

mod answer;
mod carousel;
pub mod inside;
mod mirror;
mod treadmill;

pub use answer::answer;
pub use carousel::Carousel;
pub use mirror::{Mirror, round};
pub use treadmill::Treadmill;

/// The target's interface.
pub const TARGET: MacAddr = MacAddr([2, 0, 0, 0, 7, 3]);
/// The initiator's.
pub const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);
/// The target's address.
pub const OWN: Address = Address::new(7, 3);

fn header(tag: u32) -> RequestHeader {
    RequestHeader { dst: TARGET, src: HOST, address: OWN, tag: Tag::from_u32(tag) }
}

fn ata(tag: u32, command: AtaCommand, aflags: AFlags, lba: u64, sectors: u8, data: usize) -> Vec<u8> {
    let mut frame = vec![0; 36 + data.max(24)];
    let lba = Lba::from_lba48(lba).unwrap_or(Lba::ZERO);
    let arg = AtaArg::request(command, aflags, lba, sectors);
    let len = build_ata(&mut frame, header(tag), arg, &vec![0x55; data]).unwrap_or(0);
    frame.truncate(len);
    frame
}

/// A read of `sectors` sectors, as Linux asks for it.
#[must_use]
pub fn read(tag: u32, lba: u64, sectors: u8) -> Vec<u8> {
    ata(tag, AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, lba, sectors, 0)
}

/// A write of `sectors` sectors, as Linux sends it.
#[must_use]
pub fn write(tag: u32, lba: u64, sectors: u8) -> Vec<u8> {
    let aflags = AFlags::EXTENDED.with(AFlags::WRITE);
    ata(tag, AtaCommand::WRITE_SECTORS_EXT, aflags, lba, sectors, usize::from(sectors) * SECTOR)
}

/// FLUSH CACHE.
#[must_use]
pub fn flush(tag: u32) -> Vec<u8> {
    ata(tag, AtaCommand::FLUSH_CACHE, AFlags::NONE, 0, 0, 0)
}

/// IDENTIFY DEVICE.
#[must_use]
pub fn identify(tag: u32) -> Vec<u8> {
    ata(tag, AtaCommand::IDENTIFY_DEVICE, AFlags::NONE, 0, 1, 0)
}

/// Query config information.
#[must_use]
pub fn config(tag: u32) -> Vec<u8> {
    let mut frame = vec![0; 60];
    let len = build_config(&mut frame, header(tag), ConfigCommand::READ, &[]).unwrap_or(0);
    frame.truncate(len);
    frame
}

/// A server of one target on these links, with a write cache, so that writes are plain.
#[must_use]
pub fn server<L: Link>(
    links: impl IntoIterator<Item = L>,
    queue: Box<dyn IoQueue<L::Frame>>,
    info: DeviceInfo,
) -> Server<L> {
    let mut server = Server::new();
    let links: Vec<_> = links.into_iter().map(|link| server.add_link(link)).collect();
    let options = TargetOptions { write_cache: true, ..TargetOptions::new(OWN) };
    let target = Target::new(options, info, State::default());
    server
        .add_target(target, queue, Box::new(|_| Ok(())), &links)
        .expect("the only target has its address to itself");
    // The first turn advertises.
    let _ = server.turn(Duration::ZERO).expect("these links never break");
    server
}

/// How long a server whose links never run dry takes for so many replies.
#[must_use]
pub fn time_of<L: Link>(server: &mut Server<L>, replies: u64) -> Duration {
    let (start, mut sent) = (Instant::now(), 0);
    while sent < replies {
        sent += server.turn(Duration::ZERO).expect("these links never break").sent as u64;
    }
    start.elapsed()
}
