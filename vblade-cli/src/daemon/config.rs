//! The configuration with a meaning: what the files say, resolved, with defaults filled in and every mistake already refused.
//!
//! The way of a file: `load` reads it and the drop-in directory beside it; `section` and `value` give keys and values a type, and say
//! where they are written; `process`, `groups` and `export` say what they mean; `conflict` compares the exports with each other, by the
//! `files` that they name. Reading goes on after a `mistake`, so that all of them are told at once. `check` is the command that tells
//! them.

use std::net::SocketAddr;
use std::path::PathBuf;

use aoe_target::TargetOptions;

use crate::cli::{Cache, LinkKind};

mod check;
mod conflict;
mod export;
mod files;
mod groups;
mod load;
mod mistake;
mod pattern;
mod process;
mod section;
mod source;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use check::check;
pub(crate) use conflict::among;
pub(crate) use groups::initiator_names;
pub(crate) use load::Surroundings;
pub(crate) use mistake::Mistakes;
pub(crate) use pattern::Pattern;
pub(crate) use source::Source;

/// Everything that `vbladed` is told by its files.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) daemon: Daemon,
    /// By address; no two overlap on an interface that both name (globs are judged again when interfaces are there).
    pub(crate) exports: Vec<Export>,
}

/// The process, not its disks. Of these, a reload takes up what can be changed while serving, and names what takes a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    /// The control socket. Default `/run/vblade/control.sock`.
    pub(crate) socket: PathBuf,
    /// The group that may use it, by name or number; the mode is 0660.
    pub(crate) socket_group: Option<String>,
    /// Where Prometheus asks; a loopback address. Default none.
    pub(crate) metrics: Option<SocketAddr>,
    /// As `vblade --state-dir`.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where traces are written. Default `trace` in the state directory.
    pub(crate) trace_dir: Option<PathBuf>,
    pub(crate) link: LinkKind,
    /// Bytes of receive buffer for each interface.
    pub(crate) recv_buffer: usize,
    /// Whether the serving thread is shut in.
    pub(crate) sandbox: bool,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// Where it was written: `/etc/vblade/conf.d/rack1.toml:12`.
    pub(crate) origin: String,
    pub(crate) source: Source,
    pub(crate) netifs: Vec<Pattern>,
    pub(crate) cache: Cache,
    pub(crate) read_only: bool,
    /// Sectors of 512 bytes.
    pub(crate) offset: u64,
    pub(crate) length: Option<u64>,
    /// Requests that the disk works on at a time.
    pub(crate) queue_depth: u16,
    /// As `vblade --force`: without locks and claims.
    pub(crate) force: bool,
    /// Address, identity, buffer count, allow and deny lists, switches, rate limits.
    pub(crate) target: TargetOptions,
}
