//! A load on a target: random reads over a real interface, a window of them outstanding, counted.
//!
//! ```text
//! veth-load --make 64 DISK             write a disk of 64 MiB whose sectors tell their number
//! veth-load IF --verify --window 16    read from e7.3 on that interface for 5 seconds
//! ```
//!
//! Every reply is checked for tag, address, LBA, status and length, with `--verify` also for the number in each sector. A request that is not
//! answered within 100 ms is sent again under a new tag, as Linux does it. It spins: give it a processor of its own. `../veth.sh` does all
//! of this for two targets in turn.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aoe_wire::{
    AFlags, ATA_HEADER_LEN, Address, Arg, AtaArg, AtaCommand, AtaStatus, ConfigCommand, IdentifyDevice, Lba,
    MacAddr, Packet, RequestHeader, SECTOR, Tag, build_ata, build_config,
};
use clap::Parser;

mod socket;

use socket::Socket;

/// When a request is sent again.
const TIMEOUT: Duration = Duration::from_millis(100);
/// How often requests are looked at for that.
const TICK: Duration = Duration::from_millis(10);

/// Random reads from a target, counted.
#[derive(Parser)]
struct Options {
    /// The interface; or, with --make, the file to write
    name: String,
    /// Write a disk of so many MiB and do nothing else
    #[arg(long, value_name = "MIB")]
    make: Option<u64>,
    /// The target
    #[arg(long, default_value = "e7.3")]
    target: Address,
    /// Requests outstanding at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    window: u16,
    /// Sectors per request
    #[arg(long, default_value_t = 2)]
    sectors: u8,
    /// Seconds
    #[arg(long, default_value_t = 5)]
    duration: u64,
    /// Compare the content with that of a disk made by --make
    #[arg(long)]
    verify: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.make {
        Some(mib) => make(&PathBuf::from(&options.name), mib),
        None => load(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("veth-load: {}: {error}", options.name);
            ExitCode::FAILURE
        }
    }
}

/// Writes a disk in which each sector begins and ends with its number.
fn make(path: &PathBuf, mib: u64) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for lba in 0..mib * (1 << 20) / SECTOR as u64 {
        let mut sector = [0xa5; SECTOR];
        sector[..8].copy_from_slice(&lba.to_le_bytes());
        sector[SECTOR - 8..].copy_from_slice(&lba.to_le_bytes());
        file.write_all(&sector)?;
    }
    file.flush()
}

fn is_sector(bytes: &[u8], lba: u64) -> bool {
    bytes[..8] == lba.to_le_bytes() && bytes[SECTOR - 8..] == lba.to_le_bytes()
}

/// A place in the window: one request that is outstanding.
struct Slot {
    tag: u32,
    lba: u64,
    /// When the request was made, and when it was last sent.
    began: Instant,
    sent: Instant,
}

struct Load<'a> {
    options: &'a Options,
    socket: Socket,
    target: MacAddr,
    capacity: u64,
    slots: Vec<Slot>,
    chance: u64,
    generation: u32,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    replies: u64,
    retransmits: u64,
    /// Replies to requests that were sent again meanwhile.
    late: u64,
    latency: Duration,
    slowest: Duration,
}

fn load(options: &Options) -> io::Result<()> {
    let mut socket = Socket::open(&options.name, options.window.into())?;
    let (target, capacity) = discover(&mut socket, options.target)?;
    let mut load = Load {
        options,
        socket,
        target,
        capacity,
        slots: Vec::new(),
        chance: 0x9e37_79b9_7f4a_7c15,
        generation: 0,
        counts: Counts::default(),
    };
    let seconds = load.run()?;
    load.counts.print(options.json, seconds);
    Ok(())
}

/// Asks for the target, then for its size.
fn discover(socket: &mut Socket, address: Address) -> io::Result<(MacAddr, u64)> {
    let mac = socket.mac();
    let header = |dst, tag| RequestHeader { dst, src: mac, address, tag: Tag::from_u32(tag) };
    let config =
        |frame: &mut [u8]| build_config(frame, header(MacAddr::BROADCAST, 1), ConfigCommand::READ, &[]);
    let target = ask(socket, config, |packet| (packet.aoe.tag.to_u32() == 1).then_some(packet.eth.src))?;
    let arg = AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags::NONE, Lba::ZERO, 1);
    let capacity = ask(
        socket,
        |frame| build_ata(frame, header(target, 2), arg, &[]),
        |packet| match packet.arg {
            Arg::Ata(_, data) if packet.aoe.tag.to_u32() == 2 => {
                Some(IdentifyDevice::parse(data).ok()?.capacity())
            }
            _ => None,
        },
    )?;
    Ok((target, capacity))
}

/// Sends a request until there is an answer, for five seconds.
fn ask<T>(
    socket: &mut Socket,
    build: impl Fn(&mut [u8]) -> Result<usize, aoe_wire::WireError>,
    read: impl Fn(&Packet<'_>) -> Option<T>,
) -> io::Result<T> {
    for _ in 0..50 {
        socket.push(|frame| build(frame).unwrap_or(0));
        socket.flush()?;
        let sent = Instant::now();
        while sent.elapsed() < TIMEOUT {
            for number in 0..socket.recv()? {
                let packet = Packet::parse(socket.frame(number)).ok();
                let reply = packet.filter(|packet| packet.aoe.ver_flags.is_response());
                if let Some(found) = reply.as_ref().and_then(&read) {
                    return Ok(found);
                }
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no target answers"))
}

impl Load<'_> {
    /// Reads for as long as asked; the seconds that took.
    fn run(&mut self) -> io::Result<f64> {
        let began = Instant::now();
        let end = began + Duration::from_secs(self.options.duration);
        let mut tick = began + TICK;
        for at in 0..usize::from(self.options.window) {
            self.slots.push(Slot { tag: 0, lba: 0, began, sent: began });
            self.begin(at, began);
        }
        loop {
            self.socket.flush()?;
            let received = self.socket.recv()?;
            let now = Instant::now();
            for number in 0..received {
                if let Some(at) = self.look_at(number, now)? {
                    self.begin(at, now);
                }
            }
            if now >= tick {
                tick = now + TICK;
                if now >= end {
                    return Ok((now - began).as_secs_f64());
                }
                self.resend(now);
            }
        }
    }

    /// Makes a new request in a place of the window.
    fn begin(&mut self, at: usize, now: Instant) {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let places = self.capacity.saturating_sub(self.options.sectors.into()) + 1;
        self.slots[at].lba = self.chance % places;
        self.slots[at].began = now;
        self.send(at, now);
    }

    /// Sends the request of a place, under a new tag: the place in the low bits, a count above.
    fn send(&mut self, at: usize, now: Instant) {
        self.generation = (self.generation + 1) & 0xf_ffff;
        let slot = &mut self.slots[at];
        slot.tag = self.generation << 11 | at as u32;
        slot.sent = now;
        let header = RequestHeader {
            dst: self.target,
            src: self.socket.mac(),
            address: self.options.target,
            tag: Tag::from_u32(slot.tag),
        };
        let lba = Lba::from_lba48(slot.lba).unwrap_or(Lba::ZERO);
        let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, lba, self.options.sectors);
        self.socket.push(|frame| build_ata(frame, header, arg, &[]).unwrap_or(0));
    }

    fn resend(&mut self, now: Instant) {
        for at in 0..self.slots.len() {
            if now - self.slots[at].sent > TIMEOUT {
                self.counts.retransmits += 1;
                self.send(at, now);
            }
        }
    }

    /// The place whose request a frame answers; an error when the answer is wrong.
    fn look_at(&mut self, number: usize, now: Instant) -> io::Result<Option<usize>> {
        let frame = self.socket.frame(number);
        let Ok(packet) = Packet::parse(frame) else { return Ok(None) };
        let Arg::Ata(arg, data) = packet.arg else { return Ok(None) };
        if !packet.aoe.ver_flags.is_response() || packet.aoe.address() != self.options.target {
            return Ok(None);
        }
        let tag = packet.aoe.tag.to_u32();
        let at = tag as usize & 0x7ff;
        let Some(slot) = self.slots.get(at).filter(|slot| slot.tag == tag) else {
            self.counts.late += 1;
            return Ok(None);
        };
        let good =
            packet.aoe.ver_flags.0 == 0x18 && arg.status() == AtaStatus::GOOD && arg.lba.lba48() == slot.lba;
        let sectors = usize::from(self.options.sectors);
        let long = frame.len() == ATA_HEADER_LEN + sectors * SECTOR;
        let same = || data.chunks(SECTOR).zip(slot.lba..).all(|(sector, lba)| is_sector(sector, lba));
        if !good || !long || (self.options.verify && !same()) {
            let message = format!("a wrong reply to a read of {} at {}: {packet}", sectors, slot.lba);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let latency = now - slot.began;
        self.counts.replies += 1;
        self.counts.latency += latency;
        self.counts.slowest = self.counts.slowest.max(latency);
        Ok(Some(at))
    }
}

impl Counts {
    fn print(&self, json: bool, seconds: f64) {
        let Self { replies, retransmits, late, latency, slowest } = self;
        let rate = *replies as f64 / seconds;
        let mean = latency.as_secs_f64() * 1e6 / (*replies).max(1) as f64;
        let slowest = slowest.as_secs_f64() * 1e6;
        if json {
            println!(
                "{{\"replies_per_second\":{rate:.0},\"replies\":{replies},\"seconds\":{seconds:.3},\
                 \"retransmits\":{retransmits},\"late\":{late},\"mean_us\":{mean:.1},\"slowest_us\":{slowest:.1}}}"
            );
        } else {
            println!(
                "{rate:.0} replies/s ({replies} in {seconds:.1} s), {retransmits} sent again, {late} late, \
                 mean {mean:.0} us, slowest {slowest:.0} us"
            );
        }
    }
}
