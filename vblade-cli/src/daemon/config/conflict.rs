//! Exports that cannot be beside each other: two at one address where one initiator could see both, and two that write to the same
//! sectors of a file, since nothing keeps an order between them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Export;
use super::files::{self, Disk, Files};
use super::mistake::{Mistake, Place};

/// An export, and where its address and its path are written.
pub(super) struct Written {
    pub(super) export: Export,
    pub(super) address: Place,
    pub(super) path: Place,
}

/// Tells of each export that is in conflict with one before it. `look` says what is at a path.
pub(super) fn find(written: &[Written], look: fn(&Path) -> Option<Disk>, mistakes: &mut Vec<Mistake>) {
    let files = files_of(written.iter().map(|written| &written.export), look);
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
        if this.export.read_only {
            continue;
        }
        let Some(path) = this.export.source.path() else { continue };
        let before = disks.entry(files.disk(&path)).or_default();
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

/// Why an export cannot be beside the others.
pub(crate) fn among<'e>(
    this: &'e Export,
    mut others: impl Iterator<Item = &'e Export> + Clone,
) -> Option<String> {
    let address = this.target.address;
    let files = files_of(std::iter::once(this).chain(others.clone()), files::look);
    let disk = |export: &Export| export.source.path().map(|path| files.disk(&path));
    others.find_map(|other| {
        let taken = other.target.address;
        if address == taken && meet(this, other) {
            return Some(format!(
                "{address} is the address of another export on the same interface; give another one, or other interfaces"
            ));
        }
        let both_write = !this.read_only && !other.read_only;
        (both_write && overlap(this, other) && disk(this).is_some_and(|it| Some(it) == disk(other))).then(|| {
            format!("{address} and {taken} write to the same sectors of one file; give offset and length so that they do not, or read_only = true")
        })
    })
}

/// The files of those that could be in each other's way.
fn files_of<'e>(exports: impl Iterator<Item = &'e Export>, look: fn(&Path) -> Option<Disk>) -> Files {
    let writers = exports.filter(|export| !export.read_only && !export.force);
    Files::find(writers.filter_map(|export| export.source.path()).collect(), look)
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
