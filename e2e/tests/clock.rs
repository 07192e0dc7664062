//! The wall clock jumps, of both ends: libfaketime shows them another one than the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::lab::PATIENCE;
use e2e::net::{TARGET, note, skip};
use e2e::request::flush;
use e2e::stage::{assert_equal, with_a_wire};
use e2e::target::{Target, program};
use e2e::tool::Tool;
use e2e::wire::Weather;
use e2e::{SECTOR, Setup};

/// Jumps, against the machine's clock: there and back, over the years and by a little.
const JUMPS: [&str; 7] = ["+0", "+3650d", "-7300d", "-1", "+1", "+30000d", "+0"];

/// In its sandbox the target could not open the file that sets the clock, and nothing would jump.
const FREE: &str = "--no-sandbox";

/// The words before a command that show it a clock of its own, and the file that sets that. None where that cannot be.
fn other_clock(dir: &Path) -> Option<(Vec<String>, PathBuf)> {
    let found = Command::new("find").args(["/usr/lib", "/usr/lib64", "-name", "libfaketime.so.1"]).output();
    let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let Some(library) = found.lines().next() else {
        skip("needs libfaketime: apt-get install faketime");
        return None;
    };
    let clock = dir.join("clock");
    jump(&clock, JUMPS[0]);
    let set = |name: &str, value: &str| format!("{name}={value}");
    let words = vec![
        "env".to_owned(),
        set("LD_PRELOAD", library),
        set("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string()),
        set("FAKETIME_NO_CACHE", "1"),
        // That one never jumps.
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Some((words, clock))
}

/// Sets the clock at once: whoever looks meanwhile sees the old or the new one.
fn jump(clock: &Path, to: &str) {
    let new = clock.with_extension("new");
    fs::write(&new, to).and_then(|()| fs::rename(&new, clock)).expect("another time");
}

/// The years that a log tells of.
fn years(log: &str) -> Vec<&str> {
    let mut years: Vec<_> =
        log.lines().filter_map(|line| line.get(..4)).filter(|y| y.starts_with(['1', '2'])).collect();
    years.sort_unstable();
    years.dedup();
    years
}

#[test]
fn a_target_whose_clock_jumps_serves_limits_and_advertises_as_ever() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let Some((words, clock)) = other_clock(dir.path()) else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Setup::default().wrapper(&words).options(&[FREE]).run(|lab| {
        for (n, to) in (0..).zip(JUMPS) {
            jump(&clock, to);
            lab.write(100 + n, &[n as u8; SECTOR]);
            lab.read(100, 2);
            lab.ask(&flush()).good();
            // It says when, and says that it is back.
            lab.net.ip(&format!("link set {TARGET} down"));
            lab.net.ip(&format!("link set {TARGET} up"));
            lab.await_advertisement(PATIENCE);
            while lab.next(Duration::from_millis(150)).is_some() {}
        }
        let log = lab.target.stderr();
        note(&format!("the target's log is of the years {:?}", years(&log)));
        assert!(years(&log).len() >= 4, "its clock has not jumped: {log}");
    });
}

#[test]
fn a_copy_is_complete_although_the_clocks_of_both_ends_jump() {
    const SECTORS: usize = 8192;
    let weather = Weather { loss: 20, delay: Duration::from_millis(1), ..Weather::default() };
    let Some((stage, _wire)) = with_a_wire(1500, weather, 20) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some((words, clock)) = other_clock(&stage.path("")) else { return };
    let place = [FREE, "7", "3", TARGET, &disk.display().to_string()].map(str::to_owned);
    let dir = stage.path("target");
    fs::create_dir(&dir).expect("a directory for the target");
    let mut target = Target::spawn_program(&program(), &dir, &words, &place);
    target.wait_until_serving();
    let mut copy =
        Tool::new("copy --verify").wrapper(&words.join(" ")).arg(&image).arg("e7.3").within(60).spawn();
    let mut jumps = 0;
    copy.wait_until("the jumps of the clock", |_| {
        jump(&clock, JUMPS[jumps % JUMPS.len()]);
        jumps += 1;
        jumps == 40
    });
    copy.wait().good();
    assert_equal(&image, &disk);
    target.assert_alive();
}
