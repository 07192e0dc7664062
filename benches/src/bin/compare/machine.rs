//! What a machine is, as far as figures depend on it: [`Machine`].

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Where figures were measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    /// Whether a hypervisor is below.
    pub(crate) virtual_machine: bool,
    pub(crate) kernel: String,
    /// File system and device of the files on a drive.
    pub(crate) drive: String,
    /// The version of the package `vblade`.
    pub(crate) classic: String,
}

impl Machine {
    /// This one, with a drive under the directory `drive`.
    pub(crate) fn this(drive: &Path) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let (kind, device) = file_system(drive);
        Self {
            processor: field("model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            virtual_machine: field("flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            kernel: kernel.trim().to_owned(),
            drive: format!("{kind} on {device}"),
            classic: package_version("vblade"),
        }
    }

    /// One sentence.
    pub(crate) fn describe(&self) -> String {
        let Self { processor, processors, virtual_machine, kernel, drive, classic } = self;
        let kind = if *virtual_machine { "a virtual machine with " } else { "" };
        format!(
            "{kind}{processors} processors ({processor}), Linux {kernel}; files on a drive: {drive}; Debian's vblade {classic}"
        )
    }
}

/// Whether directory `path` is on no drive, but in memory.
pub(crate) fn is_memory(path: &Path) -> bool {
    matches!(file_system(path).0.as_str(), "tmpfs" | "ramfs")
}

/// What directory `path` is on: the kind of file system, and its source.
fn file_system(path: &Path) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    best_mount(&mounts, &path).unwrap_or_else(|| ("unknown".to_owned(), "unknown".to_owned()))
}

/// The mount with the longest path above `path`, and of several there the last: it covers the others. See proc(5), mountinfo.
fn best_mount(mounts: &str, path: &Path) -> Option<(String, String)> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.to_owned();
        let mut after = after.split(' ');
        let found = (after.next()?.to_owned(), after.next()?.to_owned());
        path.starts_with(&at).then_some((at.len(), found))
    };
    mounts.lines().filter_map(mount).max_by_key(|(len, _)| *len).map(|(_, found)| found)
}

fn package_version(package: &str) -> String {
    let asked = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    asked
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "of unknown version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_on_the_nearest_mount_above_it() {
        let mounts = "\
21 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
22 21 0:20 / /dev/shm rw - tmpfs tmpfs rw
23 21 0:21 / /var/tmp rw - xfs /dev/vdb rw
24 21 0:22 / /var/tmpfile rw - btrfs /dev/vdc rw
";
        let kind = |path: &str| best_mount(mounts, Path::new(path)).map(|(kind, _)| kind);
        assert_eq!(kind("/dev/shm/a").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/var/tmp/compare-1").as_deref(), Some("xfs"));
        assert_eq!(kind("/var/lib").as_deref(), Some("ext4"));
        assert_eq!(best_mount("", Path::new("/")), None);
    }
}
