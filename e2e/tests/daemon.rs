//! `vbladed`: many exports, a configuration that changes, disks and interfaces that come and go.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::daemon::{Daemon, export, program};
use e2e::mac;
use e2e::net::{CLIENT, TARGET};
use e2e::stage::{Stage, assert_equal, with_a_cable};
use e2e::tool::{Tool, aoe};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

const SECTORS: usize = 16_384;

/// What `aoe discover` finds on an interface, by address: its size in sectors.
#[track_caller]
fn found(interface: &str) -> Vec<(String, u64)> {
    // 3 is that there are none.
    let list = Tool::new("discover --json").on(&[interface]).run().exits_with(&[0, 3]).json();
    let targets = list.as_array().unwrap_or_else(|| panic!("{list}")).iter();
    targets
        .map(|of| {
            (of["address"].as_str().expect("an address").to_owned(), of["sectors"].as_u64().unwrap_or(0))
        })
        .collect()
}

fn addresses(interface: &str) -> Vec<String> {
    found(interface).into_iter().map(|(address, _)| address).collect()
}

fn three(stage: &Stage) -> [String; 3] {
    [1, 2, 3].map(|n| {
        let disk = stage.random(&format!("disk{n}"), SECTORS);
        export(&format!("7.{n}"), &disk, TARGET, "cache = \"writeback\"")
    })
}

#[test]
fn exports_of_a_configuration_are_served_and_hold_what_is_written() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (a, b) = (stage.random("a", SECTORS), stage.zeros("b", 8));
    let mut daemon = Daemon::start(
        stage.path("").as_path(),
        "d",
        &(export("7.1", &a, TARGET, "") + &export("9.0", &b, "tgt*", "")),
    );
    assert_eq!(found(CLIENT), [("e7.1".to_owned(), SECTORS as u64), ("e9.0".to_owned(), 8)]);
    let copy = stage.path("copy");
    Tool::new("copy e7.1").arg(&copy).run().good();
    assert_equal(&a, &copy);
    daemon.stop();
    assert_eq!(addresses(CLIENT), [] as [&str; 0]);
}

#[test]
fn a_reload_under_load_changes_others_and_the_unchanged_do_not_notice() {
    let Some(stage) = with_a_cable(1500) else { return };
    let [kept, changed, removed] = three(&stage);
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &(kept.clone() + &changed + &removed));
    let new = export("7.4", &stage.zeros("disk4", 64), TARGET, "");
    let bench = Tool::new("bench --json --read 50 --force --duration 12 e7.1").within(60).spawn();
    let end = Instant::now() + Duration::from_secs(10);
    let mut reloads = 0;
    while Instant::now() < end {
        daemon.reload(&(kept.clone() + &changed + "buffer_count = 32\nqueue_depth = 8\n" + &new));
        daemon.reload(&(changed.clone() + &removed + &kept));
        reloads += 2;
    }
    let outcome = bench.wait();
    let report = outcome.good().json();
    assert!(reloads > 0);
    assert_eq!(report["errors"], 0, "{report}");
    // None is lost by a reload; on a busy machine an answer may come later than an initiator expects it, with or without one (`./x bench rack`).
    let (again, rate) = (report["retransmits"].as_f64(), report["replies_per_second"].as_f64());
    assert!(again.zip(rate).is_some_and(|(again, rate)| again <= rate * 12.0 / 100.0), "{report}");
    assert_eq!(addresses(CLIENT), ["e7.1", "e7.2", "e7.3"]);
    daemon.stop();
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_is_told_of() {
    let Some(stage) = with_a_cable(1500) else { return };
    let [one, two, three] = three(&stage);
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &(one.clone() + &two));
    daemon.reload(&(two + &three + "cach = \"none\"\n"));
    assert!(daemon.log().contains("unknown key \"cach\""), "the mistake is named");
    assert_eq!(addresses(CLIENT), ["e7.1", "e7.2"]);
    let status = daemon.ask("status", json!({}));
    assert!(status["last_reload"]["error"].as_str().is_some_and(|error| error.contains("cach")), "{status}");
    daemon.reload(&one);
    assert_eq!(addresses(CLIENT), ["e7.1"]);
    let status = daemon.ask("status", json!({}));
    assert!(status["last_reload"]["error"].is_null(), "{status}");
}

#[test]
fn a_missing_disk_is_waited_for_while_others_are_served_and_one_that_vanishes_comes_back() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (there, missing) = (stage.random("there", 64), stage.path("missing"));
    let exports = export("7.1", &there, TARGET, "") + &export("7.2", &missing, TARGET, "");
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    assert_eq!(addresses(CLIENT), ["e7.1"]);
    assert!(daemon.until_state("7.2", "down").contains("no such file"));
    let _ = stage.zeros("missing", 128);
    daemon.until_state("7.2", "up");
    assert_eq!(found(CLIENT)[1], ("e7.2".to_owned(), 128));
    // It grows, and is advertised anew.
    fs::File::options().write(true).open(&missing).expect("the disk").set_len(256 * 512).expect("room");
    daemon.until("its new size is seen", |_| found(CLIENT)[1].1 == 256);
    // It vanishes, and is another when it comes back.
    fs::rename(&missing, stage.path("away")).expect("another name");
    assert!(daemon.until_state("7.2", "gone").contains("not there"));
    aoe("config get e7.2").good();
    let back = stage.random("missing", 300);
    daemon.until_state("7.2", "up");
    let copy = stage.path("copy");
    Tool::new("copy e7.2").arg(&copy).run().good();
    assert_equal(&back, &copy);
    // A directory in its place is no disk.
    fs::rename(&missing, stage.path("away too")).expect("another name");
    fs::create_dir(&missing).expect("a directory");
    daemon.until_state("7.2", "gone");
    daemon.until("the directory is named", |daemon| daemon.log().contains("directory"));
    assert_eq!(daemon.ask("exports", json!({}))[0]["state"], "up");
    daemon.stop();
}

#[test]
fn interfaces_are_waited_for_and_those_that_match_a_glob_are_taken_up_when_they_appear() {
    let Some(stage) = with_a_cable(1500) else { return };
    let disk = stage.random("disk", 64);
    let exports = export("7.1", &disk, "aoe*", "") + &export("7.2", &stage.zeros("other", 8), "late0", "");
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    assert!(daemon.until_state("7.2", "down").contains("late0"));
    for name in ["aoe5", "aoe6"] {
        let peer = format!("peer{}", &name[3..]);
        stage.net.cable(1500, (name, mac(0x50)), (&peer, mac(0x60)));
        daemon.until("the interface is served on", |_| addresses(&peer) == ["e7.1"]);
    }
    stage.net.ip("link delete aoe5");
    daemon.until("it is not in use", |daemon| {
        daemon.ask("status", json!({}))["interfaces"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|of| of["name"] != "aoe5")
    });
    stage.net.cable(1500, ("aoe5", mac(0x51)), ("peer5", mac(0x61)));
    daemon.until("the interface is served on anew", |_| addresses("peer5") == ["e7.1"]);
    stage.net.cable(1500, ("late0", mac(0x52)), ("peer0", mac(0x62)));
    daemon.until_state("7.2", "up");
    assert_eq!(addresses("peer0"), ["e7.2"]);
    assert_eq!(addresses("peer6"), ["e7.1"], "which has not changed");
    daemon.stop();
}

#[test]
fn two_daemons_do_not_export_one_file_for_writing_nor_one_address() {
    let Some(stage) = with_a_cable(1500) else { return };
    let (disk, other) = (stage.random("disk", 64), stage.random("other", 64));
    let dir = stage.path("");
    let mut first = Daemon::start(&dir, "first", &export("7.1", &disk, TARGET, ""));
    let exports = export("8.1", &disk, TARGET, "") + &export("7.1", &other, TARGET, "");
    let mut second = Daemon::start(&dir, "second", &exports);
    assert!(second.until_state("8.1", "down").contains("another process has it locked"));
    assert!(second.until_state("7.1", "down").contains("already served"));
    first.stop();
    second.until_state("8.1", "up");
    second.until_state("7.1", "up");
    let read_only = export("9.1", &other, TARGET, "read_only = true");
    let mut third = Daemon::start(&dir, "third", &read_only);
    assert!(third.until_state("9.1", "down").contains("locked"));
    second.reload(&export("7.1", &other, TARGET, "read_only = true"));
    third.until_state("9.1", "up");
    assert_eq!(addresses(CLIENT), ["e7.1", "e9.1"]);
}

#[test]
fn a_client_of_the_control_socket_adds_removes_and_mends_exports() {
    let Some(stage) = with_a_cable(1500) else { return };
    let [one, two, _] = three(&stage);
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &one);
    let added = daemon.ask("export.add", json!({ "toml": two }));
    assert_eq!((&added["export"], &added["state"]), (&json!("7.2"), &json!("up")));
    assert_eq!(addresses(CLIENT), ["e7.1", "e7.2"]);
    assert_eq!(daemon.refusal("export.add", json!({ "toml": two })).0, "conflict");
    let (code, message) = daemon.refusal("export.add", json!({ "toml": "[[export]]\nadress = 7\n" }));
    assert!(code == "config" && message.contains("export.add:2:1"), "{code} {message}");

    // A mask list without oneself locks oneself out.
    aoe("mask add --force e7.2 02:00:00:00:00:99").good();
    assert!(!addresses(CLIENT).contains(&"e7.2".to_owned()));
    let _ = daemon.ask("mask.clear", json!({ "export": "7.2" }));
    assert_eq!(addresses(CLIENT), ["e7.1", "e7.2"]);
    aoe("reserve set e7.2").good();
    let reserve = |daemon: &mut Daemon| {
        daemon.ask("exports", json!({}))[1]["reserve"].as_array().expect("a list").len()
    };
    assert_eq!(reserve(&mut daemon), 1);
    let _ = daemon.ask("reserve.release", json!({ "export": "e7.2" }));
    assert_eq!(reserve(&mut daemon), 0);

    let stats = daemon.ask("stats", json!({}));
    assert!(stats["exports"][1]["requests"].as_u64().is_some_and(|requests| requests > 0), "{stats}");
    let _ = daemon.ask("export.remove", json!({ "export": "7.2" }));
    assert_eq!(addresses(CLIENT), ["e7.1"]);
    assert_eq!(daemon.refusal("export.remove", json!({ "export": "7.2" })).0, "not_found");
    assert_eq!(daemon.refusal("fly", json!({})).0, "method");
    daemon.stop();
}

#[test]
fn what_initiators_set_survives_a_restart_of_the_daemon() {
    let Some(stage) = with_a_cable(1500) else { return };
    let exports = export("7.1", &stage.zeros("disk", 8), TARGET, "");
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    aoe("config set e7.1 rack-four").good();
    daemon.stop();
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    assert_eq!(aoe("config get e7.1").good().text().trim(), "rack-four");
    // The operator may forbid it.
    daemon.reload(&(exports + "config_writes = false\n"));
    assert_ne!(aoe("config force e7.1 rack-five").code, Some(0));
    assert_eq!(aoe("config get e7.1").good().text().trim(), "rack-four");
    daemon.stop();
}

#[test]
fn the_classic_form_returns_when_the_disk_is_served_or_tells_why_not() {
    let Some(stage) = with_a_cable(1500) else { return };
    let disk = stage.random("disk", 64);
    let classic = |words: &str| {
        let mut command = Command::new(program());
        command.args(words.split_whitespace()).arg(&disk).env("STATE_DIRECTORY", stage.path("state"));
        command.output().expect("vbladed")
    };
    let refused = classic("7 3 nosuch0");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nosuch0"));
    let served = classic("-r 7 3 tgt0");
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));
    assert_eq!(found(CLIENT), [("e7.3".to_owned(), 64)]);
    let again = classic("7 4 tgt0");
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("locked"));
    // It is nobody's child any more: it is found by the lock on its disk.
    let mut sector = [0; 512];
    fs::File::open(&disk).and_then(|file| file.read_exact_at(&mut sector, 0)).expect("the disk");
    let pid = in_background(&disk);
    assert!(Command::new("kill").arg(&pid).status().is_ok_and(|status| status.success()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::exists(format!("/proc/{pid}")).expect("/proc") {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(addresses(CLIENT), [] as [&str; 0]);
}

#[test]
fn without_descriptors_the_daemon_rests_and_answers_when_it_has_some() {
    let Some(stage) = with_a_cable(1500) else { return };
    let exports = export("7.1", &stage.zeros("disk", 8), TARGET, "");
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    let pid = daemon.ask("status", json!({}))["pid"].to_string();
    let id = pid.parse().ok().and_then(Pid::from_raw);
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count() as u64;
    let limit = descriptor_limit(&pid);
    assert_eq!(limit.0, limit.1, "the limit is raised as far as it goes");
    let few = Rlimit { current: Some(open), maximum: limit.1 };
    let before = prlimit(id, Resource::Nofile, few).expect("a limit");
    // More than there are descriptors for.
    let socket = stage.path("d/control.sock");
    let clients: Vec<_> = (0..24).map(|_| UnixStream::connect(&socket).expect("room")).collect();
    let start = processor_time(&pid);
    std::thread::sleep(Duration::from_secs(2));
    let used = processor_time(&pid) - start;
    assert!(used < 100, "{used} hundredths of a second in 2 s");
    prlimit(id, Resource::Nofile, before).expect("a limit");
    drop(clients);
    daemon.until_state("7.1", "up");
    daemon.stop();
}

/// The limit on descriptors of a process, and the highest that it may set.
fn descriptor_limit(pid: &str) -> (Option<u64>, Option<u64>) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let mut words = line.split_whitespace().skip(3).map(|word| word.parse().ok());
    (words.next().flatten(), words.next().flatten())
}

/// What a process has used of processors, in hundredths of a second (proc_pid_stat(5)).
fn processor_time(pid: &str) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = stat.rsplit(") ").next().expect("fields");
    after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
}

/// The process that serves this disk.
fn in_background(disk: &std::path::Path) -> String {
    let needle = disk.display().to_string();
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let serves = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        words.iter().any(|word| *word == needle) && words.iter().any(|word| word == "--in-background")
    };
    let mut pids = processes.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(serves);
    pids.next().expect("a process in the background")
}

#[test]
fn the_thread_that_serves_is_shut_in_and_the_others_keep_what_opening_takes() {
    let Some(stage) = with_a_cable(1500) else { return };
    let exports = export("7.1", &stage.zeros("disk", 8), TARGET, "");
    let mut daemon = Daemon::start(stage.path("").as_path(), "d", &exports);
    daemon.until_state("7.1", "up");
    let pid = daemon.ask("status", json!({}))["pid"].to_string();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
    let mut threads: Vec<_> = tasks.map(|task| status(&task.path())).collect();
    threads.retain(|thread| ["serve", "vbladed"].contains(&thread["Name"].as_str()));
    threads.sort_by(|a, b| a["Name"].cmp(&b["Name"]));
    let [serve, manager] = &threads[..] else { panic!("{threads:?}") };
    let capabilities = |thread: &HashMap<String, String>, set: &str| {
        u64::from_str_radix(&thread[set], 16).expect("a set of capabilities")
    };
    for set in ["CapPrm", "CapEff", "CapInh", "CapBnd"] {
        assert_eq!(capabilities(serve, set), 0, "{set} of the thread that serves");
    }
    assert_eq!((serve["Seccomp"].as_str(), serve["NoNewPrivs"].as_str()), ("2", "1"));
    // DAC_OVERRIDE, SETGID, SETUID, SETPCAP, NET_ADMIN, NET_RAW, BPF.
    let opening = 1 << 1 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 39;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(capabilities(manager, set) & !opening, 0, "{set} of the others");
    }
    assert_eq!((capabilities(manager, "CapInh"), manager["NoNewPrivs"].as_str()), (0, "1"));
    daemon.stop();
}

/// What is told of a thread (proc_pid_status(5)).
fn status(task: &std::path::Path) -> HashMap<String, String> {
    let text = fs::read_to_string(task.join("status")).expect("a thread");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
