//! Links on interfaces that exports want and that are there: opened when they appear, closed when they have gone or nobody wants them.

use std::collections::{BTreeMap, BTreeSet};

use aoe_link::{Accept, NetifOptions};
use aoe_target::{Address, Link, LinkId, MAX_REQUESTS};
use tracing::info;

use super::{Ended, Manager};
use crate::cli::LinkKind;
use crate::daemon::plan;
use crate::link::NetLink;
use crate::options::SPARE_FRAMES;

/// A link that is open.
pub(super) struct Port {
    pub(super) id: LinkId,
    /// The addresses whose frames it takes.
    accept: Vec<Address>,
    /// Whether these can be changed by the thread that serves, which has no privileges.
    is_changeable: bool,
}

impl Manager {
    /// Opens links where exports want some. Those that are to stay open, then; [`close_links`](Self::close_links) closes the others.
    pub(super) fn open_links(&mut self) -> Result<BTreeSet<String>, Ended> {
        let present: BTreeSet<_> = self.interfaces.names().into_iter().collect();
        let wanted = |name: &&String| self.wanted.values().any(|export| plan::wants(export, name));
        let keep: BTreeSet<_> = present.iter().filter(wanted).cloned().collect();
        self.tell_of_missing(&present);
        let missing: Vec<_> = keep.iter().filter(|name| !self.ports.contains_key(*name)).cloned().collect();
        for name in missing {
            self.open_link(name)?;
        }
        Ok(keep.into_iter().filter(|name| self.ports.contains_key(name)).collect())
    }

    fn open_link(&mut self, name: String) -> Result<(), Ended> {
        let accept = self.accept(&name);
        let options = NetifOptions {
            pool: MAX_REQUESTS + SPARE_FRAMES,
            recv_buffer: self.config.daemon.recv_buffer,
            accept: Accept::Target(accept.clone()),
            ..NetifOptions::default()
        };
        let kind = match self.config.daemon.link {
            // One whose frames can be changed without a privilege.
            LinkKind::Auto => LinkKind::Packet,
            kind => kind,
        };
        match NetLink::open(kind.into(), &name, options) {
            Ok(link) => {
                self.trouble(&name, None);
                let (way, why, mtu, up) =
                    (link.way(), link.why().to_owned(), link.info().mtu, link.info().up);
                let id = self.engine.with(move |server| server.add_link(link))?;
                info!(interface = name, way, why, mtu, up, "interface is in use");
                self.ports.insert(name, Port { id, accept, is_changeable: kind != LinkKind::Xdp });
            }
            Err(error) => self.trouble(&name, Some(format!("{error}; tried again"))),
        }
        Ok(())
    }

    /// Says of an interface by name, once, that it is waited for.
    fn tell_of_missing(&mut self, present: &BTreeSet<String>) {
        let named: BTreeSet<_> = self
            .wanted
            .values()
            .flat_map(|export| &export.netifs)
            .filter(|pattern| !pattern.is_glob())
            .map(|pattern| pattern.0.clone())
            .collect();
        for name in named {
            let waits = format!("interface {name:?} is not there; it is used as soon as it appears");
            if !present.contains(&name) {
                self.trouble(&name, Some(waits));
            } else if self.troubles.get(&name) == Some(&waits) {
                self.trouble(&name, None);
            }
        }
    }

    /// Closes the links that are not to be kept. No export is served on them by now.
    pub(super) fn close_links(&mut self, keep: &BTreeSet<String>) -> Result<(), Ended> {
        let leave: Vec<_> = self.ports.keys().filter(|name| !keep.contains(*name)).cloned().collect();
        for name in leave {
            let Some(Port { id, .. }) = self.ports.remove(&name) else { continue };
            // Closed here, where it may take its time.
            drop(self.engine.with(move |server| server.remove_link(id))?);
            info!(interface = name, "interface is not in use any more");
        }
        Ok(())
    }

    /// Has each link take the frames of what is and of what will be served on it. Of those that are to be kept, one that cannot be changed is not: it
    /// is closed, and opened anew by the next plan.
    pub(super) fn filter_links(&mut self, keep: &mut BTreeSet<String>) -> Result<(), Ended> {
        let accepts: BTreeMap<_, _> =
            self.ports.keys().map(|name| (name.clone(), self.accept(name))).collect();
        for (name, accept) in accepts {
            let Some(port) = self.ports.get_mut(&name).filter(|port| port.accept != accept) else { continue };
            if !port.is_changeable {
                keep.remove(&name);
                self.dirty = true;
                continue;
            }
            port.accept.clone_from(&accept);
            let id = port.id;
            let changed = self.engine.with(move |server| match server.link_mut(id) {
                Some(link) => link.set_accept(Accept::Target(accept)),
                None => Ok(()),
            })?;
            let why = changed.err().map(|error| format!("{name}: its filter cannot be changed: {error}"));
            self.trouble(&format!("filter {name}"), why);
        }
        Ok(())
    }

    /// The addresses that are, or will be, served on the interface `name`, in order.
    fn accept(&self, name: &str) -> Vec<Address> {
        let wanted = self.wanted.iter().filter(|(_, export)| plan::wants(export, name)).map(|(key, _)| key);
        let served =
            self.exports.iter().filter(|(_, export)| export.actual.links.contains(name)).map(|(key, _)| key);
        wanted.chain(served).map(|key| key.address).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
