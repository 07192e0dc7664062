//! `aoe copy` when the target, the cable or the user goes away in the middle.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use e2e::net::{CLIENT, TARGET, note};
use e2e::request::{T, show_mac};
use e2e::stage::{Kind, Stage, assert_equal, empty, with_a_wire};
use e2e::tool::{Outcome, Running, Tool};
use e2e::wire::{Weather, Wire};
use e2e::{SECTOR, mac};
use rustix::process::Signal;

/// Sectors of the disk: 16 MiB, which take some two seconds over a cable that is [`SLOW`].
const SECTORS: usize = 32_768;
/// Sixteen frames of 1 KiB every two milliseconds.
const SLOW: Weather =
    Weather { loss: 0, duplicate: 0, reorder: 0, corrupt: 0, delay: Duration::from_millis(1) };
/// A cache that survives `kill -9`, if not a power failure.
const OURS: &str = "--cache writeback";

/// Waits until the copy has got past a quarter of a destination that was all zeros.
#[track_caller]
fn wait_for_a_quarter(copy: &mut Running, destination: &Path) {
    copy.wait_until("a quarter of the copy", |_| has_data(destination, SECTORS / 4));
}

fn has_data(path: &Path, lba: usize) -> bool {
    let mut sector = [0; SECTOR];
    let Ok(file) = File::open(path) else { return false };
    file.read_exact_at(&mut sector, (lba * SECTOR) as u64).is_ok() && sector != [0; SECTOR]
}

/// The command line by which the message says that the copy goes on.
#[track_caller]
fn resumption(outcome: &Outcome) -> Tool {
    let Some(at) = outcome.stderr.find("aoe copy").or_else(|| outcome.stderr.find("aoe -i")) else {
        panic!("no command line to go on by: {}", outcome.stderr);
    };
    let rest = &outcome.stderr[at + "aoe ".len()..];
    let line = rest.split(['\n', '\r', '`']).next().unwrap_or_default().trim();
    assert!(line.contains("--offset"), "{line}");
    note(&format!("goes on by: aoe {line}"));
    if line.contains("-i ") || line.contains("--interface") {
        Tool::new(line).on(&[])
    } else {
        Tool::new(line)
    }
}

/// A copy to the target, over a slow cable.
fn copy_to_target(stage: &Stage, seconds: u64) -> Running {
    let line = format!("copy --timeout {seconds}");
    Tool::new(&line).arg(stage.path("image")).arg("e7.3").within(60).spawn()
}

#[test]
fn a_target_killed_and_restarted_in_the_middle_of_a_copy_to_it_is_waited_for() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 1) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some(mut target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    let mut copy = copy_to_target(&stage, 30);
    wait_for_a_quarter(&mut copy, &disk);
    target.kill();
    std::thread::sleep(Duration::from_millis(700));
    let Some(_target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    copy.wait().good();
    assert_equal(&image, &disk);
}

#[test]
fn a_target_killed_and_restarted_in_the_middle_of_a_copy_from_it_is_waited_for() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 2) else { return };
    let (disk, out) = (stage.random("disk", SECTORS), stage.path("out"));
    for kind in [Kind::Ours, Kind::Classic] {
        println!("--- {kind:?}");
        let Some(mut target) = stage.serve(kind, &disk) else { return };
        let mut copy = Tool::new("copy e7.3").arg(&out).within(60).spawn();
        wait_for_a_quarter(&mut copy, &out);
        target.kill();
        std::thread::sleep(Duration::from_millis(700));
        let Some(_target) = stage.serve(kind, &disk) else { return };
        copy.wait().good();
        assert_equal(&disk, &out);
        std::fs::remove_file(&out).expect("the copy");
    }
}

#[test]
fn a_copy_whose_target_stays_away_stops_in_time_and_says_how_to_go_on() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 3) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some(mut target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    let mut copy = copy_to_target(&stage, 2);
    wait_for_a_quarter(&mut copy, &disk);
    target.kill();
    let killed = std::time::Instant::now();
    let stopped = copy.wait();
    stopped.refuses(1, &["sectors", "--offset"]);
    let took = killed.elapsed().as_secs_f64();
    assert!(took < 5.0, "stopped {took} s after the target, with --timeout 2");
    note(&format!("stopped: {}", stopped.stderr.trim()));

    let Some(_target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    resumption(&stopped).within(60).run().good();
    assert_equal(&image, &disk);
}

#[test]
fn a_copy_from_a_target_that_stays_away_goes_on_where_it_stopped() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 4) else { return };
    let (disk, out) = (stage.random("disk", SECTORS), stage.path("out"));
    let Some(mut target) = stage.serve(Kind::Ours, &disk) else { return };
    let mut copy = Tool::new("copy --timeout 1 e7.3").arg(&out).within(60).spawn();
    wait_for_a_quarter(&mut copy, &out);
    target.kill();
    let stopped = copy.wait();
    stopped.refuses(1, &["sectors", "--offset"]);
    let Some(_target) = stage.serve(Kind::Ours, &disk) else { return };
    resumption(&stopped).within(60).run().good();
    assert_equal(&disk, &out);
}

#[test]
fn an_interrupted_copy_leaves_the_terminal_sane_and_says_how_to_go_on() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 5) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some(_target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    for signal in [Signal::INT, Signal::TERM] {
        println!("--- {signal:?}");
        let _ = stage.zeros("disk", SECTORS);
        let mut copy = Tool::new("copy").arg(&image).arg("e7.3").spawn_on_a_terminal();
        wait_for_a_quarter(&mut copy, &disk);
        copy.signal(signal);
        let (stopped, terminal) = copy.wait_with_terminal();
        stopped.exits_with(&[130, 143]).says(&["--offset", "sectors"]).took_at_most(20.0);
        terminal.assert_sane();
        resumption(&stopped).within(60).run().good();
        assert_equal(&image, &disk);
    }
}

#[test]
fn an_interrupted_bench_leaves_the_terminal_sane_and_prints_what_it_has_measured() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 6) else { return };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", SECTORS)) else { return };
    let bench = Tool::new("bench e7.3 --duration 60").spawn_on_a_terminal();
    std::thread::sleep(Duration::from_millis(1500));
    bench.signal(Signal::INT);
    let (stopped, terminal) = bench.wait_with_terminal();
    stopped.exits_with(&[0, 130]).says(&["p99", "replies"]).took_at_most(6.0);
    terminal.assert_sane();
}

#[test]
fn an_interrupt_ends_commands_that_wait_for_an_answer() {
    let Some((_stage, _wire)) = with_a_wire(1500, SLOW, 7) else { return };
    // Waits for a target, for its next answer, for changes, for data.
    let commands = ["identify e9.9", "ping e7.3 -c 1000", "discover --watch", "read e7.3 -"];
    for words in commands {
        let running = Tool::new(words).spawn();
        std::thread::sleep(Duration::from_millis(500));
        running.signal(Signal::INT);
        running.wait().exits(130).took_at_most(3.0);
    }
}

/// Two cables, each with a target process that serves the same disk.
fn with_two_paths(stage: &Stage, disk: &Path) -> Option<([e2e::target::Target; 2], [Wire; 2])> {
    stage.net.connect_apart(1500);
    stage.net.cable(1500, ("tgt1", mac(0xb3)), ("w2", mac(0xe2)));
    stage.net.cable(1500, ("ini1", mac(0xa2)), ("w3", mac(0xe3)));
    let wires = [Wire::start(SLOW, 8), Wire::between(["w2", "w3"], SLOW, 9)];
    let options = "--force --cache writeback";
    let targets = [
        stage.serve_as(Kind::Ours, options, "7 3 tgt0", disk)?,
        stage.serve_as(Kind::Ours, options, "7 3 tgt1", disk)?,
    ];
    Some((targets, wires))
}

#[test]
fn a_copy_goes_on_by_the_other_path_when_a_cable_is_pulled_or_goes_silent() {
    for silent in [true, false] {
        println!("--- silent: {silent}");
        let Some(stage) = empty() else { return };
        let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
        let Some((_targets, wires)) = with_two_paths(&stage, &disk) else { return };
        let found = Tool::new("discover").on(&["ini0", "ini1"]).run();
        found.good().prints(&["ini0", "ini1", &show_mac(T), &show_mac(mac(0xb3))]);
        let tool = Tool::new("copy").on(&["ini0", "ini1"]).arg(&image).arg("e7.3").within(60);
        let mut copy = tool.spawn();
        wait_for_a_quarter(&mut copy, &disk);
        if silent {
            wires[0].cut();
        } else {
            stage.net.ip(&format!("link set {CLIENT} down"));
        }
        copy.wait().good().took_at_most(40.0);
        assert_equal(&image, &disk);
        assert!(wires.iter().all(|wire| wire.counts().taken > 1000), "one path was not used: {wires:?}");
    }
}

#[test]
fn a_copy_by_one_path_waits_for_its_cable_to_be_plugged_in_again() {
    let Some((stage, wire)) = with_a_wire(1500, SLOW, 10) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some(_target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    let mut copy = copy_to_target(&stage, 30);
    wait_for_a_quarter(&mut copy, &disk);
    for name in [CLIENT, TARGET] {
        stage.net.ip(&format!("link set {name} down"));
        std::thread::sleep(Duration::from_millis(200));
        stage.net.ip(&format!("link set {name} up"));
        std::thread::sleep(Duration::from_millis(200));
    }
    copy.wait().good();
    assert_equal(&image, &disk);
    assert!(wire.counts().taken > 1000);
}

#[test]
fn a_disk_that_shrinks_under_a_copy_stops_it_with_a_message() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 11) else { return };
    let (disk, out) = (stage.random("disk", SECTORS), stage.path("out"));
    let Some(target) = stage.serve(Kind::Ours, &disk) else { return };
    let mut copy = Tool::new("copy e7.3").arg(&out).spawn();
    wait_for_a_quarter(&mut copy, &out);
    let file = File::options().write(true).open(&disk).expect("the disk");
    file.set_len((SECTORS / 3 * SECTOR) as u64).expect("a shorter disk");
    target.signal(Signal::HUP);
    let stopped = copy.wait();
    stopped.refuses(1, &["sectors"]).took_at_most(35.0);
    note(&format!("shrunk: {}", stopped.stderr.trim()));
}

#[test]
fn discover_tells_while_it_watches_of_targets_that_appear_change_and_disappear() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 12) else { return };
    let disk = stage.random("disk", 2048);
    let mut watch = Tool::new("discover --watch --json").spawn();
    let tells = |watch: &mut Running, event: &str| {
        let text = String::from_utf8(watch.stdout()).expect("JSON");
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .any(|value| value["event"] == event && value["address"] == "e7.3")
    };
    let Some(mut target) = stage.serve(Kind::Ours, &disk) else { return };
    watch.wait_until("the target's appearance", |watch| tells(watch, "appeared"));
    Tool::new("config set e7.3 new").run().good();
    watch.wait_until("the change of its string", |watch| tells(watch, "changed"));
    target.kill();
    watch.wait_until("its disappearance", |watch| tells(watch, "disappeared"));
    watch.signal(Signal::INT);
    watch.wait().exits(130);
}

#[test]
fn a_transfer_that_stops_while_its_interface_is_down_says_so() {
    let Some((stage, _wire)) = with_a_wire(1500, SLOW, 13) else { return };
    let (image, disk) = (stage.random("image", SECTORS), stage.zeros("disk", SECTORS));
    let Some(_target) = stage.serve_as(Kind::Ours, OURS, "7 3 tgt0", &disk) else { return };
    for write in [true, false] {
        let tool = Tool::new("--timeout 2").within(60);
        let mut copy = if write {
            tool.arg("copy").arg(&image).arg("e7.3").spawn()
        } else {
            tool.arg("copy").arg("e7.3").arg(stage.path("out")).spawn()
        };
        let destination = if write { disk.clone() } else { stage.path("out") };
        wait_for_a_quarter(&mut copy, &destination);
        stage.net.ip(&format!("link set {CLIENT} down"));
        copy.wait().refuses(1, &["ini0 is down", "--offset"]);
        stage.net.ip(&format!("link set {CLIENT} up"));
        stage.net.await_carrier(CLIENT);
    }
}
