//! What the process may still do while it serves, and that this is enough for all that it does.

#[cfg(target_arch = "x86_64")]
mod hijack;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::thread;
use std::time::{Duration, Instant};

use e2e::disk::SECTORS;
use e2e::net::skip;
use e2e::request::{self, ata, config, mask, reserve};
use e2e::{Lab, S, SECTOR, Setup, T};
use rustix::process::Signal;

/// How soon what was asked for must be seen.
const SOON: Duration = Duration::from_secs(5);

fn pid(lab: &Lab) -> u32 {
    let line = lab.target.stdout();
    line.split([' ', ':']).nth(1).and_then(|pid| pid.parse().ok()).expect("a process id in the first line")
}

/// The status of each of the target's threads (proc_pid_status(5)).
fn threads(lab: &Lab) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid(lab))).expect("a process");
    tasks
        .map(|task| fs::read_to_string(task.expect("a thread").path().join("status")).expect("a status"))
        .collect()
}

fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[track_caller]
fn assert_every_thread_is_shut_in(lab: &Lab) {
    for status in threads(lab) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(value(&status, set).trim_matches('0'), "", "{set}: {status}");
        }
        assert_eq!([value(&status, "NoNewPrivs"), value(&status, "Seccomp")], ["1", "2"], "{status}");
    }
}

/// Asks for TRIM of some sectors, which a thread does.
fn trim(lab: &mut Lab, lba: u64, count: u16) {
    let mut ranges = vec![0; SECTOR];
    ranges[..8].copy_from_slice(&(lba | u64::from(count) << 48).to_le_bytes());
    lab.ask(&ata(0x41, 1, 1, 0x06).data(&ranges)).good();
    lab.disk.expect(lba, &vec![0; usize::from(count) * SECTOR]);
}

/// Whatever a target is asked to do.
fn use_all_of_it(lab: &mut Lab) {
    lab.ask(&request::identify()).good();
    for round in 0..20 {
        lab.write(33 + round, &[round as u8; 2 * SECTOR]);
        lab.read(32 + round, 2);
    }
    trim(lab, 200, 64);
    lab.read(199, 2);
    lab.ask(&request::flush()).good();
    for text in [&b"one"[..], b"another"] {
        lab.ask(&config(4, text)).good();
    }
    lab.ask(&mask(1, &[(1, S)])).good().with_list(&[S]);
    lab.ask(&reserve(1, &[S])).good().with_list(&[S]);
    assert!(threads(lab).len() > 1, "one for TRIM");
    assert_every_thread_is_shut_in(lab);
}

/// Makes the file twice as long, and waits until the target has that size.
fn grow(lab: &mut Lab) {
    let file = fs::File::options().write(true).open(lab.disk.path()).expect("the disk");
    file.set_len(2 * SECTORS * SECTOR as u64).expect("room");
    lab.target.signal(Signal::HUP);
    let deadline = Instant::now() + SOON;
    while !lab.target.stderr().contains("size is now") {
        assert!(Instant::now() < deadline, "the target does not look again");
        thread::sleep(Duration::from_millis(2));
    }
    lab.await_advertisement(SOON);
    lab.ask(&request::read(2 * SECTORS - 2, 2)).good().with_data(&[0; 2 * SECTOR]);
    file.set_len(SECTORS * SECTOR as u64).expect("as it was");
}

/// A target whose kernel refuses these calls.
fn without(errno: &str, calls: &str) -> Setup {
    let (inject, trace) = (format!("inject={calls}:error={errno}"), format!("trace={calls}"));
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &inject, "-e", &trace];
    Setup::default().wrapper(&strace)
}

fn serves_everything(setup: Setup) {
    setup.run(|lab| {
        assert!(
            lab.target.stderr().contains("sandbox: no capabilities, seccomp, Landlock ABI "),
            "{}",
            lab.target.stderr()
        );
        use_all_of_it(lab);
        grow(lab);
        // What was set is there again, and can be changed again.
        lab.restart();
        lab.ask(&config(0, b"")).good().with_string(b"another");
        lab.ask(&reserve(1, &[])).good().with_list(&[]);
        lab.target.stop();
        lab.revive();
    });
}

/// Whether the whole sandbox is to be had; if not, the test is over, skipped.
fn is_to_be_had() -> bool {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    // Version 1 of Landlock is that of Linux 5.13.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').filter_map(|number| number.parse::<u32>().ok());
    let there = actions.contains("trap") && (numbers.next(), numbers.next()) >= (Some(5), Some(13));
    if !there {
        skip("needs a kernel with seccomp and Landlock");
    }
    there
}

#[test]
fn everything_is_served_from_within_by_every_way_to_the_disk() {
    if !is_to_be_had() {
        return;
    }
    for options in [&[][..], &["-d"], &["-d", "-s"], &["--cache", "writeback"], &["-v", "-v"]] {
        serves_everything(Setup::default().options(options));
    }
    for options in [&[][..], &["-d"]] {
        serves_everything(without("EPERM", "io_uring_setup").options(options));
    }
}

#[test]
fn everything_is_served_from_within_by_every_link() {
    if !is_to_be_had() {
        return;
    }
    for link in ["pnet", "packet"] {
        for mtu in [1500, 9000] {
            serves_everything(Setup::default().mtu(mtu).options(&["--link", link]));
        }
    }
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !map.contains("4294967295") {
        return skip("needs root, to load programs into the kernel");
    }
    serves_everything(Setup::default().options(&["--link", "xdp"]));
    // The program is gone with the interface, and a packet socket takes over.
    Setup::default().options(&["--link", "xdp"]).run(|lab| {
        lab.net.ip("link del tgt0");
        lab.net.connect_as(1500, T, S);
        lab.reopen();
        lab.net.ip("link set tgt0 down");
        lab.net.ip("link set tgt0 up");
        lab.await_advertisement(SOON);
        while lab.next(Duration::from_millis(150)).is_some() {}
        lab.write(8, &[8; SECTOR]);
        lab.read(7, 2);
        assert_every_thread_is_shut_in(lab);
    });
}

#[test]
fn a_disk_in_memory_is_served_from_within_and_survives_being_cut_short() {
    if !is_to_be_had() {
        return;
    }
    Setup::default().run(|lab| {
        let memory = lab.dir.path().join("memory");
        fs::create_dir(&memory).expect("a mount point");
        let Some(_mount) = lab.net.mount_tmpfs(&memory, 32 << 20) else { return };
        let path = memory.join("disk");
        fs::copy(lab.disk.path(), &path).expect("room");
        lab.export(&path);
        lab.read(40, 2);
        lab.ask(&request::write(41, &[7; SECTOR])).good();
        lab.ask(&request::read(41, 1)).good().with_data(&[7; SECTOR]);
        let file = fs::File::options().write(true).open(&path).expect("the disk");
        // Read by way of a mapping, which raises SIGBUS there.
        file.set_len(100 * SECTOR as u64).expect("a shorter file");
        lab.ask(&request::read(8000, 2)).failed(0x40, 2);
        lab.read(50, 2);
        assert_every_thread_is_shut_in(lab);
    });
}

/// What must be missing, what is then in force, and how it is told.
const LACKS: &[(&str, &str, &str)] = &[
    ("seccomp", "sandbox: no capabilities, Landlock ABI ", "; no seccomp: "),
    ("landlock_create_ruleset", "sandbox: no capabilities, seccomp; ", "no Landlock: "),
    ("seccomp,landlock_create_ruleset", "sandbox: no capabilities, no seccomp: ", "; no Landlock: "),
];

#[test]
fn where_a_part_is_missing_the_disk_is_served_with_one_warning() {
    for errno in ["ENOSYS", "EPERM"] {
        for &(calls, start, end) in LACKS {
            without(errno, calls).run(|lab| {
                let log = lab.target.stderr();
                let lines: Vec<_> = log.lines().filter(|line| line.contains("sandbox: ")).collect();
                let [line] = lines[..] else { panic!("{log}") };
                assert!(line.contains("WARN") && line.contains(start) && line.contains(end), "{line}");
                lab.write(33, &[3; SECTOR]);
                lab.ask(&config(4, b"text")).good();
            });
        }
    }
}

#[test]
fn a_call_outside_the_list_is_named_and_ends_the_process_and_nothing_is_lost() {
    if !is_to_be_had() {
        return;
    }
    for (number, name) in
        [(libc::SYS_execve, "execve"), (libc::SYS_socket, "socket"), (libc::SYS_ptrace, "ptrace")]
    {
        Setup::default().run(|lab| {
            lab.write(33, &[3; 2 * SECTOR]);
            // It waits for frames once none have come for a while.
            thread::sleep(Duration::from_millis(100));
            #[cfg(target_arch = "x86_64")]
            hijack::call(pid(lab), number);
            #[cfg(not(target_arch = "x86_64"))]
            return skip("knows the registers of x86-64 only");
            let status = lab.target.wait();
            let log = lab.target.stderr();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGSYS), "{status}: {log}");
            let line = format!(
                "vblade: system call {number} ({name}) is outside the sandbox; report this, or start with --no-sandbox"
            );
            assert_eq!(log.lines().last(), Some(line.as_str()));
            lab.revive();
            lab.read(32, 2);
        });
    }
}

#[test]
fn without_a_sandbox_the_capabilities_are_gone_all_the_same() {
    Setup::default().options(&["--no-sandbox"]).run(|lab| {
        let [status] = &threads(lab)[..] else { panic!("one thread") };
        assert_eq!(
            ["CapPrm", "CapEff", "CapBnd"].map(|set| value(status, set).trim_matches('0')),
            ["", "", ""]
        );
        assert_eq!([value(status, "NoNewPrivs"), value(status, "Seccomp")], ["1", "0"]);
        assert!(lab.target.stderr().contains("WARN no sandbox (--no-sandbox)"));
        lab.write(33, &[3; SECTOR]);
    });
}

#[test]
fn settings_are_stored_in_the_directory_of_another_user_as_that_user() {
    const USER: u32 = 65534;
    let state = tempfile::tempdir().expect("a directory for the state");
    if chown(state.path(), Some(USER), Some(USER)).is_err() {
        return skip("needs root, to give a directory to another user");
    }
    Setup::default().options(&["--state-dir", &state.path().display().to_string()]).run(|lab| {
        let [status] = &threads(lab)[..] else { panic!("one thread") };
        let ids = format!("{USER}\t{USER}\t{USER}\t{USER}");
        assert_eq!(
            [value(status, "Uid"), value(status, "Gid"), value(status, "Groups")],
            [&ids[..], &ids, ""]
        );
        for text in [&b"one"[..], b"two"] {
            lab.ask(&config(4, text)).good();
        }
        let files: Vec<_> = fs::read_dir(state.path()).expect("the directory").flatten().collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        assert_eq!(file.metadata().expect("a file").uid(), USER);
        lab.restart();
        lab.ask(&config(0, b"")).good().with_string(b"two");
    });
}

#[test]
fn a_state_directory_that_is_taken_away_refuses_settings_and_ends_nothing() {
    let state = tempfile::tempdir().expect("a directory for the state");
    let dir = state.path().join("states");
    Setup::default().options(&["--state-dir", &dir.display().to_string()]).run(|lab| {
        lab.ask(&config(4, b"one")).good();
        fs::remove_dir_all(&dir).expect("the directory");
        let reply = lab.ask(&config(4, b"two"));
        assert!(reply.refusal().is_some(), "{reply:?}");
        lab.ask(&config(0, b"")).good().with_string(b"one");
        assert!(lab.target.stderr().contains("cannot store what an initiator sets, so it is refused"));
        lab.write(33, &[3; SECTOR]);
    });
}
