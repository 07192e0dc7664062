//! Writes to e7.3 until it falls silent, and says afterwards whether what it acknowledged is on its disk: for `power-cut.sh`.
//!
//! `stamp write INTERFACE MAC SECTORS NOTES` writes at random to the target with this Ethernet address, 32 requests at a time,
//! and a FLUSH among every hundred, until it has heard nothing for 3 s; NOTES receives what it knows then.
//!
//! `stamp check IMAGE NOTES write|flush` compares, for a target that promises durability with the answer to a write, or to a
//! flush. Exit status 1: something is lost or torn.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fs, process};

use e2e::client::Client;
use e2e::request::{S, flush, write};
use e2e::rng::Rng;
use e2e::stamp::{Promise, Sector, content, judge};

/// Requests outstanding.
const WINDOW: usize = 32;
/// Sectors of a request at most: what a jumbo frame carries, in whole pages.
const MOST: u64 = 16;
/// A target that has said nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", interface, mac, sectors, notes] => {
            let sectors = sectors.parse().expect("a number of sectors");
            let known = Writer::new(interface, mac, sectors).run();
            fs::write(notes, pack(&known)).expect("the notes");
            ExitCode::SUCCESS
        }
        ["check", image, notes, promise @ ("write" | "flush")] => {
            let promise = if promise == "write" { Promise::Write } else { Promise::Flush };
            check(Path::new(image), &unpack(&fs::read(notes).expect("the notes")), promise)
        }
        _ => panic!("usage: stamp write INTERFACE MAC SECTORS NOTES | stamp check IMAGE NOTES write|flush"),
    }
}

/// What was asked, by its tag.
enum Asked {
    Write {
        lba: u64,
        count: u64,
        stamp: u64,
    },
    /// With what had been answered of each sector when it was sent.
    Flush(Vec<u64>),
}

struct Writer {
    client: Client,
    target: [u8; 6],
    known: Vec<Sector>,
    open: HashMap<[u8; 4], Asked>,
    rng: Rng,
    last: u64,
}

impl Writer {
    fn new(interface: &str, mac: &str, sectors: usize) -> Self {
        let mut bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a MAC address"));
        Self {
            client: Client::open(interface).expect("a raw socket"),
            target: [0; 6].map(|_: u8| bytes.next().expect("six bytes")),
            known: vec![Sector::default(); sectors],
            open: HashMap::new(),
            rng: Rng::new(process::id().into()),
            last: 0,
        }
    }

    fn run(mut self) -> Vec<Sector> {
        let (mut answers, mut flushes, mut refused) = (0, 0, 0);
        loop {
            while self.open.len() < WINDOW {
                self.ask();
            }
            let Some(frame) = self.client.receive(SILENCE) else { break };
            let (Some(tag), Some(&status)) = (frame.get(20..24), frame.get(27)) else { continue };
            let Some(asked) = tag.try_into().ok().and_then(|tag: [u8; 4]| self.open.remove(&tag)) else {
                continue;
            };
            match asked {
                // The machine may notice the end of its disk before its own.
                _ if status != 0x40 => refused += 1,
                Asked::Write { lba, count, stamp } => {
                    answers += 1;
                    for sector in &mut self.known[lba as usize..(lba + count) as usize] {
                        sector.answered = sector.answered.max(stamp);
                    }
                }
                Asked::Flush(answered) => {
                    flushes += 1;
                    if flushes == 1 {
                        println!("the first flush is answered");
                    }
                    for (sector, answered) in self.known.iter_mut().zip(answered) {
                        sector.flushed = sector.flushed.max(answered);
                    }
                }
            }
        }
        let sent = self.last;
        println!("{sent} writes sent, {answers} answered, {flushes} flushes answered, {refused} refused");
        self.known
    }

    fn ask(&mut self) {
        let request = if self.rng.one_in(100) {
            let answered = self.known.iter().map(|sector| sector.answered).collect();
            (flush(), Asked::Flush(answered))
        } else {
            let count = 1 + self.rng.below(MOST);
            let lba = self.rng.below(self.known.len() as u64 - count + 1);
            self.last += 1;
            let stamp = self.last;
            for sector in &mut self.known[lba as usize..(lba + count) as usize] {
                sector.sent = stamp;
            }
            let data: Vec<u8> = (lba..lba + count).flat_map(|lba| content(stamp, lba)).collect();
            (write(lba, &data), Asked::Write { lba, count, stamp })
        };
        let frame = request.0.to(self.target).from(S).bytes();
        self.open.insert([frame[20], frame[21], frame[22], frame[23]], request.1);
        self.client.send(&frame);
    }
}

fn check(image: &Path, known: &[Sector], promise: Promise) -> ExitCode {
    let verdict = judge(&fs::read(image).expect("the image"), known, promise);
    let (lost, torn) = (verdict.lost.len(), verdict.torn.len());
    println!(
        "{} sectors promised: {} there, {lost} lost; {torn} torn; {} answered and not promised are not there",
        verdict.kept + lost,
        verdict.kept,
        verdict.forgotten
    );
    for lba in verdict.lost.iter().chain(&verdict.torn).take(10) {
        println!("LBA {lba}: {:?}", known[*lba as usize]);
    }
    ExitCode::from(u8::from(lost + torn > 0))
}

fn pack(known: &[Sector]) -> Vec<u8> {
    known.iter().flat_map(|s| [s.sent, s.answered, s.flushed]).flat_map(u64::to_le_bytes).collect()
}

fn unpack(bytes: &[u8]) -> Vec<Sector> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let sector = |bytes: &[u8]| Sector {
        sent: number(&bytes[..8]),
        answered: number(&bytes[8..16]),
        flushed: number(&bytes[16..]),
    };
    bytes.chunks_exact(24).map(sector).collect()
}
