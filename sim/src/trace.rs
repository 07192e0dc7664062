//! What happened to the last frames, and a digest of all: [`Trace`].

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use aoe_wire::show;

use crate::StationId;

/// Entries that are kept.
const KEPT: usize = 200;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It will arrive at this time at a station.
    Due(Duration, StationId),
    /// Lost by the weather, on the way to a station.
    Lost(StationId),
    /// Dropped by the test.
    Dropped,
    /// Sender or receiver is down.
    Down(StationId),
    /// Longer than the MTU of this station.
    TooLong(StationId),
    /// No process has this station open, or its buffer is full.
    Unheard(StationId),
    /// Nobody has the address.
    NoStation,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    from: StationId,
    fate: Fate,
    frame: Vec<u8>,
}

/// The last frames, and a digest of all there ever were.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    entries: VecDeque<Entry>,
    digest: u64,
}

impl Trace {
    pub(crate) fn push(&mut self, at: Duration, from: StationId, fate: Fate, frame: &[u8]) {
        let (kind, when, to) = match fate {
            Fate::Due(when, to) => (1, when, to.0),
            Fate::Lost(to) => (2, Duration::ZERO, to.0),
            Fate::Dropped => (3, Duration::ZERO, 0),
            Fate::Down(of) => (4, Duration::ZERO, of.0),
            Fate::TooLong(of) => (5, Duration::ZERO, of.0),
            Fate::Unheard(of) => (6, Duration::ZERO, of.0),
            Fate::NoStation => (7, Duration::ZERO, 0),
        };
        for word in
            [at.as_nanos() as u64, from.0 as u64, kind, when.as_nanos() as u64, to as u64, frame.len() as u64]
        {
            self.mix(word);
        }
        for chunk in frame.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let mut bytes = match self.entries.len() {
            KEPT => self.entries.pop_front().map(|oldest| oldest.frame).unwrap_or_default(),
            _ => Vec::new(),
        };
        bytes.clear();
        bytes.extend_from_slice(frame);
        self.entries.push_back(Entry { at, from, fate, frame: bytes });
    }

    /// Two runs with equal digests had the same frames at the same times with the same fates.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    fn mix(&mut self, word: u64) {
        self.digest = (self.digest.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// One line for each frame that is kept, the oldest first.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} s  {} ", self.at.as_secs_f64(), self.from)?;
        match self.fate {
            Fate::Due(when, to) => {
                write!(f, "> {to} in {:.0} us", when.saturating_sub(self.at).as_secs_f64() * 1e6)?;
            }
            Fate::Lost(to) => write!(f, "> {to} LOST")?,
            Fate::Dropped => f.write_str("DROPPED by the test")?,
            Fate::Down(of) => write!(f, "LOST, {of} is down")?,
            Fate::TooLong(of) => write!(f, "LOST, too long for {of}")?,
            Fate::Unheard(of) => write!(f, "LOST, {of} does not listen")?,
            Fate::NoStation => f.write_str("LOST, nobody has the address")?,
        }
        write!(f, "  {}", show(&self.frame))
    }
}
