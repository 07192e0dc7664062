//! The protocol once more (AoEr11, ATA8-ACS): what a target answers to a frame, computed from bytes, in order of arrival, without a disk.
//!
//! It shares no code with the engine and has another shape: one pass over the frame, replies as vectors.

use std::fmt;
use std::time::Duration;

use super::frame::UNSAVABLE;

mod ata;
mod late;

pub(super) use late::Lately;

/// What never changes about a target.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) shelf: u16,
    pub(super) slot: u8,
    pub(super) sectors: u64,
    pub(super) read_only: bool,
    pub(super) discard: bool,
    pub(super) discard_zeroes: bool,
    pub(super) big_blocks: bool,
    pub(super) sector_align: bool,
    pub(super) buffer_count: u16,
    pub(super) allow: Vec<[u8; 6]>,
}

/// A target as initiators have made it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) rules: Rules,
    pub(super) config: Vec<u8>,
    pub(super) mask: Vec<[u8; 6]>,
    pub(super) reserve: Vec<[u8; 6]>,
    pub(super) write_cache: bool,
    /// Whether the write cache was ever switched.
    pub(super) switched: bool,
    /// What was written lately; `None` on a single link.
    pub(super) lately: Option<Lately>,
}

/// The link that a frame came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) number: usize,
    pub(super) mac: [u8; 6],
    pub(super) mtu: usize,
}

impl Port {
    fn room(self) -> usize {
        self.mtu + 14
    }

    /// Sectors that a frame can carry.
    pub(super) fn fits(self) -> usize {
        ((self.mtu - 22) / 512).min(255)
    }
}

/// What a frame leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Quiet,
    /// No reply: the write comes too late.
    Late,
    /// This reply, whenever.
    Reply(Vec<u8>),
    /// This reply, once every earlier write has ended.
    AfterWrites(Vec<u8>),
    /// What the disk says: `good`, with data behind it after a read, or `failed` with the error register to be filled in.
    Disk {
        work: Work,
        good: Vec<u8>,
        failed: Vec<u8>,
    },
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Work {
    Read {
        lba: u64,
        count: u64,
    },
    Verify {
        lba: u64,
        count: u64,
    },
    /// `durable`: by the time of the reply.
    Write {
        lba: u64,
        data: Vec<u8>,
        durable: bool,
    },
    Trim {
        ranges: Vec<(u64, u64)>,
        durable: bool,
    },
    Flush,
}

/// Without the data.
impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { lba, count } => write!(f, "read lba {lba} count {count}"),
            Self::Verify { lba, count } => write!(f, "verify lba {lba} count {count}"),
            Self::Write { lba, data, .. } => write!(f, "write lba {lba} count {}", data.len() / 512),
            Self::Trim { ranges, .. } => write!(f, "trim {ranges:?}"),
            Self::Flush => f.write_str("flush"),
        }
    }
}

/// Whether the place where a target keeps its state refuses this one.
pub(super) fn is_refused_by_disk(config: &[u8], mask: &[[u8; 6]], reserve: &[[u8; 6]]) -> bool {
    config.first() == Some(&b'!') || mask.contains(&UNSAVABLE) || reserve.contains(&UNSAVABLE)
}

const BAD_ARGUMENT: u8 = 2;

/// The beginning of an answer that is not yet a reply: `Err` is an AoE error or silence.
type Outcome = Result<Answer, Refusal>;

enum Refusal {
    Quiet,
    Error(u8),
}

impl Model {
    /// Takes one frame, in order of arrival; `time` is the link's.
    pub(super) fn answer(&mut self, port: Port, time: Option<Duration>, f: &[u8]) -> Answer {
        if f.len() < 24 || f[12..14] != [0x88, 0xa2] || f[14] & 8 != 0 {
            return Answer::Quiet;
        }
        let source = mac(&f[6..]);
        let to_us = f[..6] == port.mac || f[..6] == [0xff; 6];
        let admitted = |list: &[[u8; 6]]| list.is_empty() || list.contains(&source);
        let (shelf, slot) = (u16::from_be_bytes([f[16], f[17]]), f[18]);
        let ours =
            (shelf == self.rules.shelf || shelf == 0xffff) && (slot == self.rules.slot || slot == 0xff);
        let sender = source[0] & 1 == 0 && source != [0; 6];
        if !to_us || !ours || !sender || !admitted(&self.rules.allow) || !admitted(&self.mask) {
            return Answer::Quiet;
        }
        let wildcard = shelf == 0xffff || slot == 0xff;
        let outcome = match f[19] {
            _ if f[14] >> 4 != 1 => Err(Refusal::Error(5)),
            command @ 0..=3 if f.len() < argument_end(command) => Err(Refusal::Quiet),
            0 => self.ata(port, f, wildcard, source),
            1 => self.query(port, f, wildcard),
            2 => self.edit_mask(port, f, wildcard),
            3 => self.set_reserve(port, f, wildcard, source),
            _ => Err(Refusal::Error(1)),
        };
        match outcome {
            Ok(Answer::Disk { work, .. }) if self.is_late(port, time, &work) => Answer::Late,
            Ok(answer) => answer,
            Err(Refusal::Quiet) => Answer::Quiet,
            Err(Refusal::Error(code)) if wildcard && code != 4 => Answer::Quiet,
            Err(Refusal::Error(code)) => {
                let changes = code != 5 && self.asks_for_change(f);
                let reply = self.refusal(port, f, code);
                if changes { Answer::AfterWrites(reply) } else { Answer::Reply(reply) }
            }
        }
    }

    fn asks_for_change(&self, f: &[u8]) -> bool {
        f[19] == 3 && matches!(f[24], 1 | 2)
    }

    fn query(&mut self, port: Port, f: &[u8], wildcard: bool) -> Outcome {
        let len = usize::from(u16::from_be_bytes([f[30], f[31]]));
        let string = || f[32..].get(..len).filter(|_| len <= 1024).ok_or(Refusal::Error(BAD_ARGUMENT));
        match f[29] & 0x0f {
            0 => {}
            1 if string()? == self.config => {}
            2 if self.config.starts_with(string()?) => {}
            1 | 2 => return Err(Refusal::Quiet),
            4 if wildcard => return Err(Refusal::Quiet),
            command @ (3 | 4) => {
                let string = string()?;
                if string != self.config {
                    if command == 3 && !self.config.is_empty() {
                        return Err(Refusal::Error(4));
                    }
                    if string.len() > port.room() - 32 {
                        return Err(Refusal::Error(BAD_ARGUMENT));
                    }
                    self.save(string.to_vec(), self.mask.clone(), self.reserve.clone())?;
                }
            }
            _ => return Err(Refusal::Error(BAD_ARGUMENT)),
        }
        let mut reply = self.header(port, f, 0x18, 0);
        self.append_config(port, f[29], &mut reply);
        Ok(Answer::Reply(padded(reply)))
    }

    fn edit_mask(&mut self, port: Port, f: &[u8], wildcard: bool) -> Outcome {
        let mut list = self.mask.clone();
        let mut stopped = None;
        match f[25] {
            0 => {}
            1 if wildcard => return Err(Refusal::Quiet),
            1 => {
                let bytes = f[28..].get(..usize::from(f[27]) * 8).ok_or(Refusal::Error(BAD_ARGUMENT))?;
                let limit = ((port.mtu - 14) / 8).min(255);
                for (index, directive) in bytes.chunks(8).enumerate() {
                    let who = mac(&directive[2..]);
                    let error = match directive[1] {
                        0 => 0,
                        1 if who[0] & 1 != 0 || who == [0; 6] => 1,
                        1 if list.contains(&who) => 0,
                        1 if list.len() == limit => 3,
                        1 => {
                            list.push(who);
                            0
                        }
                        2 => {
                            list.retain(|listed| *listed != who);
                            0
                        }
                        _ => 2,
                    };
                    if error != 0 {
                        stopped = Some([0, 1, error, index as u8]);
                        break;
                    }
                }
            }
            _ => return Err(Refusal::Error(BAD_ARGUMENT)),
        }
        self.save(self.config.clone(), list, self.reserve.clone())?;
        let mut reply = self.header(port, f, 0x18, 0);
        match stopped {
            Some(argument) => reply.extend(argument),
            None => {
                reply.extend([0, f[25], 0, self.mask.len() as u8]);
                for who in &self.mask {
                    reply.extend([0, 0]);
                    reply.extend(who);
                }
            }
        }
        Ok(Answer::Reply(padded(reply)))
    }

    fn set_reserve(&mut self, port: Port, f: &[u8], wildcard: bool, source: [u8; 6]) -> Outcome {
        match f[24] {
            0 => {}
            1 | 2 if wildcard => return Err(Refusal::Quiet),
            command @ (1 | 2) => {
                let bad = Refusal::Error(BAD_ARGUMENT);
                let Some(bytes) = f[26..].get(..usize::from(f[25]) * 6) else { return Err(bad) };
                let list: Vec<_> = bytes.chunks(6).map(mac).collect();
                let limit = ((port.mtu - 12) / 6).min(255);
                if list.len() > limit || list.iter().any(|who| who[0] & 1 != 0 || *who == [0; 6]) {
                    return Err(bad);
                }
                if command == 1 && !self.reserve.is_empty() && !self.reserve.contains(&source) {
                    return Err(Refusal::Error(6));
                }
                self.save(self.config.clone(), self.mask.clone(), list)?;
            }
            _ => return Err(Refusal::Error(BAD_ARGUMENT)),
        }
        let mut reply = self.header(port, f, 0x18, 0);
        self.append_reserve(f[24], &mut reply);
        let reply = padded(reply);
        Ok(if f[24] == 0 { Answer::Reply(reply) } else { Answer::AfterWrites(reply) })
    }

    fn save(&mut self, config: Vec<u8>, mask: Vec<[u8; 6]>, reserve: Vec<[u8; 6]>) -> Result<(), Refusal> {
        let same = config == self.config && mask == self.mask && reserve == self.reserve;
        if !same && is_refused_by_disk(&config, &mask, &reserve) {
            return Err(Refusal::Error(BAD_ARGUMENT));
        }
        (self.config, self.mask, self.reserve) = (config, mask, reserve);
        Ok(())
    }

    /// An advertisement to one station.
    pub(super) fn advertisement(&self, port: Port, to: [u8; 6]) -> Vec<u8> {
        let mut request = [0; 24];
        request[6..12].copy_from_slice(&to);
        request[19] = 1;
        let mut frame = self.header(port, &request, 0x18, 0);
        self.append_config(port, 0, &mut frame);
        padded(frame)
    }

    /// Who is told of the target: everybody, or whoever is let in.
    pub(super) fn audience(&self) -> Vec<[u8; 6]> {
        match (&self.rules.allow[..], &self.mask[..]) {
            ([], []) => vec![[0xff; 6]],
            (allow, []) => allow.to_vec(),
            ([], mask) => mask.to_vec(),
            (allow, mask) => mask.iter().filter(|who| allow.contains(who)).copied().collect(),
        }
    }

    /// 24 bytes of reply header.
    fn header(&self, port: Port, f: &[u8], ver_flags: u8, error: u8) -> Vec<u8> {
        let mut reply = f[6..12].to_vec();
        reply.extend(port.mac);
        reply.extend([0x88, 0xa2, ver_flags, error]);
        reply.extend(self.rules.shelf.to_be_bytes());
        reply.extend([self.rules.slot, f[19]]);
        reply.extend(&f[20..24]);
        reply
    }

    fn registers(&self, port: Port, f: &[u8], status: u8, error: u8, count: u8) -> Vec<u8> {
        let mut reply = self.header(port, f, 0x18, 0);
        reply.extend([f[24], error, count, status]);
        reply.extend(&f[28..34]);
        reply.extend([0, 0]);
        reply
    }

    fn append_config(&self, port: Port, command: u8, reply: &mut Vec<u8>) {
        let count = ((port.mtu.saturating_sub(36)) / 512).clamp(1, 255) as u8;
        let count = if self.rules.sector_align && count >= 8 { count / 8 * 8 } else { count };
        let string = &self.config[..self.config.len().min(port.room() - 32)];
        reply.extend(self.rules.buffer_count.to_be_bytes());
        // The firmware version is free; it is the engine's.
        reply.extend([0, 1, count, 0x10 | command & 0x0f]);
        reply.extend((string.len() as u16).to_be_bytes());
        reply.extend(string);
    }

    fn append_reserve(&self, command: u8, reply: &mut Vec<u8>) {
        reply.extend([command, self.reserve.len() as u8]);
        self.reserve.iter().for_each(|who| reply.extend(who));
    }

    /// The error flag: the argument of a known command, the lists in force, and nothing of the request's data.
    fn refusal(&self, port: Port, f: &[u8], code: u8) -> Vec<u8> {
        let mut reply = self.header(port, f, 0x1c, code);
        if f[19] <= 3 && f.len() >= argument_end(f[19]) {
            match f[19] {
                0 => reply.extend(&f[24..36]),
                1 => self.append_config(port, f[29], &mut reply),
                2 => reply.extend(&f[24..28]),
                _ => self.append_reserve(f[24], &mut reply),
            }
        }
        padded(reply)
    }
}

fn argument_end(command: u8) -> usize {
    [36, 32, 28, 26][usize::from(command)]
}

fn mac(bytes: &[u8]) -> [u8; 6] {
    bytes[..6].try_into().expect("six bytes")
}

pub(super) fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}
