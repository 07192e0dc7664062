//! Whole files, and what they mean or what is said of them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Config, Export, Surroundings};

mod conflicts;
mod damage;
mod files;
mod meaning;
mod mistakes;

/// An export in which nothing is wrong.
const DISK: &str = "[[export]]\naddress = '7.3'\npath = '/srv/a'\ninterfaces = 'eth1'\n";

fn surroundings(ethers: &Path) -> Surroundings {
    Surroundings { host: "host".into(), ethers: ethers.into(), ..Surroundings::ours() }
}

fn parse(text: &str) -> Result<Config, String> {
    let surroundings = surroundings(Path::new("/nonexistent"));
    Config::parse(Path::new("f"), text.into(), &surroundings).map_err(|mistakes| mistakes.to_string())
}

/// What is said of a file with `lines`.
fn mistakes(lines: &str) -> String {
    parse(lines).expect_err("a mistake")
}

/// What is said of `DISK` with `line`.
fn of_disk(line: &str) -> String {
    mistakes(&format!("{DISK}{line}\n"))
}

/// The export of `DISK` with `lines`.
fn disk(lines: &str) -> Export {
    let mut config = parse(&format!("{DISK}{lines}\n")).expect("an export");
    config.exports.pop().expect("an export")
}

/// A directory with files, which are named by `/` below it.
fn dir(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    let main = dir.path().join("vblade.toml");
    (dir, main)
}
