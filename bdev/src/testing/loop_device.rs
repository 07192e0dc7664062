//! Block devices out of files: [`LoopDevice`].

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// A loop device of Linux, which is gone when this is dropped. It takes root and losetup (util-linux).
///
/// Where it is not to be had, there is `None`, and a line `SKIP` tells why; with `E2E_STRICT=1` or `CI=true` that is a panic.
#[derive(Debug)]
pub struct LoopDevice(PathBuf);

impl LoopDevice {
    /// A device whose content is `file`, with logical blocks of `block` bytes.
    #[must_use]
    pub fn new(file: &Path, block: u32) -> Option<Self> {
        let block = block.to_string();
        Self::made_by(Command::new("losetup").args(["--find", "--show", "--sector-size", &block]).arg(file))
    }

    /// A device of 16 MiB with room for `bytes`: beyond that, writes fail, those from the page cache when they are written back.
    ///
    /// Its file is on a file system of its own, in a mount namespace that is gone: both go with the device.
    #[must_use]
    pub fn with_room_for(bytes: u64) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={bytes} none /mnt && truncate -s 16M /mnt/disk && losetup --find --show /mnt/disk"
        );
        Self::made_by(Command::new("unshare").args(["--mount", "sh", "-c", &script]))
    }

    fn made_by(command: &mut Command) -> Option<Self> {
        match command.output() {
            Ok(output) if output.status.success() => {
                let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
                Some(Self(path))
            }
            other => {
                let asked = [("CI", "true"), ("E2E_STRICT", "1")];
                let strict = asked.iter().any(|(name, value)| env::var(name).as_deref() == Ok(value));
                assert!(!strict, "no loop device: {other:?}");
                // Past the test harness, which swallows what is printed by tests that pass.
                let _ =
                    writeln!(io::stderr(), "SKIP: no loop device, which takes root and losetup: {other:?}");
                None
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}
