//! What is compared: [`ROWS`], each a load with the programs that bear it and the floors that must be reached.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who bears a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    /// Ours.
    Ours,
    /// Debian's `vblade`.
    Classic,
    /// A packet socket that answers without a disk: what the socket path leaves to be had.
    Reflector,
    /// The same file without a network: what the disk leaves to be had.
    Fio,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "vblade-rs",
            Self::Classic => "vblade",
            Self::Reflector => "reflector",
            Self::Fio => "fio",
        })
    }
}

/// What the client asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Of 512 bytes, in each request.
    pub(crate) sectors: u8,
    pub(crate) mtu: u32,
    /// Requests in flight.
    pub(crate) window: u16,
    pub(crate) write: bool,
}

/// Where the data lies and what the reply to a write promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A file in memory, volatile.
    Cached,
    /// A file on a drive, past the page cache.
    Direct,
    /// A file on a drive, each write durable before its reply.
    Durable,
}

/// What must be reached, as the median of the ratios of each round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// Replies per second, at least so many times those of another.
    Rate(Program, f64),
    /// Time of the target's processor for each request, at most so many times that of another.
    Processor(Program, f64),
}

/// One line of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    pub(crate) mode: Mode,
    pub(crate) floors: &'static [Floor],
}

impl Row {
    /// Those that bear the load, in this order in each round.
    pub(crate) fn programs(&self) -> [Program; 3] {
        let bound = if self.mode == Mode::Cached { Program::Reflector } else { Program::Fio };
        [Program::Ours, Program::Classic, bound]
    }

    /// What `program`, which is one of the two targets, is told about the mode.
    pub(crate) fn options(&self, program: Program) -> &'static [&'static str] {
        match (self.mode, program) {
            (Mode::Cached, Program::Ours) => &["--cache", "writeback"],
            (Mode::Direct, _) => &["-d"],
            (Mode::Durable, Program::Classic) => &["-s"],
            _ => &[],
        }
    }

    /// Bytes in each request.
    pub(crate) fn request_len(&self) -> usize {
        usize::from(self.load.sectors) * 512
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { sectors, mtu, window, write } = self.load;
        let size = f64::from(sectors) / 2.0;
        let mode = match (self.mode, write) {
            (Mode::Cached, true) => "cached writes, writeback",
            (Mode::Cached, false) => "cached reads",
            (Mode::Direct, true) => "O_DIRECT writes",
            (Mode::Direct, false) => "O_DIRECT reads",
            (Mode::Durable, true) => "durable writes",
            (Mode::Durable, false) => "reads",
        };
        write!(f, "{size} KiB {mode}, MTU {mtu}, window {window}")
    }
}

const fn row(name: &'static str, mode: Mode, load: (u8, u32, u16, bool), floors: &'static [Floor]) -> Row {
    let (sectors, mtu, window, write) = load;
    Row { name, load: Load { sectors, mtu, window, write }, mode, floors }
}

/// Every row, by its name.
pub(crate) const ROWS: &[Row] = &[
    row(
        "read-1k-w16",
        Mode::Cached,
        (2, 1500, 16, false),
        &[Floor::Rate(Program::Classic, 1.25), Floor::Processor(Program::Classic, 0.7)],
    ),
    row(
        "read-1k-w64",
        Mode::Cached,
        (2, 1500, 64, false),
        &[Floor::Rate(Program::Classic, 1.5), Floor::Rate(Program::Reflector, 1.0)],
    ),
    row("read-1k-w1", Mode::Cached, (2, 1500, 1, false), &[Floor::Rate(Program::Classic, 1.0)]),
    row("write-1k-w16", Mode::Cached, (2, 1500, 16, true), &[Floor::Rate(Program::Classic, 1.2)]),
    row("read-8k5-w16", Mode::Cached, (17, 9000, 16, false), &[Floor::Rate(Program::Classic, 1.2)]),
    row("write-8k5-w16", Mode::Cached, (17, 9000, 16, true), &[Floor::Rate(Program::Classic, 1.1)]),
    row(
        "direct-8k-w16",
        Mode::Direct,
        (16, 9000, 16, false),
        &[Floor::Rate(Program::Classic, 2.3), Floor::Rate(Program::Fio, 0.85)],
    ),
    row(
        "direct-8k-w64",
        Mode::Direct,
        (16, 9000, 64, false),
        &[Floor::Rate(Program::Classic, 2.6), Floor::Rate(Program::Fio, 0.85)],
    ),
    row(
        "durable-4k-w16",
        Mode::Durable,
        (8, 9000, 16, true),
        &[Floor::Rate(Program::Classic, 3.5), Floor::Rate(Program::Fio, 0.75)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_floors_against_programs_that_it_runs() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(!row.floors.is_empty(), "{}", row.name);
            for floor in row.floors {
                let (Floor::Rate(other, _) | Floor::Processor(other, _)) = floor;
                assert!(row.programs()[1..].contains(other), "{}: {other}", row.name);
            }
        }
    }

    #[test]
    fn every_request_fits_one_frame_of_its_row() {
        for row in ROWS {
            assert!(36 + row.request_len() <= row.load.mtu as usize + 14, "{}", row.name);
        }
    }

    #[test]
    fn a_row_says_what_is_asked() {
        let said = |name| ROWS.iter().find(|row| row.name == name).map(ToString::to_string);
        assert_eq!(said("read-8k5-w16").as_deref(), Some("8.5 KiB cached reads, MTU 9000, window 16"));
        assert_eq!(said("durable-4k-w16").as_deref(), Some("4 KiB durable writes, MTU 9000, window 16"));
    }
}
