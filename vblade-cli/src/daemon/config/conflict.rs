//! Exports that cannot be beside each other: two at one address where one initiator could see both, and two that write to the same
//! sectors of a file, since nothing keeps an order between them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Export;
use super::mistake::{Mistake, Place};

/// An export, and where its address and its path are written.
pub(super) struct Written {
    pub(super) export: Export,
    pub(super) address: Place,
    pub(super) path: Place,
}

/// Tells of each export that is in conflict with one before it.
pub(super) fn find(written: &[Written], mistakes: &mut Vec<Mistake>) {
    let mut addresses = BTreeMap::<_, Vec<&Written>>::new();
    let mut disks = BTreeMap::<_, Vec<&Written>>::new();
    for this in written {
        let address = this.export.target.address;
        let before = addresses.entry(address).or_default();
        if let Some(other) = before.iter().find(|other| meet(&this.export, &other.export)) {
            mistakes.push(Mistake::new(
                this.address.clone(),
                format!(
                    "{address} is the address of another export on the same interface, at {}; give another one, or other interfaces",
                    other.address
                ),
            ));
        }
        before.push(this);
        let Some(disk) = disk(&this.export).filter(|_| !this.export.read_only) else { continue };
        let before = disks.entry(disk).or_default();
        if let Some(other) = before.iter().find(|other| overlap(&this.export, &other.export)) {
            mistakes.push(Mistake::new(
                this.path.clone(),
                format!(
                    "{} and {} write to the same sectors of this file, see {}; give offset and length so that they do not, or read_only = true (force = true to serve all the same)",
                    this.export.target.address, other.export.target.address, other.path
                ),
            ));
        }
        before.push(this);
    }
}

/// Why these two cannot be beside each other.
pub(crate) fn between(this: &Export, other: &Export) -> Option<String> {
    let (address, taken) = (this.target.address, other.target.address);
    if address == taken && meet(this, other) {
        return Some(format!(
            "{address} is the address of another export on the same interface; give another one, or other interfaces"
        ));
    }
    let both_write = !this.read_only && !other.read_only;
    (both_write && disk(this).is_some_and(|it| Some(it) == disk(other)) && overlap(this, other)).then(|| {
        format!("{address} and {taken} write to the same sectors of one file; give offset and length so that they do not, or read_only = true")
    })
}

fn meet(this: &Export, other: &Export) -> bool {
    this.netifs.iter().any(|one| other.netifs.iter().any(|other| one.meets(other)))
}

fn overlap(this: &Export, other: &Export) -> bool {
    let range = |export: &Export| {
        export.offset..export.length.map_or(u64::MAX, |length| export.offset.saturating_add(length))
    };
    let (one, two) = (range(this), range(other));
    one.start < two.end && two.start < one.end && !this.force && !other.force
}

/// What a file is, however it is called.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Disk {
    /// Device and inode.
    File(u64, u64),
    Device(u64),
    /// It is not there yet.
    Path(PathBuf),
}

fn disk(export: &Export) -> Option<Disk> {
    let path = export.source.path()?;
    Some(match fs::metadata(&path) {
        Ok(file) if file.file_type().is_block_device() => Disk::Device(file.rdev()),
        Ok(file) => Disk::File(file.dev(), file.ino()),
        Err(_) => Disk::Path(plain(&path)),
    })
}

/// Without `.` and doubled slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
