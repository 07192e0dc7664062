//! The commands on a target's sectors, and on how well they are reached.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::seconds;

/// Read sectors into a file or to standard output
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// File or block device to write to; - is standard output
    #[arg(value_name = "file", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// Do not tell how far it has come
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Write a file or standard input to a target's sectors
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// File or block device to read from; - is standard input
    #[arg(value_name = "file", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// Fill up the last sector with zeros
    #[arg(long)]
    pub(crate) pad: bool,

    /// Do not tell how far it has come
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Copy an image or block device to a target, or back
///
/// One of source and destination is a target, the other is a file; write ./e7.3 for a file of such a name. What was copied is on
/// stable storage when the command ends well, unless the target acknowledges flushes without doing them, as the classic vblade does. One
/// that breaks off says which sectors are, and how to go on.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Target, file or block device to copy from
    #[arg(value_name = "source", value_hint = ValueHint::FilePath)]
    pub(crate) source: OsString,

    /// Target, file or block device to copy to
    #[arg(value_name = "destination", value_hint = ValueHint::FilePath)]
    pub(crate) destination: OsString,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// Read back what was copied, and compare
    #[arg(long)]
    pub(crate) verify: bool,

    /// Do not tell how far it has come
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Which sectors a command is about.
#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// First sector of 512 bytes
    #[arg(long, value_name = "sectors", default_value_t = 0)]
    pub(crate) offset: u64,

    /// Number of sectors, at least 1 [default: all after the offset]
    #[arg(long, value_name = "sectors", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) length: Option<u64>,
}

/// Make everything that a target has acknowledged durable (FLUSH CACHE)
#[derive(Debug, Args)]
pub(crate) struct FlushArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,
}

/// Tell a target that the content of sectors is not needed any more (TRIM)
///
/// The sectors are lost. Only targets that announce TRIM can do it.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["length", "all"]).required(true))]
pub(crate) struct TrimArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// First sector of 512 bytes
    #[arg(long, value_name = "sectors", default_value_t = 0)]
    pub(crate) offset: u64,

    /// Number of sectors, at least 1
    #[arg(long, value_name = "sectors", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) length: Option<u64>,

    /// The whole disk; takes --force
    #[arg(long, requires = "force", conflicts_with = "offset")]
    pub(crate) all: bool,

    /// Yes, lose the content of the whole disk
    #[arg(long)]
    pub(crate) force: bool,
}

/// Find out which frame sizes pass between this host and a target
///
/// Tries each path with requests and replies of growing size, and says what limits them and what to change. Exits with 1 when a size
/// does not pass that both ends claim to carry.
#[derive(Debug, Args)]
pub(crate) struct SancheckArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// JSON: one object for each path
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure how much a target does
///
/// Keeps requests of one frame each in flight and counts replies. Reads unless told otherwise; writing destroys what the range holds,
/// and takes --force.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// Requests in flight, 1 to 65535; the target's buffer count is a limit, too
    ///
    /// Latency counts from when a request is made: where fewer are let through to the target, the wait for their turn is part of it.
    #[arg(long, value_name = "requests", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,

    /// Sectors in a request, 1 to 255 [default: as many as one frame carries, and the range has]
    #[arg(long, value_name = "sectors", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) sectors: Option<u8>,

    /// Part of the requests that read, in percent; the others write
    #[arg(long, value_name = "percent", default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) read: u8,

    /// Only write; the same as --read 0
    #[arg(long, conflicts_with = "read")]
    pub(crate) write: bool,

    /// Yes, destroy what the range holds; needed for --write, and for --read below 100
    #[arg(long)]
    pub(crate) force: bool,

    /// Ask for blocks in random order; this is the default
    #[arg(long, conflicts_with = "sequential")]
    pub(crate) random: bool,

    /// Ask for one block after the other
    #[arg(long)]
    pub(crate) sequential: bool,

    /// How long to measure, in seconds
    #[arg(long, value_name = "seconds", default_value = "10", value_parser = seconds)]
    pub(crate) duration: Duration,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// Check that what is read is what was written in this run
    #[arg(long)]
    pub(crate) verify: bool,

    /// JSON: one object
    #[arg(long)]
    pub(crate) json: bool,
}
