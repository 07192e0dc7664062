//! Tests in a network namespace of their own.
//!
//! A test runs again as a process of its own, under `unshare --net`, so that nothing it does can reach the machine's interfaces and
//! everything vanishes with it, whatever happens. Where that is not allowed, the test is skipped aloud, or fails when `CI=true` or
//! `E2E_STRICT=1` ask for that.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output};
use std::{env, io};

const INSIDE: &str = "AOE_LINK_TEST_INSIDE";

/// Defines tests that run in a network namespace of their own, as its root.
macro_rules! in_netns {
    ($(fn $name:ident() $body:block)+) => {$(
        #[test]
        fn $name() {
            if $crate::netns::inside(concat!(module_path!(), "::", stringify!($name)), &[]) $body
        }
    )+};
}
pub(crate) use in_netns;

/// Whether this process is already the one for the test at `path`. If not, runs that one, under `wrapper` if there is one.
pub(crate) fn inside(path: &str, wrapper: &[&str]) -> bool {
    // The test harness leaves out the crate.
    let (_, name) = path.split_once("::").unwrap();
    let mark = format!("{name} {wrapper:?}");
    if env::var_os(INSIDE).is_some_and(|inside| inside == OsStr::new(&mark)) {
        return true;
    }
    let Some(unshare) = unshare(wrapper) else {
        skip(name, "unshare (util-linux), ip (iproute2) and root or user namespaces");
        return false;
    };
    let (program, arguments) = unshare.split_first().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, mark)
        .output()
        .unwrap();
    let text = text(&output);
    // A name that matches no test would pass with nothing run.
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text.lines().filter(|line| line.starts_with("SKIP")).for_each(say);
    false
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", text(&output));
}

/// Makes a tun or tap interface, or tells that there is no access to `/dev/net/tun`.
pub(crate) fn tuntap(name: &str, mode: &str) -> bool {
    works("ip", &format!("tuntap add name {name} mode {mode}"))
}

/// Makes an interface that sends through the one `below`, or tells that the system has none such.
pub(crate) fn macvlan(name: &str, below: &str) -> bool {
    works("ip", &format!("link add link {below} name {name} type macvlan"))
}

/// Gives an interface a queue with these `words` of tc-tbf(8), or tells that the system has none.
pub(crate) fn limit(interface: &str, words: &str) -> bool {
    works("tc", &format!("qdisc add dev {interface} root tbf {words}"))
}

fn works(program: &str, words: &str) -> bool {
    let output = Command::new(program).args(words.split_whitespace()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Says that the test `name` is not run because this machine lacks what it `needs`.
pub(crate) fn skip(name: &str, needs: &str) {
    let strict = [("CI", "true"), ("E2E_STRICT", "1")];
    let line = format!("SKIP {name}: needs {needs}");
    assert!(strict.iter().all(|(key, value)| env::var(key).as_deref() != Ok(value)), "{line}");
    say(&line);
}

/// Past the test harness, which swallows what is printed by tests that pass.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The command that makes a namespace, with `wrapper` behind it, if it works here.
fn unshare(wrapper: &[&str]) -> Option<Vec<String>> {
    let candidates: [&[&str]; 2] =
        [&["unshare", "--net"], &["unshare", "--user", "--map-root-user", "--net"]];
    candidates.iter().find_map(|command| {
        let command: Vec<_> = command.iter().chain(wrapper).map(|word| (*word).to_owned()).collect();
        let works = Command::new(&command[0]).args(&command[1..]).args(["ip", "link"]).output();
        works.is_ok_and(|output| output.status.success()).then_some(command)
    })
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
