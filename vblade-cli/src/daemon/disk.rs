//! The disk of an export: opened with all that belongs to it, and looked at while it is served. Both may wait, and are for a
//! [worker](super::workers).

use std::path::PathBuf;
use std::sync::Arc;

use aoe_link::{Accept, NetFrame, NetifOptions};
use aoe_target::{Address, DeviceInfo, IoQueue, Link, State};
use bdev::FileOptions;
use rustix::io::Errno;
use tracing::info;

use super::config::{self, Export};
use super::locks::{Identity, Locks, Share};
use crate::cli::{Cache, LinkKind};
use crate::error::Error;
use crate::link::NetLink;
use crate::probe;
use crate::source::Source;
use crate::stack::Stack;
use crate::state::{Environment, StateFile};

/// Frames of a link that only asks whether an address is free, and bytes of its receive buffer.
const PROBE: (usize, usize) = (64, 1 << 18);

/// What says how a disk is opened. Another one takes a new queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiskSettings {
    pub(super) source: Source,
    pub(super) depth: u16,
    force: bool,
}

impl DiskSettings {
    pub(super) fn of(export: &Export) -> Self {
        let source = match &export.source {
            config::Source::Remote(remote) => Source::Remote(remote.clone()),
            file => Source::File(FileOptions {
                offset: export.offset,
                length: export.length,
                read_only: export.read_only,
                direct: matches!(export.cache, Cache::None | Cache::Directsync),
                ..FileOptions::new(file.path().unwrap_or_default())
            }),
        };
        Self { source, depth: export.queue_depth, force: export.force }
    }
}

/// A disk that is open.
pub(super) struct Disk {
    pub(super) stack: Stack,
    pub(super) path: PathBuf,
    /// What was at the path; none of another target's disk.
    identity: Option<Identity>,
    /// Let go of when the file has been closed.
    _lock: Option<Share>,
}

/// A disk, and what else it takes to serve it.
pub(super) struct Opened {
    pub(super) disk: Arc<Disk>,
    pub(super) queue: Box<dyn IoQueue<NetFrame>>,
    /// What initiators had set, unless it is in use already.
    pub(super) state: Option<(StateFile, State)>,
}

/// What is to be opened.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) address: Address,
    pub(super) settings: DiskSettings,
    /// Load the state, for an export that is not there yet, from this directory or where the environment has it.
    pub(super) state: Option<Option<PathBuf>>,
    /// Ask there whether another station has the address.
    pub(super) probe: Vec<String>,
}

impl Order {
    /// Checks, locks and opens, in the order of a start of `vblade`: nothing is opened for writing before all else is known to be well.
    ///
    /// # Errors
    ///
    /// Why the export cannot be served now.
    pub(super) fn carry_out(&self, locks: &Locks) -> Result<Opened, Error> {
        let Self { address, settings: DiskSettings { source, depth, force }, .. } = self;
        let path = source.path();
        let identity = match source {
            Source::File(file) => Identity::of(&file.path).ok(),
            Source::Remote(_) => None,
        };
        Stack::check(source)?;
        if !force {
            self.ask_for_others()?;
        }
        let state = match &self.state {
            Some(dir) => {
                let file = StateFile::locate(*address, &path, dir.as_deref(), &Environment::ours())?;
                let state = file.load()?;
                file.prepare();
                Some((file, state))
            }
            None => None,
        };
        let lock = locks.take(source, *force)?;
        let stack = Stack::open(source, None)?;
        let queue = stack
            .open_queue(*depth)
            .map_err(|source| Error::System { doing: "open a queue to the disk", source })?;
        Ok(Opened { disk: Arc::new(Disk { stack, path, identity, _lock: lock }), queue, state })
    }

    /// Asks on links of its own, so that the one that serves is not kept from it.
    fn ask_for_others(&self) -> Result<(), Error> {
        let options = NetifOptions {
            pool: PROBE.0,
            recv_buffer: PROBE.1,
            accept: Accept::Target(vec![self.address]),
            ..NetifOptions::default()
        };
        let open = |name: &String| NetLink::open(LinkKind::Packet.into(), name, options.clone());
        // One that cannot be opened now is told of by who serves on it.
        let mut links: Vec<_> = self.probe.iter().filter_map(|name| open(name).ok()).collect();
        for link in links.iter().filter(|link| !link.info().up) {
            info!(netif = link.name(), "link is down: whether {} is free there is not known", self.address);
        }
        let failed = |source| Error::Serve { address: self.address, netif: self.probe.join(","), source };
        let station = probe::station_at(self.address, &mut links).map_err(failed)?;
        station.map_or(Ok(()), |station| Err(Error::Claimed { address: self.address, station }))
    }
}

/// What a look at a disk has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is there, and this is what it is.
    There(DeviceInfo),
    /// It is not, for this reason.
    Gone(String),
}

impl Disk {
    /// Looks whether the disk is still what its path names, and how large it is.
    pub(super) fn look(&self) -> Look {
        if let Some(opened) = self.identity {
            match Identity::of(&self.path) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    return Look::Gone("it is not there any more".to_owned());
                }
                Ok(now) if now != opened => return Look::Gone("another file has taken its place".to_owned()),
                // What is open goes on, also where its name is out of reach.
                _ => {}
            }
        }
        match self.stack.measure() {
            Ok(info) => Look::There(info),
            Err(error) => Look::Gone(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn disk(path: &std::path::Path) -> Disk {
        let settings = DiskSettings { source: Source::File(FileOptions::new(path)), depth: 8, force: false };
        let order = Order { address: Address::new(7, 3), settings, state: None, probe: Vec::new() };
        let opened = order.carry_out(&Locks::default()).expect("a disk");
        drop(opened.queue);
        Arc::into_inner(opened.disk).expect("ours alone")
    }

    #[test]
    fn a_disk_that_grows_shrinks_vanishes_or_is_replaced_shows_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("disk");
        let file = File::create(&path).expect("a file");
        file.set_len(8192).expect("room");
        let disk = disk(&path);
        let sectors = |look| match look {
            Look::There(info) => info.sectors,
            Look::Gone(why) => panic!("{why}"),
        };
        assert_eq!(sectors(disk.look()), 16);
        file.set_len(16384).expect("room");
        assert_eq!(sectors(disk.look()), 32);
        file.set_len(4096).expect("room");
        assert_eq!(sectors(disk.look()), 8);
        file.set_len(0).expect("none");
        assert!(matches!(disk.look(), Look::Gone(_)));
        file.set_len(8192).expect("room");
        fs::rename(&path, dir.path().join("away")).expect("another name");
        assert_eq!(disk.look(), Look::Gone("it is not there any more".to_owned()));
        fs::create_dir(&path).expect("a directory in its place");
        assert_eq!(disk.look(), Look::Gone("another file has taken its place".to_owned()));
    }
}
