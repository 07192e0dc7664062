//! Traces of `vbladed`: what initiators and an export say to each other, in a capture file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::daemon::{Daemon, export};
use e2e::net::TARGET;
use e2e::stage::with_a_cable;
use e2e::tool::{Tool, aoe};
use serde_json::{Value, json};

/// The frames of a pcapng file, in order.
#[track_caller]
fn frames(file: &Value) -> Vec<Vec<u8>> {
    let file = fs::read(file.as_str().expect("a path")).expect("a trace");
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < file.len() {
        // An enhanced packet block.
        if word(at) == 6 {
            let captured = word(at + 20);
            assert_eq!(captured, word(at + 24), "a whole frame");
            frames.push(file[at + 28..at + 28 + captured].to_vec());
        }
        at += word(at + 4);
    }
    frames
}

/// Requests and responses among ATA frames that read (EXT: 24h).
fn reads(frames: &[Vec<u8>]) -> (Vec<&[u8]>, Vec<&[u8]>) {
    let is_ata = |frame: &&Vec<u8>| frame[12..14] == [0x88, 0xa2] && frame[19] == 0;
    let is_response = |frame: &&[u8]| frame[14] & 0x08 != 0;
    let (responses, requests): (Vec<_>, Vec<_>) =
        frames.iter().filter(is_ata).map(Vec::as_slice).partition(is_response);
    (requests.into_iter().filter(|frame| matches!(frame[27], 0x20 | 0x24)).collect(), responses)
}

#[test]
fn a_trace_has_the_requests_and_the_replies_of_its_export_and_of_no_other() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (disk, other) = (stage.random("disk", 64), stage.random("other", 64));
    let exports = export("7.1", &disk, TARGET, "") + &export("7.2", &other, TARGET, "");
    let mut daemon = Daemon::start(&stage.path(""), "d", &exports);
    let file = daemon.ask("trace.on", json!({ "export": "7.1" }))["file"].clone();
    let path = file.as_str().expect("a path").to_owned();
    assert!(path.starts_with(&stage.path("d/state/trace/7.1-").display().to_string()), "{path}");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(Path::new(&path)), mode(&stage.path("d/state/trace"))), (0o600, 0o700));
    assert_eq!(daemon.ask("exports", json!({}))[0]["trace"], file);
    for address in ["e7.1", "e7.2"] {
        Tool::new("copy").arg(address).arg(stage.path(address)).run().good();
    }
    let traced = daemon.ask("trace.off", json!({ "export": "7.1" }));
    assert!(daemon.ask("exports", json!({}))[0]["trace"].is_null());
    aoe("identify e7.1").good();

    let frames = frames(&file);
    assert_eq!((traced["frames"].as_u64(), &traced["dropped"]), (Some(frames.len() as u64), &json!(0)));
    assert_eq!(traced["bytes"], fs::metadata(&path).expect("a file").len());
    let (requests, responses) = reads(&frames);
    assert!(!requests.is_empty());
    let content = fs::read(&disk).expect("the disk");
    for request in requests {
        let answers = responses.iter().filter(|response| response[20..24] == request[20..24]);
        let [answer] = answers.collect::<Vec<_>>()[..] else { panic!("an answer to {request:x?}") };
        assert_eq!((&answer[..6], answer[16..18].to_vec()), (&request[6..12], vec![0, 7]));
        let (lba, sectors) = (usize::from(request[28]), usize::from(request[26]));
        assert_eq!(answer[36..36 + sectors * 512], content[lba * 512..(lba + sectors) * 512]);
    }
    assert!(frames.iter().all(|frame| frame[18] != 2), "frames of the other export");
    daemon.stop();
}

#[test]
fn a_trace_ends_by_itself_or_with_its_export_and_there_is_one_at_a_time() {
    let Some(stage) = with_a_cable(1500) else { return };
    let exports = ["7.1", "7.2"].map(|address| export(address, &stage.zeros(address, 64), TARGET, ""));
    let mut daemon = Daemon::start(&stage.path(""), "d", &exports.concat());
    for name in ["", ".", "..", "a/b", "/tmp/x"] {
        let refusal = daemon.refusal("trace.on", json!({ "export": "7.1", "file": name }));
        assert_eq!(refusal.0, "params", "{name:?}: {}", refusal.1);
    }
    assert_eq!(daemon.refusal("trace.on", json!({ "export": "7.1", "seconds": 0 })).0, "params");
    assert_eq!(daemon.refusal("trace.on", json!({ "export": "7.9" })).0, "not_found");
    assert_eq!(daemon.refusal("trace.off", json!({ "export": "7.1" })).0, "not_found");

    let on = |file: &str| json!({ "export": "7.1", "file": file, "max_bytes": 16_384 });
    let file = daemon.ask("trace.on", on("full"))["file"].clone();
    let (code, message) = daemon.refusal("trace.on", on("more"));
    assert!(code == "conflict" && message.contains("vbladectl trace off 7.1"), "{code} {message}");
    Tool::new("copy e7.1").arg(stage.path("copy")).run().good();
    daemon.until("the end of the trace is noticed", |daemon| daemon.log().contains("the trace has ended"));
    assert!(daemon.ask("exports", json!({}))[0]["trace"].is_null());
    assert!(!reads(&frames(&file)).1.is_empty());
    assert_eq!(daemon.refusal("trace.on", on("full")).0, "conflict", "a file is not overwritten");

    let file = daemon.ask("trace.on", on("removed"))["file"].clone();
    aoe("identify e7.1").good();
    daemon.reload(&exports[1]);
    let ends = "the trace has ended";
    daemon.until("the trace ends with its export", |daemon| daemon.log().matches(ends).count() == 2);
    assert!(frames(&file).len() >= 2);
    // The end of the daemon is an end as well.
    let file = daemon.ask("trace.on", json!({ "export": "7.2" }))["file"].clone();
    aoe("identify e7.2").good();
    daemon.stop();
    assert!(frames(&file).len() >= 2);
}
