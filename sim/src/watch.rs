//! What processes take and send, as an oracle needs it: [`Note`]; and what ends one in the midst of it: [`Power`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::StationId;

/// A frame that passed between a station and its process.
#[derive(Clone, Debug)]
pub struct Note {
    /// Where.
    pub station: StationId,
    /// In which turn of its process; each number belongs to one turn of one process.
    pub turn: u64,
    /// Which way.
    pub passed: Passed,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Which way a frame passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The process took it.
    Taken {
        /// How often the process had read this station before in this turn.
        round: u64,
        /// When it had arrived.
        arrived: Duration,
    },
    /// The process sent it.
    Sent,
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) turn: u64,
    notes: Vec<Note>,
}

impl Watch {
    pub(crate) fn push(&mut self, station: StationId, passed: Passed, frame: &[u8]) {
        self.notes.push(Note { station, turn: self.turn, passed, frame: frame.to_vec() });
    }

    pub(crate) fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// The power of a machine. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<AtomicBool>);

impl Power {
    /// Whether it has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It fails, or is back.
    pub fn set_off(&self, off: bool) {
        self.0.store(off, Ordering::Relaxed);
    }
}
