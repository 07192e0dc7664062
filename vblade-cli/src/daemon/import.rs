//! `vbladed import`: makes a configuration of what other targets were configured by.
//!
//! Each reader makes a [`Draft`] of its files: exports, groups, and remarks on what has no counterpart here. A remark is a comment in the
//! result and a line on standard error, so that nothing is lost in silence. The result is read as `vbladed` would read it before it is
//! written; it has no section that a drop-in may not have.

use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::TERM_SIGNALS;

use super::cli::Format;
use super::config::{Config, Surroundings};

mod classic;
mod debian;
mod draft;
mod ggaoed;
mod openwrt;
mod persist;

pub(super) use self::classic::Classic;
pub(super) use self::debian::{Variables, files};
pub(super) use self::draft::Draft;

/// The most bytes that a file may have.
const LARGEST: u64 = 16 << 20;

/// Reads `files` and writes what they say to standard output, or to the file `output`, which must not be there unless with `force`.
/// 0 when all was taken over, 1 when something was left out because it is damaged or could not be written, 2 when there is no result.
pub(crate) fn import(
    from: Option<Format>,
    files: &[PathBuf],
    output: Option<&Path>,
    force: bool,
) -> ExitCode {
    let mut draft = Draft::default();
    for file in files {
        if let Err(error) = read(from, file, &mut draft) {
            return complain(&format_args!("{}: {error}; nothing was written", file.display()), 2);
        }
    }
    let text = draft.to_string();
    let name = output.unwrap_or(Path::new("(result)"));
    if let Err(mistakes) = Config::parse(name, text.clone().into(), &Surroundings::ours()) {
        complain(&mistakes, 2);
        return complain(
            &"what was imported is no configuration for the reasons above; nothing was written",
            2,
        );
    }
    for remark in draft.remarks() {
        complain(&remark, 0);
    }
    let written = match output {
        Some(output) => write_file(output, text.as_bytes(), force),
        None => io::stdout().write_all(text.as_bytes()),
    };
    if let Err(error) = written {
        let remedy =
            if error.kind() == io::ErrorKind::AlreadyExists { " (--force to replace it)" } else { "" };
        return complain(&format_args!("{}: cannot be written: {error}{remedy}", name.display()), 1);
    }
    ExitCode::from(u8::from(draft.left_out))
}

fn complain(what: &dyn Display, status: u8) -> ExitCode {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr(), "vbladed: {what}");
    ExitCode::from(status)
}

/// Adds what a file or directory says.
fn read(from: Option<Format>, path: &Path, draft: &mut Draft) -> io::Result<()> {
    if path.is_dir() {
        return match from.unwrap_or_else(|| of_directory(path)) {
            Format::VbladePersist => persist::read(path, draft),
            Format::Debian => read_all(path, draft),
            _ => Err(io::Error::other("a directory; name the file")),
        };
    }
    read_text(from, &path.display().to_string(), &text(path)?, draft)
}

/// Adds what the text of a file says.
pub(super) fn read_text(from: Option<Format>, file: &str, text: &str, draft: &mut Draft) -> io::Result<()> {
    match from.unwrap_or_else(|| of_text(text)) {
        Format::Debian => debian::read(file, text, draft),
        Format::Openwrt => openwrt::read(file, text, draft),
        Format::Ggaoed => ggaoed::read(file, text, draft),
        Format::VbladePersist => return Err(io::Error::other("not a directory, as vblade-persist has them")),
    }
    Ok(())
}

/// Reads Debian's directory: the files that end in `.conf`, by name.
fn read_all(dir: &Path, draft: &mut Draft) -> io::Result<()> {
    for file in debian::files(dir)? {
        match text(&file) {
            Ok(text) => debian::read(&file.display().to_string(), &text, draft),
            Err(error) => draft.leave_out(&file.display(), &error),
        }
    }
    Ok(())
}

/// The text of a regular file.
pub(super) fn text(file: &Path) -> io::Result<String> {
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(io::Error::other("not a regular file of at most 16 MiB"));
    }
    String::from_utf8(fs::read(file)?).map_err(|_| io::Error::other("not UTF-8"))
}

fn of_directory(dir: &Path) -> Format {
    let has_files = debian::files(dir).is_ok_and(|files| !files.is_empty());
    if has_files { Format::Debian } else { Format::VbladePersist }
}

fn of_text(text: &str) -> Format {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match lines.next() {
        Some(line) if line.starts_with('[') => Format::Ggaoed,
        Some(line) if first(line).is_some_and(|word| word == "config" || word == "package") => {
            Format::Openwrt
        }
        _ => Format::Debian,
    }
}

/// Writes a file whole or not at all, for its owner to change and for everybody to read who may by the umask.
fn write_file(path: &Path, text: &[u8], force: bool) -> io::Result<()> {
    // A signal to end would leave the temporary file behind: it takes effect when this is done, in a moment.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in TERM_SIGNALS {
        signal_hook::flag::register(*signal, Arc::clone(&interrupted))?;
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".vblade")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    if force {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
