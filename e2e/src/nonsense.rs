//! Frames of all kinds of nonsense, and what they may do.

use crate::disk::SECTORS;
use crate::request::{Request, flush, identify, read, write};
use crate::rng::Rng;
use crate::{B, S, SECTOR, T, ata, config, mac, mask, reserve};

/// A jumbo frame: 9000 bytes and the Ethernet header.
const LONGEST: usize = 9014;
/// Most sectors that fit one.
const MOST: u8 = 17;

/// What a frame is permitted to write: where, and what (AoEr11 §2 and §3, ATA8-ACS write commands). Everything that is not
/// a complete, unambiguous write for e7.3 is permitted nothing.
#[must_use]
pub fn permitted(frame: &[u8], fua: bool) -> Option<(u64, &[u8])> {
    let argument = frame.get(24..36)?;
    let for_us = (frame[..6] == T || frame[..6] == B) && frame[12..14] == [0x88, 0xa2];
    let from_a_station = frame[6] & 1 == 0 && frame[6..12] != [0; 6];
    // Version 1 and no response; the other flags and the error byte mean nothing in a request.
    let request = frame[14] & 0xf8 == 0x10;
    let own_address_and_ata = frame[16..20] == [0, 7, 3, 0];
    if !(for_us && from_a_station && request && own_address_and_ata) {
        return None;
    }
    let (aflags, count, command) = (argument[0], argument[2], argument[3]);
    let lba = (0..6).map(|i| u64::from(argument[4 + i]) << (8 * i)).sum::<u64>();
    let lba = match command {
        0x30 | 0xca => lba & 0x0fff_ffff,
        0x34 | 0x35 if aflags & 0x40 != 0 || lba < 1 << 28 => lba,
        0x3d | 0xce if fua && (aflags & 0x40 != 0 || lba < 1 << 28) => lba,
        _ => return None,
    };
    let payload = frame[36..].get(..usize::from(count) * SECTOR)?;
    let fits = (1..=MOST).contains(&count) && lba + u64::from(count) <= SECTORS;
    fits.then_some((lba, payload))
}

/// Frames of a list that would lock the test out are defused: commands 2 and 3 that carry addresses have their own cases.
pub fn defuse(frame: &mut [u8]) {
    match frame.get(19) {
        Some(2) if frame.len() > 28 && frame[25] == 1 => frame[25] = 2,
        Some(3) if frame.len() > 26 && (frame[24] == 1 || frame[24] == 2) => frame[24] = 3,
        _ => {}
    }
}

/// Where nonsense comes from.
#[derive(Debug)]
pub struct Nonsense {
    rng: Rng,
    pool: Vec<u8>,
}

impl Nonsense {
    /// The nonsense of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut pool = vec![0; 1 << 16];
        rng.fill(&mut pool);
        Self { rng, pool }
    }

    fn bytes(&mut self, len: usize) -> &[u8] {
        let at = self.rng.index(self.pool.len() - len + 1);
        &self.pool[at..at + len]
    }

    /// Random from byte 14 on, or from a later field on what comes before being right.
    pub fn random(&mut self) -> Vec<u8> {
        let len =
            if self.rng.one_in(2) { 14 + self.rng.index(100) } else { 14 + self.rng.index(LONGEST - 13) };
        let mut frame = self.bytes(len).to_vec();
        let command = self.rng.below(4) as u8;
        let right = Request::new(command, Vec::new()).bytes();
        let until = [14, 16, 19, 20, 24][self.rng.index(5)].min(len);
        frame[..until].copy_from_slice(&right[..until]);
        frame
    }

    /// A valid request with any payload.
    fn valid(&mut self) -> Vec<u8> {
        let lba = if self.rng.one_in(20) { SECTORS - self.rng.below(20) } else { self.rng.below(SECTORS) };
        let count = 1 + self.rng.below(u64::from(MOST)) as u8;
        let request = match self.rng.below(14) {
            0..=3 => write(lba, self.bytes(usize::from(count) * SECTOR)),
            4 => ata(0x01, 0, count, 0x30).lba(lba).data(self.bytes(usize::from(count) * SECTOR)),
            5 => read(lba, count),
            6 => ata(0, 0, count, 0x20).lba(lba),
            7 => identify(),
            8 => config(self.rng.below(5) as u8, &self.pool[..self.rng.index(40)]),
            9 => mask(0, &[(1, mac(9)), (2, mac(8))]),
            10 => mask(1, &[(0, S), (0, S), (2, mac(8))]),
            11 => reserve(0, &[S, mac(9)]),
            12 => ata(0, 0x02, 0, 0xef),
            _ if self.rng.one_in(100) => flush(),
            _ => ata(0, 0, 0, 0xe5),
        };
        request.bytes()
    }

    /// A valid request in which up to four bytes, most of them in the headers, and perhaps the length, have changed.
    pub fn mutated(&mut self) -> Vec<u8> {
        let mut frame = self.valid();
        for _ in 0..self.rng.below(4) {
            let reach = if self.rng.one_in(4) { frame.len() } else { 48 };
            let at = self.rng.index(reach);
            frame[at] = match self.rng.below(4) {
                0 => [0, 1, 2, 3, 0x10, 0x40, 0x7f, 0x80, 0xff][self.rng.index(9)],
                1 => frame[at] ^ (1 << self.rng.below(8)),
                2 => frame[at].wrapping_add(1),
                _ => self.rng.next_u64() as u8,
            };
        }
        match self.rng.below(12) {
            0 => frame.truncate(14 + self.rng.index(frame.len() - 13)),
            1 => frame.resize(LONGEST.min(frame.len() + self.rng.index(600)), 0xee),
            _ => {}
        }
        frame
    }
}

/// What every frame of the target's must be, whatever it answers.
#[track_caller]
pub fn presentable(frame: &[u8]) {
    let well_addressed = frame[0] & 1 == 0 && frame[6..12] == T && frame[12..14] == [0x88, 0xa2];
    let no_stale_flags = matches!(frame[14..16], [0x18, 0] | [0x1c, 1..=6]);
    let ours = frame[16..19] == [0, 7, 3];
    let sized = (60..=LONGEST).contains(&frame.len());
    assert!(well_addressed && no_stale_flags && ours && sized, "sends {}", crate::reply::start(frame));
}
