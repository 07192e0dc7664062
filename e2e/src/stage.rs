//! What a test of `aoe` receives: a network, a directory, and targets of either kind in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::SECTOR;
use crate::net::{Net, TARGET};
use crate::rng::Rng;
use crate::target::{self, Target};
use crate::wire::{Weather, Wire};

/// Which target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Ours,
    /// Debian's.
    Classic,
}

/// The network of one test, and a directory for it.
#[derive(Debug)]
pub struct Stage {
    /// The namespace.
    pub net: Net,
    dir: TempDir,
}

/// A namespace with a cable from `tgt0` to `ini0`. None when there is none to be had: the test is then over.
#[must_use]
pub fn with_a_cable(mtu: u32) -> Option<Stage> {
    let stage = empty()?;
    stage.net.connect(mtu);
    Some(stage)
}

/// Runs a test against either kind of target, each in a namespace of its own, with a disk `disk` of so many sectors that
/// all differ.
#[track_caller]
pub fn against_both(mtu: u32, sectors: usize, test: impl Fn(&Stage, &mut Target, Kind)) {
    for kind in [Kind::Ours, Kind::Classic] {
        // Shown when the test fails.
        println!("--- against {kind:?}, MTU {mtu}");
        let Some(stage) = with_a_cable(mtu) else { return };
        let disk = stage.random("disk", sectors);
        let Some(mut target) = stage.serve(kind, &disk) else { return };
        test(&stage, &mut target, kind);
        target.assert_alive();
    }
}

/// [`with_a_cable`] of poor quality.
#[must_use]
pub fn with_a_wire(mtu: u32, weather: Weather, seed: u64) -> Option<(Stage, Wire)> {
    let stage = empty()?;
    stage.net.connect_apart(mtu);
    Some((stage, Wire::start(weather, seed)))
}

/// A namespace with nothing in it.
#[must_use]
pub fn empty() -> Option<Stage> {
    let net = Net::enter()?;
    let dir = tempfile::tempdir().expect("a scratch directory");
    // An ordinary user may have something to do in it as well.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    Some(Stage { net, dir })
}

impl Stage {
    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new file of so many sectors that all differ.
    #[track_caller]
    #[must_use]
    pub fn random(&self, name: &str, sectors: usize) -> PathBuf {
        let mut bytes = vec![0; sectors * SECTOR];
        Rng::new(name.bytes().map(u64::from).sum()).fill(&mut bytes);
        self.file(name, &bytes)
    }

    /// A new file of so many sectors of zeros, all of them holes.
    #[track_caller]
    #[must_use]
    pub fn zeros(&self, name: &str, sectors: usize) -> PathBuf {
        let path = self.file(name, &[]);
        let file = fs::File::options().write(true).open(&path).expect("the new file");
        file.set_len((sectors * SECTOR) as u64).expect("holes");
        path
    }

    /// A new file.
    #[track_caller]
    #[must_use]
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a new file");
        path
    }

    /// Serves the disk as e7.3 on `tgt0`. None when that kind of target is not installed: the test is then over.
    #[track_caller]
    #[must_use]
    pub fn serve(&self, kind: Kind, disk: &Path) -> Option<Target> {
        self.serve_as(kind, "", &format!("7 3 {TARGET}"), disk)
    }

    /// Serves the disk: options, then shelf, slot and interface.
    #[track_caller]
    #[must_use]
    pub fn serve_as(&self, kind: Kind, options: &str, place: &str, disk: &Path) -> Option<Target> {
        let program = match kind {
            Kind::Ours => target::program(),
            Kind::Classic => target::classic()?,
        };
        let dir = self.path(&format!("target {place}"));
        fs::create_dir_all(&dir).expect("a directory for the target");
        let mut arguments: Vec<String> =
            [options, place].join(" ").split_whitespace().map(Into::into).collect();
        arguments.push(disk.display().to_string());
        let mut target = Target::spawn_program(&program, &dir, &[], &arguments);
        target.wait_until_serving();
        Some(target)
    }
}

/// Panics, naming the first sector that differs, unless the files are equal.
#[track_caller]
pub fn assert_equal(one: &Path, other: &Path) {
    let (a, b) = (fs::read(one).expect("the one file"), fs::read(other).expect("the other file"));
    assert_eq!(a.len(), b.len(), "{} and {} differ in length", one.display(), other.display());
    let mut pairs = a.chunks(SECTOR).zip(b.chunks(SECTOR));
    if let Some(lba) = pairs.position(|(a, b)| a != b) {
        panic!("{} and {} differ in sector {lba}", one.display(), other.display());
    }
}
