//! The `vblade` process: ours, or Debian's for comparison.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::skip;
use crate::sys;

/// How long the target may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program under test: `$VBLADE`, else the release build of this repository.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn program() -> PathBuf {
    let path = env::var_os("VBLADE").map_or_else(|| release_build("vblade"), PathBuf::from);
    assert!(
        path.is_file(),
        "no target at {}: build it with `cargo build --release -p vblade-cli`, or set VBLADE",
        path.display()
    );
    path
}

/// The classic target, as Debian's package `vblade` installs it.
const CLASSIC: &str = "/usr/sbin/vblade";

/// Debian's `vblade`. None when it is not installed: the test is then over, skipped.
#[must_use]
pub fn classic() -> Option<PathBuf> {
    let path = PathBuf::from(CLASSIC);
    if !path.is_file() {
        skip("needs Debian's vblade: apt-get install vblade");
        return None;
    }
    Some(path)
}

pub(crate) fn release_build(name: &str) -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let repository = Path::new(&manifest).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    repository.join(target).join("release").join(name)
}

/// A running target. It is killed when dropped, and shows its log when that happens in a panic.
#[derive(Debug)]
pub struct Target {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Target {
    /// Starts `wrapper... vblade arguments...` without waiting for anything. What it prints, and (unless an argument
    /// says otherwise) what it remembers of a previous run, is in `dir`.
    #[must_use]
    pub fn spawn(dir: &Path, wrapper: &[String], arguments: &[String]) -> Self {
        Self::spawn_program(&program(), dir, wrapper, arguments)
    }

    /// [`Target::spawn`] of another target that takes the same arguments.
    #[must_use]
    pub fn spawn_program(program: &Path, dir: &Path, wrapper: &[String], arguments: &[String]) -> Self {
        let mut words: Vec<_> = wrapper.iter().map(AsRef::as_ref).collect();
        words.push(program.as_os_str());
        words.extend(arguments.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        let (out, log) = (dir.join("stdout"), dir.join("stderr"));
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env("STATE_DIRECTORY", dir.join("state"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(File::create(&out).expect("a file for stdout"))
            .stderr(File::create(&log).expect("a file for stderr"));
        fs::create_dir_all(dir.join("state")).expect("a state directory");
        sys::die_with_parent(&mut command);
        let child = command.spawn().unwrap_or_else(|why| panic!("cannot run {words:?}: {why}"));
        Self { child, out, log }
    }

    /// Waits until the target serves, which it says on its first line.
    #[track_caller]
    pub fn wait_until_serving(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.stdout().contains('\n') {
            if let Some(status) = self.child.try_wait().expect("the target is our child") {
                panic!("the target did not start, {status}: {}", self.stderr());
            }
            assert!(Instant::now() < deadline, "the target does not say that it serves");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has printed on stdout.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).expect("the target's stdout")
    }

    /// What it has printed on stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.log).expect("the target's stderr")
    }

    /// Kills the process, as a power failure would.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Panics if the process has ended.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the target is our child") {
            panic!("the target has ended, {status}");
        }
    }

    /// Memory it has in use, in KiB (proc(5), `VmRSS`).
    #[track_caller]
    #[must_use]
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the target runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("a number of KiB")
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the target is our child");
    }

    /// From now on the process gets no more than so many bytes of memory beyond those that it has.
    #[track_caller]
    pub fn limit_memory(&self, bytes: u64) {
        let pid = self.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/statm")).expect("the target is our child");
        let pages: u64 = status.split(' ').next().and_then(|n| n.parse().ok()).expect("its size");
        let limit = pages * rustix::param::page_size() as u64 + bytes;
        let limited =
            Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--as={limit}")]).status();
        assert!(limited.is_ok_and(|status| status.success()), "cannot limit its memory");
    }

    /// Waits for the process to end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// [`Target::wait`] for longer, or shorter.
    #[track_caller]
    pub fn wait_at_most(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("the target is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the target does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks the process to end, by SIGTERM, which must give exit status 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "the target ended with {status} on SIGTERM: {}", self.stderr());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stderr of the target\n{}---", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}
