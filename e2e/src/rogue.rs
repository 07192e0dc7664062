//! A target that misbehaves in one way at a time: a thread on a raw socket that answers as e7.3, by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::SECTOR;
use crate::client::Client;
use crate::request::{B, T};
use crate::rng::Rng;

/// Sectors it says it has: 4 MiB.
pub const SECTORS: u64 = 8192;
/// Sectors of a frame that it offers.
const SECTORS_PER_FRAME: u8 = 2;
/// Stray replies before each honest one.
const STRAYS: usize = 100;

/// Terminal control characters, as no program should print them: they clear the screen and set the window's title.
pub const CONTROL: &[u8] = b"\x1b[2J\x1b]0;owned\x07\r\n\xff";

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// Nothing is: it reads zeros and accepts every write.
    None,
    /// Good replies to reads end 100 bytes before their data does.
    ShortData,
    /// Good replies to reads carry no data at all, as a reply of 60 bytes.
    NoData,
    /// Good replies to IDENTIFY end in the middle of it.
    ShortIdentify,
    /// IDENTIFY data is nothing but zeros.
    EmptyIdentify,
    /// Replies to ATA commands, IDENTIFY aside, carry another tag than the request.
    WrongTag,
    /// Replies to ATA commands, IDENTIFY aside, lack the response flag.
    NoResponseFlag,
    /// Each IDENTIFY tells of half as many sectors as the one before.
    Shrinks,
    /// All replies come from e8.3, whomever the request was for.
    OtherAddress,
    /// All ATA commands but IDENTIFY are refused with this AoE error.
    Refuses(u8),
    /// All ATA commands but IDENTIFY fail, status 41 and error 04.
    Aborts,
    /// It answers so many requests, then none.
    SilentAfter(u64),
    /// It answers nothing but config queries.
    OnlyConfig,
    /// A hundred replies that nobody asked for come before each one that somebody did.
    Strays,
    /// Config replies announce a string of 1024 bytes and have none.
    LongString,
    /// Config string, model and serial number are [`CONTROL`].
    ControlCharacters,
}

/// The target, until dropped.
#[derive(Debug)]
pub struct Rogue {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Rogue {
    /// Starts it on an interface of the calling thread's namespace.
    #[track_caller]
    #[must_use]
    pub fn start(interface: &str, trick: Trick) -> Self {
        let client = Client::open(interface).expect("a raw socket");
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let player = Player {
            client,
            trick,
            identified: 0,
            answered: Arc::clone(&answered),
            rng: Rng::new(trick_seed(trick)),
        };
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || player.run(&until));
        Self { stop, answered, thread: Some(thread) }
    }

    /// Requests it has answered, in its manner.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the rogue panicked");
    }
}

fn trick_seed(trick: Trick) -> u64 {
    format!("{trick:?}").bytes().map(u64::from).sum()
}

struct Player {
    client: Client,
    trick: Trick,
    identified: u32,
    answered: Arc<AtomicU64>,
    rng: Rng,
}

impl Player {
    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let Some(request) = self.client.receive(Duration::from_millis(10)) else { continue };
            if !is_for_us(&request) || self.is_silent(&request) {
                continue;
            }
            let reply = self.spoil(&request, honest(&request));
            if self.trick == Trick::Strays {
                self.stray(&reply);
            }
            self.client.send(&reply);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_silent(&self, request: &[u8]) -> bool {
        match self.trick {
            Trick::SilentAfter(n) => self.answered.load(Ordering::Relaxed) >= n,
            Trick::OnlyConfig => request[19] != 1,
            _ => false,
        }
    }

    fn spoil(&mut self, request: &[u8], mut reply: Vec<u8>) -> Vec<u8> {
        let identify = request[19] == 0 && request[27] == 0xec;
        let other_ata = request[19] == 0 && request[27] != 0xec;
        let read = other_ata && reply.len() > 60;
        match self.trick {
            Trick::ShortData if read => reply.truncate(reply.len() - 100),
            Trick::NoData if read => reply.truncate(60),
            Trick::ShortIdentify if identify => reply.truncate(36 + 256),
            Trick::EmptyIdentify if identify => reply[36..].fill(0),
            Trick::WrongTag if other_ata => reply[23] ^= 0x5a,
            Trick::NoResponseFlag if other_ata => reply[14] = 0x10,
            Trick::Shrinks if identify => {
                set_capacity(&mut reply[36..], SECTORS >> self.identified.min(12));
                self.identified += 1;
            }
            Trick::OtherAddress => reply[16..19].copy_from_slice(&[0, 8, 3]),
            Trick::Refuses(code) if other_ata => {
                reply.truncate(60);
                reply[14..16].copy_from_slice(&[0x1c, code]);
                reply[24..36].copy_from_slice(&request[24..36]);
            }
            Trick::Aborts if other_ata => {
                reply.truncate(60);
                reply[25..28].copy_from_slice(&[0x04, request[26], 0x41]);
            }
            Trick::LongString if request[19] == 1 => reply[30..32].copy_from_slice(&[4, 0]),
            Trick::ControlCharacters if request[19] == 1 => {
                reply[31] = CONTROL.len() as u8;
                reply[32..32 + CONTROL.len()].copy_from_slice(CONTROL);
            }
            Trick::ControlCharacters if identify => {
                set_text(&mut reply[36..], 10, 10, CONTROL);
                set_text(&mut reply[36..], 27, 20, CONTROL);
                seal(&mut reply[36..]);
            }
            _ => {}
        }
        reply
    }

    /// Copies of a reply with other tags, lengths and contents.
    fn stray(&mut self, reply: &[u8]) {
        for _ in 0..STRAYS {
            let mut stray = reply.to_vec();
            self.rng.fill(&mut stray[20..24]);
            let from = 24 + self.rng.index(stray.len() - 24);
            self.rng.fill(&mut stray[from..]);
            stray.truncate(14 + self.rng.index(stray.len() - 13));
            self.client.send(&stray);
        }
    }
}

/// A request for e7.3 or everybody, at least as long as its command needs.
fn is_for_us(frame: &[u8]) -> bool {
    let least = match frame.get(19) {
        Some(0) => 36,
        Some(1) => 32,
        _ => return false,
    };
    frame.len() >= least
        && (frame[..6] == T || frame[..6] == B)
        && frame[14] == 0x10
        && (frame[16..18] == [0, 7] || frame[16..18] == [0xff, 0xff])
        && (frame[18] == 3 || frame[18] == 0xff)
}

/// What a target of [`SECTORS`] sectors would answer that forgets what is written.
fn honest(request: &[u8]) -> Vec<u8> {
    let mut reply = vec![0; 60];
    reply[..6].copy_from_slice(&request[6..12]);
    reply[6..12].copy_from_slice(&T);
    reply[12..19].copy_from_slice(&[0x88, 0xa2, 0x18, 0, 0, 7, 3]);
    reply[19..24].copy_from_slice(&request[19..24]);
    if request[19] == 1 {
        let ccmd = request[29] & 0xf;
        reply[24..32].copy_from_slice(&[0, 16, 0, 1, SECTORS_PER_FRAME, 0x10 | ccmd, 0, 0]);
        return reply;
    }
    reply[24..36].copy_from_slice(&request[24..36]);
    reply[25..28].copy_from_slice(&[0, 0, 0x40]);
    let lba = (0..6).map(|i| u64::from(request[28 + i]) << (8 * i)).sum::<u64>();
    let count = u64::from(request[26]);
    match request[27] {
        0xec => {
            reply.resize(36 + SECTOR, 0);
            fill_identify(&mut reply[36..]);
        }
        0x20 | 0x24 | 0x30 | 0x34 if lba + count > SECTORS => {
            reply[25..28].copy_from_slice(&[0x10, request[26], 0x41]);
        }
        0x20 | 0x24 => reply.resize(36 + usize::from(request[26]) * SECTOR, 0),
        _ => {}
    }
    reply
}

fn fill_identify(data: &mut [u8]) {
    set_text(data, 10, 10, b"0");
    set_text(data, 23, 4, b"1");
    set_text(data, 27, 20, b"ROGUE");
    set_word(data, 47, 0x8000);
    set_word(data, 49, 0x0200);
    set_word(data, 83, 0x7400);
    set_word(data, 84, 0x4000);
    set_word(data, 86, 0x3400);
    set_word(data, 87, 0x4000);
    set_capacity(data, SECTORS);
}

/// Sectors, in the words for 28 and for 48 bits (ACS words 60 and 100).
fn set_capacity(data: &mut [u8], sectors: u64) {
    for (word, shift) in [(60, 0), (61, 16), (100, 0), (101, 16), (102, 32), (103, 48)] {
        set_word(data, word, (sectors >> shift) as u16);
    }
    seal(data);
}

fn set_word(data: &mut [u8], word: usize, value: u16) {
    data[2 * word..2 * word + 2].copy_from_slice(&value.to_le_bytes());
}

/// Text in words, padded with spaces, the first of two characters in the high byte.
fn set_text(data: &mut [u8], word: usize, words: usize, text: &[u8]) {
    let padded: Vec<u8> = text.iter().copied().chain(std::iter::repeat(b' ')).take(2 * words).collect();
    for (i, pair) in padded.chunks(2).enumerate() {
        set_word(data, word + i, u16::from_be_bytes([pair[0], pair[1]]));
    }
}

/// Signature and checksum (ACS word 255).
fn seal(data: &mut [u8]) {
    data[510] = 0xa5;
    let sum = data[..511].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    data[511] = 0_u8.wrapping_sub(sum);
}
