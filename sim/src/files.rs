//! Files that lose at a power cut what was not synced: [`CrashFiles`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::product::replace::Files;
use crate::{Chance, Power};

/// A small file system in memory. Content is durable when its file was synced, and names when their directory was; of the rest any part
/// survives.
#[derive(Debug)]
pub(crate) struct CrashFiles {
    inner: RefCell<Inner>,
    /// Calls that are left until the power fails in the midst of one.
    calls_left: Cell<Option<u32>>,
    full: Cell<bool>,
    power: Power,
}

#[derive(Debug)]
struct Inner {
    inodes: Vec<Inode>,
    names: Names,
    stable: Names,
    /// What was done to names since their directory was synced, oldest first.
    pending: Vec<Change>,
    chance: Chance,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    stable: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Change {
    Dir(PathBuf),
    Link(PathBuf, usize),
    /// From, to, and what: whatever else is lost, it is this file that has the new name.
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Dir(path) | Self::Link(path, _) | Self::Rename(_, path, _) | Self::Remove(path) => {
                path.parent()
            }
        }
    }
}

impl Names {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Dir(path) => drop(self.dirs.insert(path.clone())),
            Change::Link(path, inode) => drop(self.files.insert(path.clone(), *inode)),
            Change::Remove(path) => drop(self.files.remove(path)),
            Change::Rename(from, to, inode) => {
                if self.files.get(from) == Some(inode) {
                    self.files.remove(from);
                }
                self.files.insert(to.clone(), *inode);
            }
        }
    }
}

impl CrashFiles {
    /// Nothing but the root. When a call fails the power, `power` tells.
    pub(crate) fn new(seed: u64, power: Power) -> Self {
        let mut names = Names::default();
        names.dirs.insert("/".into());
        let inner = Inner {
            inodes: Vec::new(),
            stable: names.clone(),
            names,
            pending: Vec::new(),
            chance: Chance::new(seed),
        };
        Self { inner: RefCell::new(inner), calls_left: Cell::new(None), full: Cell::new(false), power }
    }

    /// The content of a file.
    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner.borrow();
        let inode = inner.names.files.get(path)?;
        Some(inner.inodes[*inode].content.clone())
    }

    /// Has the power fail in the `call`-th call from now on that changes something, counted from 0; or not any more.
    pub(crate) fn fail_power_at(&self, call: Option<u32>) {
        self.calls_left.set(call);
    }

    /// Whether there is room for more content.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.set(full);
    }

    /// The power fails and comes back.
    pub(crate) fn cut(&self) {
        self.calls_left.set(None);
        let Inner { inodes, names, stable, pending, chance } = &mut *self.inner.borrow_mut();
        for change in pending.drain(..) {
            if chance.happens(500) {
                stable.apply(&change);
            }
        }
        let dirs = stable.dirs.clone();
        stable.files.retain(|path, _| path.parent().is_some_and(|dir| dirs.contains(dir)));
        *names = stable.clone();
        for inode in inodes {
            if inode.content != inode.stable {
                let len = chance.below(inode.content.len() as u64 + 1) as usize;
                inode.content.truncate(len);
                if chance.happens(300) {
                    inode.content.clone_from(&inode.stable);
                }
                inode.stable.clone_from(&inode.content);
            }
        }
    }

    /// Counts a call down; `Err` when the power has failed, by this one or before.
    fn call(&self) -> io::Result<()> {
        match self.calls_left.get() {
            Some(0) => self.power.set_off(true),
            Some(left) => self.calls_left.set(Some(left - 1)),
            None => {}
        }
        if self.power.is_off() { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        // What is under way when the power fails may have been done.
        let (off, called) = (self.power.is_off(), self.call());
        if !off {
            let mut inner = self.inner.borrow_mut();
            inner.names.apply(&change);
            inner.pending.push(change);
        }
        called
    }
}

impl Files for CrashFiles {
    type File = usize;

    fn is_dir(&self, path: &Path) -> bool {
        self.inner.borrow().names.dirs.contains(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(Change::Dir(path.to_owned()))
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        let known = self.inner.borrow().names.files.get(path).copied();
        match known {
            Some(inode) => {
                let (off, called) = (self.power.is_off(), self.call());
                if !off {
                    self.inner.borrow_mut().inodes[inode].content.clear();
                }
                called.map(|()| inode)
            }
            None => {
                let inode = self.inner.borrow().inodes.len();
                self.inner.borrow_mut().inodes.push(Inode::default());
                self.change(Change::Link(path.to_owned(), inode)).map(|()| inode)
            }
        }
    }

    fn write(&self, file: &mut usize, content: &[u8]) -> io::Result<()> {
        let (off, called) = (self.power.is_off(), self.call());
        if off {
            return called;
        }
        let room = if self.full.get() { content.len() / 2 } else { content.len() };
        self.inner.borrow_mut().inodes[*file].content.extend_from_slice(&content[..room]);
        called?;
        if self.full.get() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, file: &mut usize) -> io::Result<()> {
        self.call()?;
        let inode = &mut self.inner.borrow_mut().inodes[*file];
        inode.stable.clone_from(&inode.content);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.inner.borrow().names.files.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        self.change(Change::Rename(from.to_owned(), to.to_owned(), inode))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(Change::Remove(path.to_owned()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        let Inner { stable, pending, .. } = &mut *self.inner.borrow_mut();
        pending.retain(|change| {
            let here = change.dir() == Some(path);
            if here {
                stable.apply(change);
            }
            !here
        });
        Ok(())
    }
}
