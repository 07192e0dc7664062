//! Carries out the steps of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aoe_target::{LinkId, Target};
use tracing::{info, warn};

use super::disks::Outcome;
use super::{Ended, Manager};
use crate::claim::Claim;
use crate::daemon::disk::{DiskSettings, Opened, Order};
use crate::daemon::plan::{self, Actual, Key, Step};

impl Manager {
    /// Does what it takes for things to be as they are wanted, as far as that goes without waiting.
    pub(super) fn reconcile(&mut self) -> Result<(), Ended> {
        let mut keep = self.open_links()?;
        self.filter_links(&mut keep)?;
        let wanted: BTreeMap<_, _> =
            self.wanted.iter().map(|(key, export)| (key.clone(), &**export)).collect();
        let actual = self.exports.iter().map(|(key, export)| (key.clone(), export.actual.clone())).collect();
        let steps = plan::plan(&wanted, &actual, &keep);
        for step in steps {
            self.carry_out(step)?;
        }
        self.close_links(&keep)?;
        let exports = &self.exports;
        self.claims.retain(|(key, netif), _| {
            exports.get(key).is_some_and(|export| export.actual.links.contains(netif))
        });
        Ok(())
    }

    fn carry_out(&mut self, step: Step) -> Result<(), Ended> {
        match step {
            Step::Forget(key) => drop(self.exports.remove(&key)),
            Step::Remove(key) => self.remove(&key)?,
            Step::Open(key) => self.open(key),
            Step::Options(key) => {
                let Some((export, served)) = self.wanted.get(&key).zip(self.exports.get_mut(&key)) else {
                    return Ok(());
                };
                let Some(id) = served.target else { return Ok(()) };
                let options = export.target.clone();
                served.actual.served = Some(options.clone());
                self.engine.with(move |server| server.set_options(id, options))?;
                info!(export = %key, "settings have changed");
            }
            Step::Links(key, links) => {
                let links = self.claim(&key, links);
                let ids = self.ids(&links);
                let Some(served) = self.exports.get_mut(&key) else { return Ok(()) };
                let Some(id) = served.target else { return Ok(()) };
                if links == served.actual.links {
                    return Ok(());
                }
                match self.engine.with(move |server| server.set_links(id, &ids))? {
                    Ok(()) => {
                        info!(export = %key, interfaces = list(&links), "interfaces have changed");
                        served.actual.links = links;
                        self.tap(&key, id)?;
                    }
                    Err(error) => warn!("{key}: {error}"),
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Ended> {
        let Some(served) = self.exports.get_mut(key) else { return Ok(()) };
        let Some(id) = served.target else { return Ok(()) };
        self.engine.with(move |server| server.remove_target(id))?;
        served.actual.leaving = true;
        info!(export = %key, "removed");
        Ok(())
    }

    /// Opens the disk of an export on a thread. What comes of it is taken up later.
    fn open(&mut self, key: Key) {
        let Some(export) = self.wanted.get(&key) else { return };
        self.tickets += 1;
        let (ticket, settings) = (self.tickets, DiskSettings::of(export));
        let netifs = self.ports.keys().filter(|name| plan::wants(export, name)).cloned().collect();
        let served = self.exports.entry(key.clone()).or_default();
        let is_new = served.target.is_none();
        served.actual =
            Actual { opening: Some(settings.clone()), failed: None, due: false, ..served.actual.clone() };
        (served.ticket, served.retry) = (ticket, None);
        let order = Order {
            address: key.address,
            settings,
            state: is_new.then(|| self.state_dir.clone()),
            probe: if is_new { netifs } else { Vec::new() },
        };
        let locks = Arc::clone(&self.locks);
        self.workers.start(move |reports| {
            let result = order.carry_out(&locks);
            reports.tell(Outcome::Opened { key, ticket, result });
        });
    }

    /// Serves an export whose disk has been opened. Returns why not, if so.
    pub(super) fn add(&mut self, key: &Key, opened: Opened) -> Result<Result<(), String>, Ended> {
        let Some(export) = self.wanted.get(key).cloned() else { return Ok(Ok(())) };
        let Some((file, state)) = opened.state else { return Ok(Ok(())) };
        let open = self.ports.keys().cloned().collect();
        let wanted: BTreeMap<_, _> =
            self.wanted.iter().map(|(key, export)| (key.clone(), &**export)).collect();
        let links = plan::links(&wanted, &open).remove(key).unwrap_or_default();
        let links = self.claim(key, links);
        let ids = self.ids(&links);
        let info = opened.disk.stack.info();
        let target = Target::new(export.target.clone(), info, state);
        let (queue, save) = (opened.queue, file.into_saver());
        let added = self.engine.with(move |server| server.add_target(target, queue, save, &ids))?;
        let id = match added {
            Ok(id) => id,
            Err(error) => return Ok(Err(error.to_string())),
        };
        info!(
            export = %key, interfaces = list(&links), sectors = info.sectors, cache = ?export.cache,
            read_only = info.read_only, "serving"
        );
        if let Some(served) = self.exports.get_mut(key) {
            served.target = Some(id);
            served.actual.served = Some(export.target.clone());
            served.actual.links = links;
            served.disk = Some((opened.disk, info));
        }
        Ok(Ok(()))
    }

    /// Makes the address ours on each of the interfaces, among the processes here. Those where it is.
    fn claim(&mut self, key: &Key, links: BTreeSet<String>) -> BTreeSet<String> {
        let force = self.wanted.get(key).is_some_and(|export| export.force);
        let mut ours = BTreeSet::new();
        for name in links {
            let held = (key.clone(), name.clone());
            if self.claims.contains_key(&held) {
                ours.insert(name);
                continue;
            }
            let what = format!("{key} on {name}");
            match Claim::take(key.address, &name) {
                Ok(Some(claim)) => {
                    self.claims.insert(held, claim);
                    self.trouble(&what, None);
                    ours.insert(name);
                }
                _ if force => drop(ours.insert(name)),
                Ok(None) => {
                    let why = format!(
                        "{} is already served on {name} by another process here: give another address, or stop that one \
                         (force = true to serve all the same)",
                        key.address
                    );
                    self.trouble(&what, Some(why));
                }
                Err(error) => self.trouble(&what, Some(format!("{what}: cannot claim the address: {error}"))),
            }
        }
        ours
    }

    fn ids(&self, links: &BTreeSet<String>) -> Vec<LinkId> {
        links.iter().filter_map(|name| self.ports.get(name)).map(|port| port.id).collect()
    }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(",") }
}
