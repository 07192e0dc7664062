//! The sandbox, in a process of its own: this program runs itself again, for one of the acts.
#![expect(unsafe_code, reason = "system calls that the process must not make")]

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::{env, fs, io, panic, process, thread};

use super::{Reach, Sandbox};

/// Names of the environment variables that name the act and the state directory.
const ACT: &str = "VBLADE_TEST_ACT";
const DIR: &str = "VBLADE_TEST_DIR";

/// What the process does after `enter`, or before.
fn act(name: &str, dir: &Path, enter: impl FnOnce()) {
    match name {
        "execve" => {
            enter();
            drop(Command::new("/bin/true").exec());
        }
        "a thread from before" => {
            let (go, wait) = channel::<()>();
            let early = thread::spawn(move || {
                wait.recv().expect("a word");
                call(libc::SYS_socket, [libc::AF_UNIX.into(), libc::SOCK_STREAM.into(), 0]);
            });
            enter();
            go.send(()).expect("a listener");
            early.join().expect("no panic");
        }
        "newer calls" => {
            enter();
            for number in [libc::SYS_clone3, syscalls::Sysno::last() as libc::c_long + 1, 1 << 30] {
                assert_eq!(call(number, [0; 3]), Some(libc::ENOSYS), "{number}");
            }
        }
        "files" => {
            let outside = dir.join("../outside");
            fs::write(&outside, "x").expect("a file");
            let open = fs::File::options().read(true).write(true).open(&outside).expect("a file");
            enter();
            for path in
                [&outside, Path::new("/etc/passwd"), Path::new("/proc/self/status"), Path::new("/dev/null")]
            {
                refused(fs::File::open(path).map(drop));
            }
            refused(fs::write(&outside, "y"));
            refused(fs::write(dir.join("../new"), "y"));
            refused(fs::remove_file(&outside));
            refused(fs::create_dir(dir.join("more")));
            refused(fs::rename(&outside, dir.join("stolen")));
            // What is open stays usable.
            io::Write::write_all(&mut &open, b"z").expect("a file");
        }
        "state" => {
            enter();
            let (temporary, file) = (dir.join("state.tmp"), dir.join("state"));
            for text in ["one", "two"] {
                fs::write(&temporary, text).expect("a file");
                fs::rename(&temporary, &file).expect("a new name");
                fs::File::open(dir).expect("the directory").sync_all().expect("a sync");
            }
            fs::write(&temporary, "three").expect("a file");
            fs::remove_file(&temporary).expect("a file less");
            // Written, not read.
            refused(fs::read(&file).map(drop));
        }
        "threads and panics" => {
            enter();
            let named = thread::Builder::new().name("disk".to_owned());
            let thread = named.spawn(|| panic!("as a disk may")).expect("a thread");
            assert!(thread.join().is_err());
            thread::sleep(std::time::Duration::from_millis(1));
            assert!(panic::catch_unwind(|| panic!("once more")).is_err());
        }
        "clocks" => {
            enter();
            for clock in [rustix::time::ClockId::Monotonic, rustix::time::ClockId::Realtime] {
                assert_ne!(rustix::time::clock_gettime(clock).tv_sec, 0);
            }
        }
        "abort" => {
            enter();
            process::abort();
        }
        "kill by number" => {
            enter();
            call(libc::SYS_tgkill, [process::id().into(), thread_id(), libc::SIGSYS.into()]);
        }
        other => {
            let (number, arguments) = FORBIDDEN.iter().find(|call| call.0 == other).expect("an act").1;
            enter();
            call(number, arguments);
        }
    }
}

/// Calls that are outside the list, or whose arguments are.
const FORBIDDEN: &[(&str, (libc::c_long, [libc::c_long; 3]))] = &[
    ("socket", (libc::SYS_socket, [libc::AF_PACKET as _, libc::SOCK_RAW as _, 0])),
    ("connect", (libc::SYS_connect, [0, 0, 0])),
    ("ptrace", (libc::SYS_ptrace, [libc::PTRACE_TRACEME as _, 0, 0])),
    ("kill", (libc::SYS_kill, [1, 0, 0])),
    ("tgkill", (libc::SYS_tgkill, [1, 1, 0])),
    ("bpf", (libc::SYS_bpf, [0, 0, 0])),
    ("unshare", (libc::SYS_unshare, [0, 0, 0])),
    ("clone", (libc::SYS_clone, [libc::SIGCHLD as _, 0, 0])),
    ("io_uring_setup", (libc::SYS_io_uring_setup, [8, 0, 0])),
    ("io_uring_register", (libc::SYS_io_uring_register, [-1, 0, 0])),
    ("mmap", (libc::SYS_mmap, [0, 4096, (libc::PROT_READ | libc::PROT_EXEC) as _])),
    ("mprotect", (libc::SYS_mprotect, [0, 0, libc::PROT_EXEC as _])),
    ("prctl", (libc::SYS_prctl, [libc::PR_SET_DUMPABLE as _, 1, 0])),
    ("ioctl", (libc::SYS_ioctl, [0, libc::TIOCSTI as _, 0])),
    ("fcntl", (libc::SYS_fcntl, [0, libc::F_SETOWN as _, 1])),
    ("setsockopt", (libc::SYS_setsockopt, [0, libc::SOL_PACKET as _, libc::PACKET_RX_RING as _])),
];

fn thread_id() -> libc::c_long {
    // SAFETY: takes nothing.
    unsafe { libc::gettid() }.into()
}

/// The call's error number.
fn call(number: libc::c_long, [a, b, c]: [libc::c_long; 3]) -> Option<i32> {
    // SAFETY: no argument is a pointer to memory that is used.
    let result = unsafe { libc::syscall(number, a, b, c, 0, 0, 0) };
    (result == -1).then(|| io::Error::last_os_error().raw_os_error()).flatten()
}

#[track_caller]
fn refused(result: io::Result<()>) {
    assert_eq!(result.expect_err("outside").kind(), io::ErrorKind::PermissionDenied);
}

/// Not a test: what the process does that the others start. For nobody, nothing.
#[test]
fn a_process_that_acts() {
    let (Ok(name), Some(dir)) = (env::var(ACT), env::var_os(DIR)) else { return };
    let enter = || {
        let sandbox = Sandbox::enter(Some(Path::new(&dir)), Reach::Process);
        eprintln!("sandbox: {sandbox}");
    };
    act(&name, Path::new(&dir), enter);
    // Not by way of the harness, which may do more than serving takes.
    process::exit(0);
}

/// What became of the process that does `act`, and its standard error; `None`, said aloud, where `part` of the sandbox is not to be had.
fn run(act: &str, part: &str) -> Option<(Output, String)> {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    fs::create_dir(&state).expect("a directory");
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "sandbox::tests::a_process_that_acts", "--nocapture", "--test-threads=1"])
        .env(ACT, act)
        .env(DIR, &state)
        .env("RUST_BACKTRACE", "full")
        .output()
        .expect("this program");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = stderr.lines().find(|line| line.starts_with("sandbox: ")).expect("a word about the sandbox");
    if line.contains(&format!("no {part}")) {
        let strict = |name| env::var(name).is_ok_and(|value| value == "1" || value == "true");
        assert!(!strict("CI") && !strict("E2E_STRICT"), "{act} cannot be tested here: {line}");
        let _ = io::Write::write_all(&mut io::stderr(), format!("SKIP {act}: {line}\n").as_bytes());
        return None;
    }
    Some((output, stderr))
}

#[track_caller]
fn succeeds(act: &str, part: &str) {
    let Some((output, stderr)) = run(act, part) else { return };
    assert_eq!(output.status.code(), Some(0), "{act}: {stderr}");
}

#[track_caller]
fn ends_by_sigsys(act: &str, name: &str) {
    let Some((output, stderr)) = run(act, "seccomp") else { return };
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{act}: {:?} {stderr}", output.status);
    let line = stderr.lines().last().expect("a line");
    let expected = format!(" ({name}) is outside the sandbox; report this, or start with --no-sandbox");
    assert!(line.starts_with("vblade: system call ") && line.ends_with(&expected), "{act}: {stderr}");
}

#[test]
fn a_call_outside_the_list_is_named_and_ends_the_process() {
    ends_by_sigsys("execve", "execve");
    for (name, _) in FORBIDDEN {
        ends_by_sigsys(name, name);
    }
}

#[test]
fn a_thread_from_before_is_inside_as_well() {
    ends_by_sigsys("a thread from before", "socket");
}

#[test]
fn calls_that_are_newer_than_the_program_are_not_there() {
    succeeds("newer calls", "seccomp");
}

#[test]
fn no_file_outside_the_state_directory_can_be_opened_made_moved_or_removed() {
    succeeds("files", "Landlock");
}

#[test]
fn a_file_of_the_state_directory_can_be_replaced() {
    succeeds("state", "Landlock");
}

#[test]
fn threads_start_and_a_panic_is_reported_and_survived() {
    succeeds("threads and panics", "seccomp");
}

#[test]
fn clocks_that_are_first_looked_at_within_can_be_read() {
    succeeds("clocks", "seccomp");
}

#[test]
fn abort_and_a_signal_that_somebody_sends_end_the_process_as_ever() {
    for (act, signal) in [("abort", libc::SIGABRT), ("kill by number", libc::SIGSYS)] {
        let Some((output, stderr)) = run(act, "seccomp") else { return };
        assert_eq!(output.status.signal(), Some(signal), "{act}: {stderr}");
        assert!(!stderr.contains("outside the sandbox"), "{stderr}");
    }
}
