//! Another configuration, while the daemon serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::{Ended, Manager};
use crate::control::model::Reloaded;
use crate::daemon::config::{self, Config, Daemon, Export};
use crate::daemon::plan::Key;

impl Manager {
    /// Reads the configuration anew. With a mistake in it, nothing changes.
    pub(super) fn reload(&mut self) -> Result<Reloaded, Ended> {
        self.notify.reloading();
        self.read_names();
        let mut reloaded = match Config::load(&self.file) {
            Err(mistakes) => {
                for line in mistakes.to_string().lines() {
                    error!("{line}");
                }
                error!("the configuration has mistakes: nothing is changed; mend it and reload again");
                Reloaded { error: Some(mistakes.to_string()), ..Reloaded::default() }
            }
            Ok(config) => {
                let restart_for = takes_a_restart(&self.config.daemon, &config.daemon);
                for setting in &restart_for {
                    warn!("[daemon] {setting} has changed, which takes a restart to come into force");
                }
                self.config = Config { daemon: self.config.daemon.clone(), exports: config.exports };
                let reloaded = Reloaded { restart_for, ..self.want() };
                let Reloaded { added, removed, changed, .. } = &reloaded;
                info!(
                    added = added.len(),
                    removed = removed.len(),
                    changed = changed.len(),
                    "the configuration was read anew"
                );
                self.hurry();
                self.settle()?;
                reloaded
            }
        };
        reloaded.at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.reloaded = Some(reloaded.clone());
        self.notify.ready(&self.status());
        Ok(reloaded)
    }

    /// Wants what the configuration says. Which exports were added, removed and changed by that.
    pub(super) fn want(&mut self) -> Reloaded {
        let wanted: BTreeMap<_, _> =
            self.config.exports.iter().map(|export| (Key::of(export), Arc::new(export.clone()))).collect();
        let names = |keys: &mut dyn Iterator<Item = &Key>| keys.map(Key::name).collect();
        let added = names(&mut wanted.keys().filter(|key| !self.wanted.contains_key(key)));
        let removed = names(&mut self.wanted.keys().filter(|key| !wanted.contains_key(key)));
        // Where it is written does not count.
        let changes = |key: &Key, export: &Export| {
            let was = self.wanted.get(key);
            was.is_some_and(|was| **was != Export { origin: was.origin.clone(), ..export.clone() })
        };
        let changed = wanted.iter().filter(|(key, export)| changes(key, export)).map(|(key, _)| key);
        let changed = names(&mut { changed });
        self.wanted = wanted;
        self.dirty = true;
        Reloaded { added, removed, changed, ..Reloaded::default() }
    }

    /// Takes note of what initiators are called.
    pub(super) fn read_names(&mut self) {
        self.names = config::initiator_names(&config::Surroundings::ours().ethers);
    }

    /// Tries at once what would be tried again later.
    fn hurry(&mut self) {
        for export in self.exports.values_mut() {
            export.actual.due |= export.retry.take().is_some();
        }
        self.look_at_disks();
    }
}

/// The settings of the process that differ, which are in force from the start to the end.
fn takes_a_restart(was: &Daemon, now: &Daemon) -> Vec<String> {
    let differs = [
        ("socket", was.socket != now.socket),
        ("group", was.socket_group != now.socket_group),
        ("metrics", was.metrics != now.metrics),
        ("state_dir", was.state_dir != now.state_dir),
        ("trace_dir", was.trace_dir != now.trace_dir),
        ("link", was.link != now.link),
        ("recv_buffer", was.recv_buffer != now.recv_buffer),
        ("sandbox", was.sandbox != now.sandbox),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
