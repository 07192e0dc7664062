//! What the fuzz target `config` looks at: texts of files in, what they mean or what is said of them out. It is no interface.

use std::path::{Path, PathBuf};

use aoe_target::TargetOptions;
use clap::ValueEnum;

use super::cli::Format;
use super::config::{Config, Surroundings};
use super::import::{Draft, read_text};

/// An export that was accepted.
#[derive(Clone, Debug)]
pub struct Export {
    /// Where it was written: file and line.
    pub origin: String,
    /// Address, lists and limits.
    pub target: TargetOptions,
    /// The file, unless it is another target's disk.
    pub path: Option<PathBuf>,
    /// Names and globs.
    pub interfaces: Vec<String>,
    /// Whether it is never written to.
    pub read_only: bool,
    /// Whether it may write to what others write to.
    pub force: bool,
    /// The first sector, and how many.
    pub part: (u64, Option<u64>),
    /// Requests that the disk works on at a time.
    pub queue_depth: u16,
}

/// Reads files with their names, of which the first is the main file, on a host where no file can be found.
///
/// # Errors
///
/// What `vbladed check` says: a line for each mistake.
pub fn config(files: &[(&str, &[u8])]) -> Result<Vec<Export>, String> {
    let nowhere = Surroundings { host: "host".to_owned(), ethers: PathBuf::new(), look: |_| None };
    let files = files.iter().map(|(name, text)| (Path::new(*name), text.to_vec()));
    let config = Config::parse_all(files, &nowhere).map_err(|mistakes| mistakes.to_string())?;
    let exports = config.exports.into_iter().map(|export| Export {
        path: export.source.path(),
        interfaces: export.netifs.into_iter().map(|pattern| pattern.0).collect(),
        origin: export.origin,
        target: export.target,
        read_only: export.read_only,
        force: export.force,
        part: (export.offset, export.length),
        queue_depth: export.queue_depth,
    });
    Ok(exports.collect())
}

/// What was made of another target's configuration.
#[derive(Clone, Debug)]
pub struct Imported {
    /// A configuration, which is read before it is written.
    pub text: String,
    /// How many exports are in it.
    pub exports: usize,
    /// What is said of what is not in it, in a line each.
    pub remarks: Vec<String>,
    /// Whether something is not in it because it is damaged.
    pub left_out: bool,
}

/// Imports a file called `name`, in the format `from` as it is called on the command line, or in that which it seems to have. `None` for
/// what is not one file.
#[must_use]
pub fn import(from: &str, name: &str, text: &str) -> Option<Imported> {
    let mut draft = Draft::default();
    read_text(Format::from_str(from, false).ok(), name, text, &mut draft).ok()?;
    let (text, exports, left_out) = (draft.to_string(), draft.count(), draft.left_out);
    Some(Imported { text, exports, remarks: draft.remarks().collect(), left_out })
}
