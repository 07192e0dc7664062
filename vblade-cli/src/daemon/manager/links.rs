//! Links on interfaces that exports want and that are there: opened when they appear, closed when they have gone or nobody wants them.

use std::collections::BTreeSet;

use aoe_link::NetifOptions;
use aoe_target::{Link, LinkId, MAX_REQUESTS};
use tracing::info;

use super::{Ended, Manager};
use crate::daemon::plan;
use crate::link::NetLink;
use crate::options::SPARE_FRAMES;

/// A link that is open.
pub(super) struct Port {
    pub(super) id: LinkId,
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
        let options = NetifOptions {
            pool: MAX_REQUESTS + SPARE_FRAMES,
            recv_buffer: self.config.daemon.recv_buffer,
            ..NetifOptions::default()
        };
        match NetLink::open(self.config.daemon.link.into(), &name, options) {
            Ok(link) => {
                self.trouble(&name, None);
                let (way, why, mtu, up) =
                    (link.way(), link.why().to_owned(), link.info().mtu, link.info().up);
                let id = self.engine.with(move |server| server.add_link(link))?;
                info!(interface = name, way, why, mtu, up, "interface is in use");
                self.ports.insert(name, Port { id });
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
            let Some(Port { id }) = self.ports.remove(&name) else { continue };
            // Closed here, where it may take its time.
            drop(self.engine.with(move |server| server.remove_link(id))?);
            info!(interface = name, "interface is not in use any more");
        }
        Ok(())
    }
}
