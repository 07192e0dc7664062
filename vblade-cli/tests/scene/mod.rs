//! A directory with disks in it, and ways to run `vblade` there.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

pub(crate) use self::skip::skip;

mod skip;

const VBLADE: &str = env!("CARGO_BIN_EXE_vblade");
const AOE: &str = env!("CARGO_BIN_EXE_aoe");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// `disk.img` and `other.img` of 16 sectors, `tail.img` of one sector and a tail, `short.img`, `empty.img`.
pub(crate) struct Scene {
    dir: TempDir,
    modified: SystemTime,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, len) in [
            ("disk.img", 8192),
            ("other.img", 8192),
            ("tail.img", 1023),
            ("short.img", 511),
            ("empty.img", 0),
        ] {
            fs::write(dir.path().join(name), vec![0x5a; len]).expect("room");
        }
        // In the past, so that a write shows whatever the clock's resolution.
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options()
            .write(true)
            .open(dir.path().join("disk.img"))
            .and_then(|disk| disk.set_modified(modified))
            .expect("a time");
        Self { dir, modified }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where the state of `disk` exported as e7.3 is kept.
    pub(crate) fn state_file(&self, disk: &str) -> PathBuf {
        let path = self.dir.path().canonicalize().expect("a path").join(disk);
        self.path("state").join(format!("e7.3-{:08x}", crc32fast::hash(path.as_os_str().as_encoded_bytes())))
    }

    /// Runs `vblade` to its end. For command lines that end it; one that serves after all is killed.
    pub(crate) fn vblade(&self, arguments: &[&str]) -> Output {
        self.bounded(VBLADE).args(arguments).output().expect("the program runs")
    }

    /// Runs a shell script in a network namespace of its own; `$VBLADE` and `$AOE` are the programs. `None` where that cannot be done, or where the
    /// script exits with 77 because something that it needs is missing.
    pub(crate) fn in_namespace(&self, script: &str) -> Option<Output> {
        let options = namespace()?;
        let output =
            self.bounded("unshare").args([options, "sh", "-euc", script]).output().expect("unshare runs");
        if output.status.code() == Some(77) {
            skip(String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Some(output)
    }

    /// The same for a script that becomes a `vblade` that serves.
    pub(crate) fn serve(&self, script: &str) -> Option<Served> {
        let options = namespace()?;
        let mut command = self.command("unshare");
        command.args([options, "sh", "-euc", script]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("unshare runs");
        Some(Served::new(child))
    }

    /// Waits until the file `name` contains `text`.
    pub(crate) fn await_text(&self, name: &str, text: &str) {
        let start = Instant::now();
        loop {
            let content = fs::read_to_string(self.path(name)).expect("a text");
            if content.contains(text) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {content}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Neither was anything written to the disk, nor any state stored.
    pub(crate) fn assert_untouched(&self) {
        let disk = self.path("disk.img");
        assert_eq!(
            fs::metadata(&disk).and_then(|metadata| metadata.modified()).expect("a time"),
            self.modified
        );
        assert_eq!(fs::read(&disk).expect("a disk"), vec![0x5a; 8192]);
        // The directory for it is made by the time that a disk is served.
        assert_eq!(fs::read_dir(self.path("state")).map_or(0, Iterator::count), 0);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("VBLADE", VBLADE)
            .env("AOE", AOE)
            .env("STATE_DIRECTORY", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    /// A command that is killed, with its children, when it takes too long.
    fn bounded(&self, program: &str) -> Command {
        let mut command = self.command("timeout");
        command.args(["-s", "KILL", &PATIENCE.as_secs().to_string(), program]);
        command
    }
}

/// How `unshare` makes a network namespace; `None`, said aloud, where it cannot.
fn namespace() -> Option<&'static str> {
    // The owner of our own process entry is who we are.
    let root = fs::metadata("/proc/self").expect("procfs").uid() == 0;
    let options = if root { "-n" } else { "-rn" };
    let why = match Command::new("unshare").args([options, "ip", "tuntap", "list"]).output() {
        Ok(output) if output.status.success() => return Some(options),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skip(&format!("no network namespace: {why}"));
    None
}

/// A `vblade` that serves. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    first_line: String,
}

impl Served {
    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("a pipe");
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            if BufReader::new(stdout).read_line(&mut line).is_ok() {
                // Nobody waits any more when this fails.
                let _ = send.send(line);
            }
        });
        let mut served = Self { child, first_line: String::new() };
        served.first_line = receive.recv_timeout(PATIENCE).expect("a first line");
        served
    }

    pub(crate) fn first_line(&self) -> &str {
        self.first_line.trim_end_matches('\n')
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`.
    pub(crate) fn tell(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Sends `signal` and waits for the end.
    pub(crate) fn end(mut self, signal: Signal, patience: Duration) -> ExitStatus {
        self.tell(signal);
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("still running {patience:?} after {signal:?}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line on standard error that names `argument`, and nothing on standard output.
pub(crate) fn wrote_one_line(output: &Output, argument: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("vblade: ") && stderr.ends_with('\n'), "{stderr}");
    assert!(stderr.contains(argument), "{argument:?} is not in {stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
