//! Where it happens: a network of its own, and files in memory and on a drive.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use signal_hook::consts::{SIGINT, SIGTERM};
use tempfile::TempDir;

use crate::Error;

/// Interface that targets serve on.
pub(crate) const TARGET: &str = "target";
/// The other end of its cable.
pub(crate) const CLIENT: &str = "client";

/// Set in the process that is inside, to the two directories.
const MEMORY: &str = "COMPARE_MEMORY";
const DRIVE: &str = "COMPARE_DRIVE";

/// Bytes of the file in memory.
const MEMORY_LEN: u64 = 64 << 20;
/// As many are written to a drive at once, so that it allocates no larger pieces.
const BLOCK: usize = 4096;
/// Bytes of random data that a file on a drive is made of.
const PATTERN: usize = 1 << 20;

/// Runs this program again, with the same arguments, in namespaces of its own; all in them ends with it, and its files go.
///
/// # Errors
///
/// When the machine has no place for them.
pub(crate) fn enter() -> Result<ExitCode, Error> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let memory = directory(Path::new("/dev/shm"))?;
    let drive = directory(&std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from))?;

    // Both ends: when this process ends, unshare does, and when that does, the first process inside and with it all others.
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    let mut inside = command.env(MEMORY, memory.path()).env(DRIVE, drive.path()).spawn()?;
    let status = loop {
        if let Some(status) = inside.try_wait()? {
            break status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2);
        }
        if stopped.load(Ordering::Acquire) {
            let _ = inside.kill();
            inside.wait()?;
            // The others are ended by the kernel, at about the same time.
            thread::sleep(Duration::from_millis(200));
            break 130;
        }
        thread::sleep(Duration::from_millis(20));
    };
    Ok(ExitCode::from(status))
}

fn directory(parent: &Path) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix("compare-")
        .tempdir_in(parent)
        .map_err(|error| format!("{}: no directory for files: {error}", parent.display()).into())
}

/// The place, seen from inside.
pub(crate) struct Stage {
    memory: PathBuf,
    drive: PathBuf,
    drive_len: u64,
}

impl Stage {
    /// The place that this process is in; `None` outside. Its file on a drive, once needed, has `drive_len` bytes.
    pub(crate) fn inside(drive_len: u64) -> Option<Self> {
        let directory = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Self { memory: directory(MEMORY)?, drive: directory(DRIVE)?, drive_len })
    }

    /// A path for something small.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.memory.join(name)
    }

    /// The directory on a drive.
    pub(crate) fn drive(&self) -> &Path {
        &self.drive
    }

    /// The disk in memory, of random data.
    pub(crate) fn memory_disk(&self) -> Result<PathBuf, Error> {
        let path = self.memory.join("disk");
        if !path.exists() {
            let mut random = File::open("/dev/urandom")?.take(MEMORY_LEN);
            io::copy(&mut random, &mut File::create(&path)?)?;
        }
        Ok(path)
    }

    /// The disk on a drive: random blocks that all differ, each written by itself, none of them in the page cache.
    pub(crate) fn drive_disk(&self) -> Result<PathBuf, Error> {
        let path = self.drive.join("disk");
        if !path.exists() {
            let mut pattern = vec![0; PATTERN];
            File::open("/dev/urandom")?.read_exact(&mut pattern)?;
            let mut file = File::create(&path)?;
            for number in 0..self.drive_len / BLOCK as u64 {
                let at = number as usize * BLOCK % PATTERN;
                let block = &mut pattern[at..at + BLOCK];
                block[..8].copy_from_slice(&number.to_le_bytes());
                file.write_all(block)?;
            }
            file.sync_all()?;
        }
        fadvise(File::open(&path)?, 0, None, Advice::DontNeed)?;
        Ok(path)
    }

    /// Lays a cable between [`TARGET`] and [`CLIENT`], in place of the last.
    pub(crate) fn connect(&self, mtu: u32) -> Result<(), Error> {
        // There is none at first.
        let _ = Command::new("ip").args(["link", "del", TARGET]).stderr(Stdio::null()).status();
        let mtu = mtu.to_string();
        ip(&["link", "add", TARGET, "mtu", &mtu, "type", "veth", "peer", "name", CLIENT, "mtu", &mtu])?;
        for end in [TARGET, CLIENT] {
            // Its neighbour discovery would be traffic, too. A kernel without IPv6 has no such file.
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
            ip(&["link", "set", end, "up"])?;
        }
        Ok(())
    }
}

fn ip(words: &[&str]) -> Result<(), Error> {
    let output = Command::new("ip").args(words).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
}
