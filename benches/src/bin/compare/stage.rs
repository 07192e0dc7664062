//! Where it happens: a network of its own, and files in memory and on a drive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::inside;
use rustix::fs::{Advice, fadvise};

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

/// Runs this program again in namespaces of its own, with a directory in memory and one on a drive.
///
/// # Errors
///
/// When the machine has no place for them.
pub(crate) fn enter() -> Result<ExitCode, Error> {
    let drive = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
    inside::enter(&[(MEMORY, Path::new("/dev/shm")), (DRIVE, &drive)])
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
        inside::cable(TARGET, CLIENT, mtu)
    }
}
