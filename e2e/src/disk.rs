//! The exported file, and a model of what it must contain.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::SECTOR;
use crate::rng::Rng;

/// Sectors of the usual disk: 8 MiB.
pub const SECTORS: u64 = 16_384;

/// A disk on which every sector differs from every other.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut image = vec![0; SECTORS as usize * SECTOR];
    Rng::new(73).fill(&mut image);
    image
});

/// The file, and beside it what a test says it must contain.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    model: Vec<u8>,
}

impl Disk {
    /// A file of [`SECTORS`] sectors, all different.
    #[must_use]
    pub fn patterned(path: &Path) -> Self {
        Self::create(path, PATTERN.clone())
    }

    /// A file with these contents.
    #[must_use]
    pub fn create(path: &Path, image: Vec<u8>) -> Self {
        fs::write(path, &image).expect("a new disk");
        Self { path: path.to_owned(), model: image }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What these sectors must contain.
    #[must_use]
    pub fn sectors(&self, lba: u64, count: usize) -> &[u8] {
        let start = lba as usize * SECTOR;
        &self.model[start..start + count * SECTOR]
    }

    /// From now on the sectors from `lba` on must contain `data`.
    pub fn expect(&mut self, lba: u64, data: &[u8]) {
        let start = lba as usize * SECTOR;
        self.model[start..start + data.len()].copy_from_slice(data);
    }

    /// From now on the contents of the file are as they are.
    pub fn accept(&mut self) {
        self.model = fs::read(&self.path).expect("the disk");
    }

    /// Compares the file with the model.
    #[track_caller]
    pub fn verify(&self) {
        let file = fs::read(&self.path).expect("the disk");
        assert_eq!(file.len(), self.model.len(), "the size of the disk changed");
        let pairs = file.chunks(SECTOR).zip(self.model.chunks(SECTOR));
        let wrong: Vec<_> = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(lba, _)| lba).collect();
        assert!(wrong.is_empty(), "the disk differs from what was written at LBA {wrong:?}");
    }
}
