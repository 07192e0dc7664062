//! `vbladed import` on what is installed: Debian's own sample, round-tripped.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[path = "scene/skip.rs"]
mod skip;

/// Where Debian's package has it.
const SAMPLE: &str = "/etc/vblade.conf.d/skeleton.conf";

fn vbladed(words: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vbladed")).args(words).arg(file).output().expect("vbladed runs")
}

/// What is imported from `file`, which `vbladed check` takes.
fn imported(dir: &Path, file: &Path) -> String {
    let import = vbladed(&["import"], file);
    assert!(import.status.success(), "{import:?}");
    let result = dir.join("vblade.toml");
    fs::write(&result, &import.stdout).expect("a file");
    let check =
        Command::new(env!("CARGO_BIN_EXE_vbladed")).arg("--config").arg(&result).arg("check").output();
    let check = check.expect("vbladed runs");
    assert!(check.status.success(), "{check:?}");
    String::from_utf8(import.stdout).expect("UTF-8")
}

#[test]
fn the_sample_of_debians_package_is_imported_and_checked() {
    let Ok(sample) = fs::read_to_string(SAMPLE) else {
        return skip::skip("Debian's package vblade is not installed");
    };
    let dir = tempfile::tempdir().expect("a directory");
    let template = imported(dir.path(), Path::new(SAMPLE));
    assert!(!template.contains("[[export]]"), "all of it is a comment: {template}");

    // The example at its end; its initiator has a group address, which no station has.
    let example = sample.split("# Example:").nth(1).expect("an example");
    let example: String =
        example.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let file = dir.path().join("example.conf");
    fs::write(&file, example.replace("11:22", "02:22")).expect("a file");
    let result = imported(dir.path(), &file);
    for line in [
        "address = \"10.3\"",
        "path = \"/dev/mapper/export\"",
        "interfaces = [\"em3\"]",
        "offset = 8",
        "allow = [\"02:22:33:44:55:66\"]",
    ] {
        assert!(result.lines().any(|found| found == line), "{line}: {result}");
    }
    assert!(result.contains("ionice was left out"), "{result}");
}
