//! A trace as Wireshark reads it.

#[expect(dead_code, reason = "each test binary uses its part")]
mod scene;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use vblade_cli::control::pcapng::Direction;
use vblade_cli::control::trace::{Limits, Trace};

/// A config query of e7.3 (AoEr11 §3.2), and the answer to it with `response`.
fn frame(response: bool) -> Vec<u8> {
    let (near, far) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let flags = if response { 0x18 } else { 0x10 };
    let (to, from) = if response { (near, far) } else { (far, near) };
    let mut frame = [&to[..], &from, &[0x88, 0xa2, flags, 0, 0, 7, 3, 1, 0, 0, 0, 9]].concat();
    frame.resize(60, 0);
    frame
}

#[test]
fn tshark_reads_times_directions_interfaces_and_the_end() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return scene::skip("no tshark: apt-get install tshark");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("7.3.pcapng");
    let trace = Trace::start(&path, Limits { snap_len: 80, ..Limits::default() }).expect("a trace");
    let recorder = trace.recorder();
    let names: [Arc<str>; 2] = ["eth0".into(), "eth1".into()];
    let time = |nanoseconds| UNIX_EPOCH + Duration::new(1_700_000_000, nanoseconds);
    let query = frame(false);
    recorder.record(Direction::Received, &names[0], time(5), query.chunks(14));
    recorder.record(Direction::Sent, &names[0], time(123_456_789), [&frame(true)[..], &[0; 940]].into_iter());
    recorder.record(Direction::Received, &names[1], time(999_999_999), [&query[..59]].into_iter());
    let finished = trace.stop().expect("an end");
    assert_eq!((finished.frames, finished.dropped), (3, 0));

    let fields = [
        "frame.time_epoch",
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.len",
        "frame.cap_len",
        "aoe.major",
        "aoe.minor",
        "aoe.response",
    ];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=/s"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.env("HOME", directory.path()).output().expect("tshark");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    // How a direction or a flag is written differs between versions.
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let number = |text: &str| text.trim_start_matches("0x").trim_start_matches('0').to_owned();
    let [first, second, third] = &lines[..] else { panic!("not three frames: {text}") };
    assert_eq!(first[0], "1700000000.000000005");
    assert_eq!(second[0], "1700000000.123456789");
    assert_eq!(third[0], "1700000000.999999999");
    assert_eq!([first[1], second[1], third[1]], ["eth0", "eth0", "eth1"]);
    assert_eq!([first[2], second[2], third[2]].map(number), ["1", "2", "1"]);
    assert_eq!([first[3], second[3], third[3]], ["60", "1000", "59"]);
    assert_eq!([first[4], second[4], third[4]], ["60", "80", "59"]);
    assert_eq!([number(first[5]), number(first[6])], ["7", "3"]);
    assert_ne!(first[7], second[7], "a query and an answer: {text}");
}
