//! Where state files are.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::text::Key;

/// What the choice of a directory depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Whether this is the system's administrator.
    pub(super) root: bool,
    /// `$STATE_DIRECTORY`: set by systemd, a list with colons.
    pub(super) state_directory: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub(super) xdg_state_home: Option<OsString>,
    /// `$HOME`.
    pub(super) home: Option<OsString>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn ours() -> Self {
        Self {
            root: rustix::process::geteuid().is_root(),
            state_directory: env::var_os("STATE_DIRECTORY"),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            home: env::var_os("HOME"),
        }
    }

    /// The directory for state files; `None` when the environment names none. Relative paths count as not set, as the XDG Base
    /// Directory Specification has it.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let path = |variable: &Option<OsString>| variable.as_ref().map(PathBuf::from).filter(absolute);
        let first =
            self.state_directory.as_ref().and_then(|list| env::split_paths(list).next()).filter(absolute);
        let system = self.root.then(|| PathBuf::from("/var/lib/vblade"));
        first.or(system).or_else(|| {
            let state_home =
                path(&self.xdg_state_home).or_else(|| Some(path(&self.home)?.join(".local/state")));
            Some(state_home?.join("vblade"))
        })
    }
}

/// The name of an export's file: readable, and different for every file that is exported at one address.
pub(super) fn file_name(key: &Key) -> String {
    format!("{}-{:08x}", key.address, crc32fast::hash(key.path.as_os_str().as_bytes()))
}

/// `path` from the root, its directories resolved. Its last component stays as it is: names like `/dev/disk/by-id/…` are links on
/// purpose, and what they point to changes.
pub(super) fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => absolute.canonicalize(),
    }
}

#[cfg(test)]
mod tests {
    use aoe_target::Address;

    use super::*;

    fn directory(root: bool, state_directory: &str, xdg_state_home: &str, home: &str) -> Option<PathBuf> {
        let set = |value: &str| (value != "-").then(|| OsString::from(value));
        let (state_directory, xdg_state_home, home) = (set(state_directory), set(xdg_state_home), set(home));
        Environment { root, state_directory, xdg_state_home, home }.directory()
    }

    #[test]
    fn the_first_directory_that_the_environment_names_is_used() {
        let is = |path: &str| Some(PathBuf::from(path));
        assert_eq!(directory(true, "/a:/b", "/x", "/root"), is("/a"));
        assert_eq!(directory(true, "-", "/x", "/root"), is("/var/lib/vblade"));
        assert_eq!(directory(false, "/a", "/x", "/home/u"), is("/a"));
        assert_eq!(directory(false, "-", "/x", "/home/u"), is("/x/vblade"));
        assert_eq!(directory(false, "-", "-", "/home/u"), is("/home/u/.local/state/vblade"));
        assert_eq!(directory(false, "", "relative", "/home/u"), is("/home/u/.local/state/vblade"));
        assert_eq!(directory(false, "-", "-", "-"), None);
        assert_eq!(directory(false, "-", "-", ""), None);
    }

    #[test]
    fn files_exported_at_one_address_have_names_of_their_own() {
        let name = |path: &str| file_name(&Key { address: Address::new(7, 3), path: path.into() });
        assert!(name("/a").starts_with("e7.3-"));
        assert_ne!(name("/a"), name("/b"));
    }

    #[test]
    fn a_path_is_the_same_however_it_is_written_and_a_link_is_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path");
        std::fs::create_dir(root.join("sub")).expect("a directory");
        std::fs::write(root.join("disk"), "").expect("a file");
        std::os::unix::fs::symlink("disk", root.join("link")).expect("a link");
        assert_eq!(absolute(&root.join("sub/../disk")).expect("a path"), root.join("disk"));
        assert_eq!(absolute(&root.join("./link")).expect("a path"), root.join("link"));
    }
}
