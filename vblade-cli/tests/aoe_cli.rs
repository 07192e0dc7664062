//! The `aoe` command as a user meets it, without a network: what is refused before anything is opened, with which line and exit status.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Output, Stdio};

const AOE: &str = env!("CARGO_BIN_EXE_aoe");

/// No interface has a name of more than 15 bytes, so what gets as far as opening this one ends there.
const NO_NETIF: &str = "no-such-interface";

fn aoe(arguments: &[&str]) -> Output {
    Command::new(AOE).args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// One line on standard error that has each of `words`, nothing on standard output, and exit status 2.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = aoe(arguments);
    let line = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(line.starts_with("aoe: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    assert!(!line.trim_end().contains(char::is_control), "{line:?}");
    assert!(words.iter().all(|word| line.contains(word)), "{line:?} lacks one of {words:?}");
}

/// Every command that takes a target, up to the target, with what must follow it.
const WITH_TARGET: &[(&[&str], &[&str])] = &[
    (&["ping"], &[]),
    (&["identify"], &[]),
    (&["config", "get"], &[]),
    (&["config", "set"], &["x"]),
    (&["config", "test"], &["x"]),
    (&["config", "force"], &["x"]),
    (&["config", "clear"], &[]),
    (&["mask", "list"], &[]),
    (&["mask", "add"], &["02:00:00:00:00:a1"]),
    (&["mask", "remove"], &["02:00:00:00:00:a1"]),
    (&["mask", "clear"], &[]),
    (&["reserve", "list"], &[]),
    (&["reserve", "set"], &[]),
    (&["reserve", "force"], &[]),
    (&["reserve", "release"], &[]),
    (&["read"], &[]),
    (&["write"], &[]),
    (&["flush"], &[]),
    (&["trim"], &["--length", "1"]),
    (&["sancheck"], &[]),
    (&["bench"], &[]),
];

#[test]
fn a_malformed_address_is_refused_by_every_command() {
    for (command, rest) in WITH_TARGET {
        let arguments = [&["-i", NO_NETIF], *command, &["e7"], *rest].concat();
        refused(&arguments, &["\"e7\"", "such as e7.3"]);
    }
}

#[test]
fn each_malformed_address_is_refused_for_its_own_reason() {
    for (address, word) in [
        ("", "a shelf and a slot"),
        ("x7.3", "shelf"),
        ("7.3x", "slot"),
        ("70000.0", "65534"),
        ("0.256", "254"),
        ("65535.0", "wildcard"),
        ("e7.255", "wildcard"),
        ("e7.3\n\x1b[2J", "slot"),
    ] {
        refused(&["-i", NO_NETIF, "ping", address], &["target", word]);
    }
}

#[test]
fn an_interface_that_does_not_exist_is_refused_with_the_names_of_those_that_do() {
    refused(&["-i", NO_NETIF, "ping", "e7.3"], &[NO_NETIF, "does not exist", "lo"]);
    refused(&["discover", NO_NETIF], &[NO_NETIF, "does not exist", "lo"]);
    refused(&["ping", "7.3", "-i", NO_NETIF], &[NO_NETIF, "does not exist"]);
}

#[test]
fn a_config_string_of_1024_bytes_is_taken_and_a_longer_one_refused() {
    let longest = "x".repeat(1024);
    let longer = "x".repeat(1025);
    for command in ["set", "test", "force"] {
        refused(&["-i", NO_NETIF, "config", command, "e7.3", &longest], &["does not exist"]);
        refused(&["-i", NO_NETIF, "config", command, "e7.3", &longer], &["1025", "1024"]);
    }
    refused(&["-i", NO_NETIF, "discover", "--config", &longer], &["1025", "1024"]);
}

#[test]
fn what_is_no_stations_address_is_refused() {
    for list in ["mask", "reserve"] {
        let command = if list == "mask" { "add" } else { "set" };
        refused(&["-i", NO_NETIF, list, command, "e7.3", "02:00"], &["MAC", "\"02:00\""]);
        refused(&["-i", NO_NETIF, list, command, "e7.3", "ff:ff:ff:ff:ff:ff"], &["MAC", "no station"]);
    }
    refused(&["-i", NO_NETIF, "mask", "add", "e7.3"], &["<mac>"]);
}

#[test]
fn a_time_that_is_none_is_refused() {
    for bad in ["0", "-1", "x", "inf", ""] {
        refused(&["-i", NO_NETIF, &format!("--timeout={bad}"), "ping", "e7.3"], &["--timeout"]);
        refused(&["-i", NO_NETIF, "discover", &format!("--wait={bad}")], &["--wait"]);
        refused(&["-i", NO_NETIF, "bench", "e7.3", &format!("--duration={bad}")], &["--duration"]);
    }
    refused(&["-i", NO_NETIF, "ping", "e7.3", "-I", "0.0001"], &["--interval", "0.001"]);
}

#[test]
fn a_count_that_is_none_or_has_no_end_is_refused() {
    for bad in ["0", "1000001", "x", ""] {
        refused(&["-i", NO_NETIF, "ping", "e7.3", &format!("--count={bad}")], &["--count"]);
    }
}

#[test]
fn what_destroys_data_takes_a_word_more() {
    refused(&["-i", NO_NETIF, "trim", "e7.3", "--all"], &["--force"]);
    refused(&["-i", NO_NETIF, "trim", "e7.3"], &["--length", "--all"]);
    refused(&["-i", NO_NETIF, "trim", "e7.3", "--length", "0"], &["--length"]);
}

#[test]
fn an_unknown_command_or_option_is_refused() {
    refused(&["discovr"], &["discovr", "discover"]);
    refused(&["ping", "e7.3", "--cuont", "1"], &["--cuont", "--count"]);
    refused(&["config", "show", "e7.3"], &["show"]);
}

#[test]
fn no_command_at_all_is_refused_with_a_hint() {
    refused(&[], &["--help"]);
    refused(&["config"], &["--help"]);
}

#[test]
fn help_names_every_command_and_exit_status() {
    let output = aoe(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    for (command, _) in WITH_TARGET {
        assert!(help.contains(&format!("\n  {} ", command[0])), "{} is missing", command[0]);
        let output = aoe(&[command, &["--help"][..]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("<target>"), "{command:?}");
    }
    for status in ["0", "1", "2", "3", "130"] {
        assert!(help.contains(&format!("\n  {status}\n")), "{status} is missing");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = aoe(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("aoe {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(AOE)
        .args(["bench", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut told).expect("UTF-8");
    assert_eq!((child.wait().expect("an end").code(), told.as_str()), (Some(0), ""));
}

#[test]
fn a_full_device_is_told_of() {
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    let output = Command::new(AOE).arg("--help").stdout(full).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("aoe: standard output cannot be written: "), "{}", stderr(&output));
}
