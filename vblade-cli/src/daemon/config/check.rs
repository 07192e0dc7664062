//! `vbladed check`: what is wrong in the configuration, and what an export would wait for if it were served now.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::{Config, Export, Mistakes};
use crate::control::group_id;

/// The shelf that Linux initiators do not see.
const IGNORED_SHELF: u16 = 4095;

/// Tells everything that is wrong with `file` and its drop-ins: 2 if anything is. What is only not there yet is a warning. With `json`
/// all of it is one document on standard output, else warnings and mistakes are lines on standard error.
pub(crate) fn check(file: &Path, json: bool) -> ExitCode {
    let netifs = netifs();
    let report = Report::new(file, Config::load(file), &netifs);
    let written = if json { report.write_json(io::stdout().lock()) } else { report.write() };
    match (written, &report.mistakes) {
        (Err(_), _) => ExitCode::FAILURE,
        (Ok(()), Some(_)) => ExitCode::from(2),
        (Ok(()), None) => ExitCode::SUCCESS,
    }
}

/// The interfaces that are there.
fn netifs() -> BTreeSet<String> {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[derive(Serialize)]
struct Report {
    file: String,
    exports: usize,
    mistakes: Option<Mistakes>,
    warnings: Vec<String>,
}

impl Report {
    fn new(file: &Path, loaded: Result<Config, Mistakes>, netifs: &BTreeSet<String>) -> Self {
        let (exports, group, mistakes) = match loaded {
            Ok(config) => (config.exports, config.daemon.socket_group, None),
            Err(mistakes) => (Vec::new(), None, Some(mistakes)),
        };
        let group = group.and_then(|group| group_id(&group).err()).map(|error| error.to_string());
        let warnings = exports.iter().flat_map(|export| warnings(export, netifs)).chain(group).collect();
        Self { file: file.display().to_string(), exports: exports.len(), mistakes, warnings }
    }

    fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)
    }

    fn write(&self) -> io::Result<()> {
        let mut err = io::stderr().lock();
        for warning in &self.warnings {
            writeln!(err, "{warning}")?;
        }
        let Some(mistakes) = &self.mistakes else {
            let warnings = match self.warnings.len() {
                0 => String::new(),
                1 => ", 1 warning".to_owned(),
                count => format!(", {count} warnings"),
            };
            let plural = if self.exports == 1 { "" } else { "s" };
            return writeln!(io::stdout(), "{}: {} export{plural}{warnings}", self.file, self.exports);
        };
        let plural = if mistakes.count() == 1 { "" } else { "s" };
        writeln!(
            err,
            "{mistakes}\n{}: {} mistake{plural}; nothing would be served or changed",
            self.file,
            mistakes.count()
        )
    }
}

/// What the export would wait for, and what it would be served without.
fn warnings(export: &Export, netifs: &BTreeSet<String>) -> Vec<String> {
    let address = export.target.address;
    let mut warnings = Vec::new();
    let mut warn = |what: String| warnings.push(format!("{}: warning: {address}: {what}", export.origin));
    for pattern in &export.netifs {
        if !netifs.iter().any(|netif| pattern.matches(netif)) {
            let what = if pattern.is_glob() { "no interface matches" } else { "there is no interface" };
            warn(format!("{what} {:?} now; it is waited for", pattern.0));
        }
    }
    if let Some(path) = export.source.path() {
        let shown = path.display();
        match fs::metadata(&path) {
            Err(error) => warn(format!("{shown} cannot be found now: {error}; it is waited for")),
            Ok(file) if !file.is_file() && !file.file_type().is_block_device() => {
                warn(format!(
                    "{shown} is neither a regular file nor a block device; it is not served while it is not"
                ));
            }
            Ok(file) if file.is_file() && export.offset >= file.len() / 512 => {
                warn(format!(
                    "{shown} has no sector after offset {}; it is not served while it has none",
                    export.offset
                ));
            }
            Ok(_) => {}
        }
    }
    if address.major == IGNORED_SHELF {
        warn(format!("Linux initiators ignore shelf {IGNORED_SHELF}; give another one"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::Surroundings;
    use super::*;

    /// The report on a main file, where only `eth1` is there.
    fn report(text: &str) -> Report {
        let surroundings =
            Surroundings { host: "host".into(), ethers: "/nonexistent".into(), ..Surroundings::ours() };
        let config = Config::parse(Path::new("f"), text.into(), &surroundings);
        Report::new(Path::new("f"), config, &["eth1".to_owned()].into())
    }

    #[test]
    fn what_is_only_not_there_yet_is_a_warning() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = dir.path().join("disk");
        fs::write(&disk, [0; 1024]).expect("a file");
        let export = |address: &str, path: &Path, more: &str| {
            format!("[[export]]\naddress = '{address}'\npath = {path:?}\n{more}\n")
        };
        let warnings = |export: String| report(&export).warnings.join("\n");
        assert_eq!(warnings(export("7.3", &disk, "interfaces = ['eth1', 'eth*']")), "");
        for (export, said) in [
            (
                export("7.3", &disk, "interfaces = 'eth2'"),
                "there is no interface \"eth2\" now; it is waited for",
            ),
            (export("7.3", &disk, "interfaces = 'aoe*'"), "no interface matches \"aoe*\" now"),
            (export("7.3", &disk.join("x"), "interfaces = 'eth1'"), "cannot be found now: Not a directory"),
            (export("7.3", dir.path(), "interfaces = 'eth1'"), "neither a regular file nor a block device"),
            (export("7.3", &disk, "interfaces = 'eth1'\noffset = 2"), "has no sector after offset 2"),
            (export("4095.3", &disk, "interfaces = 'eth1'"), "Linux initiators ignore shelf 4095"),
        ] {
            let warnings = warnings(export);
            assert!(warnings.starts_with("f:1: warning: e") && warnings.contains(said), "{warnings}");
        }
    }

    #[test]
    fn scripts_get_places_apart_from_what_is_said() {
        let mut json = Vec::new();
        report("[daemon]\nx = 1\n").write_json(&mut json).expect("JSON");
        let report: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let mistake = &report["mistakes"][0];
        assert_eq!((&report["file"], &report["exports"]), (&"f".into(), &0.into()));
        assert_eq!(
            (&mistake["file"], &mistake["line"], &mistake["column"]),
            (&"f".into(), &2.into(), &1.into())
        );
        assert!(mistake["message"].as_str().is_some_and(|text| text.starts_with("unknown key \"x\"")));
    }
}
