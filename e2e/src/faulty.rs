//! A file on a disk that fails, or is slow, when a test says so: nbdkit plays the disk, nbdfuse makes a file of it, and
//! between that file and the target is the kernel's real way of reading, writing and caching.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::{Mount, Net, skip};
use crate::sys;

/// How long nbdkit and nbdfuse may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// The disk, until dropped.
#[derive(Debug)]
pub struct FaultyDisk {
    nbdfuse: Child,
    _mount: Mount,
    file: PathBuf,
    trigger: PathBuf,
}

impl FaultyDisk {
    /// A disk of so many bytes, all zeros, whose file is in a new directory `name` of `dir`. Every read and write takes
    /// `delay`. None when that is not possible here: the test is then over, skipped.
    #[track_caller]
    #[must_use]
    pub fn start(net: &Net, dir: &Path, name: &str, bytes: usize, delay: Duration) -> Option<Self> {
        for (program, package) in [("nbdkit", "nbdkit"), ("nbdfuse", "libnbd-bin"), ("fusermount3", "fuse3")]
        {
            if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
                skip(&format!("needs the command {program}: apt-get install {package}"));
                return None;
            }
        }
        if File::options().read(true).write(true).open("/dev/fuse").is_err() {
            skip("needs FUSE: modprobe fuse");
            return None;
        }
        net.own_mounts()?;
        let mount = dir.join(name);
        fs::create_dir(&mount).expect("a mount point");
        let (file, trigger) = (mount.join("disk"), dir.join(format!("{name} fails")));
        let delay = delay.as_millis();
        let mut command = Command::new("nbdfuse");
        command
            .arg(&file)
            .args(["[", "nbdkit", "--exit-with-parent", "--filter=error", "--filter=delay", "memory"])
            .arg(bytes.to_string())
            .args([&format!("delay-read={delay}ms"), &format!("delay-write={delay}ms")])
            .args(["error=EIO", "error-pread-rate=100%", "error-pwrite-rate=100%"])
            .arg(format!("error-file={}", trigger.display()))
            .arg("]")
            .stderr(File::create(dir.join(format!("{name} log"))).expect("a log file"));
        sys::die_with_parent(&mut command);
        let nbdfuse = command.spawn().expect("nbdfuse ran before");
        let disk = Self { nbdfuse, _mount: Mount::at(&mount), file, trigger };
        let deadline = Instant::now() + PATIENCE;
        while !disk.file.exists() {
            assert!(Instant::now() < deadline, "nbdfuse does not come up");
            thread::sleep(Duration::from_millis(5));
        }
        Some(disk)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// From now on every read and every write of the disk ends with EIO.
    pub fn fail(&self) {
        File::create(&self.trigger).expect("the trigger");
    }

    /// From now on the disk is well again.
    pub fn recover(&self) {
        fs::remove_file(&self.trigger).expect("the trigger of `fail`");
    }

    /// From now on the disk answers nothing.
    pub fn hold(&self) {
        self.signal(Signal::STOP);
    }

    /// From now on it answers what waits, and all else.
    pub fn release(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.nbdfuse.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("nbdfuse is our child");
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        // Fails only when it has ended already; nbdkit ends with it. The mount is in no other process's view.
        let _ = self.nbdfuse.kill();
        let _ = self.nbdfuse.wait();
    }
}
