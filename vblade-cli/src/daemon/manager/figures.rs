//! What is counted and set, as others are told of it. All that the serving thread knows comes from one job, so it is of one moment.

use std::collections::{BTreeMap, BTreeSet};

use aoe_link::LinkCounters;
use aoe_target::{Histogram, Initiator, Link, LinkInfo, ServerStats, State, Stats};
use clap::ValueEnum;

use super::{Ended, Manager, Served};
use crate::control::model::{
    self, Counts, Export, ExportFigures, InitiatorFigures, Interface, ServerFigures, Snapshot, Status,
};
use crate::daemon::plan::Key;
use crate::state::escape;

/// Bytes of a sector.
const SECTOR: u64 = bdev::SECTOR_SIZE as u64;

/// What the serving thread knows.
struct Seen {
    server: ServerStats,
    links: BTreeMap<String, (LinkInfo, LinkCounters, &'static str)>,
    targets: BTreeMap<Key, (Stats, State, Vec<Initiator>)>,
}

impl Manager {
    fn see(&self) -> Result<Seen, Ended> {
        let targets: Vec<_> =
            self.exports.iter().filter_map(|(key, of)| Some((key.clone(), of.target?))).collect();
        let links: Vec<_> = self.ports.iter().map(|(name, port)| (name.clone(), port.id)).collect();
        self.engine.with(move |server| Seen {
            server: *server.stats(),
            links: links
                .into_iter()
                .filter_map(|(name, id)| {
                    let link = server.link(id)?;
                    Some((name, (link.info(), link.counters(), link.way())))
                })
                .collect(),
            targets: targets
                .into_iter()
                .filter_map(|(key, id)| {
                    let target = server.target(id)?;
                    let mut initiators: Vec<_> = server.initiators(id).copied().collect();
                    initiators.sort_unstable_by_key(|initiator| initiator.mac);
                    Some((key, (*target.stats(), target.state().clone(), initiators)))
                })
                .collect(),
        })
    }

    /// The answer to `status`.
    pub(super) fn daemon_status(&self) -> Result<Status, Ended> {
        let up = self.exports.iter().filter(|(key, served)| self.state(key, served).0 == "up").count();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            config: self.file.display().to_string(),
            last_reload: self.reloaded.clone(),
            exports: self.wanted.len(),
            exports_down: self.wanted.len().saturating_sub(up),
            interfaces: self.interfaces(&self.see()?),
            sandbox: self.engine.sandbox().to_owned(),
        })
    }

    /// The answer to `exports`.
    pub(super) fn export_list(&self) -> Result<Vec<Export>, Ended> {
        let seen = self.see()?;
        Ok(self.exports.iter().map(|(key, served)| self.export(key, served, &seen)).collect())
    }

    /// The answer to `stats`.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Ended> {
        let seen = self.see()?;
        let ServerStats {
            rx_frames,
            tx_frames,
            advertisements,
            overlaps,
            over_share,
            queue_full,
            no_frame,
            wildcards_dropped,
            address_conflicts,
            ..
        } = seen.server;
        Ok(Snapshot {
            at: self.started.elapsed().as_secs_f64(),
            server: ServerFigures {
                rx_frames,
                tx_frames,
                advertisements,
                overlaps,
                over_share,
                queue_full,
                no_frame,
                wildcards_dropped,
                address_conflicts,
            },
            interfaces: self.interfaces(&seen),
            exports: self.exports.iter().map(|(key, served)| self.figures(key, served, &seen)).collect(),
        })
    }

    fn figures(&self, key: &Key, served: &Served, seen: &Seen) -> ExportFigures {
        let none = Default::default();
        let (stats, _, initiators) = seen.targets.get(key).unwrap_or(&none);
        ExportFigures {
            export: key.name(),
            state: self.state(key, served).0.to_owned(),
            sectors: served.disk.as_ref().map_or(0, |(_, info)| info.sectors),
            counts: Counts {
                requests: stats.requests,
                reads: stats.reads,
                writes: stats.writes,
                read_bytes: stats.sectors_read * SECTOR,
                written_bytes: stats.sectors_written * SECTOR,
                errors: stats.aoe_errors + stats.ata_errors + stats.disk_errors,
                retransmits: stats.retransmits,
                in_flight: stats.in_flight as u64,
            },
            aoe_errors: stats.aoe_errors,
            ata_errors: stats.ata_errors,
            disk_errors: stats.disk_errors,
            ignored: stats.ignored,
            late_writes: stats.late_writes,
            flushes: stats.flushes,
            trims: stats.trims,
            limited: stats.limited,
            initiators_forgotten: stats.initiators_forgotten,
            max_in_flight: stats.max_in_flight as u64,
            read_latency: histogram(&stats.read_latency),
            write_latency: histogram(&stats.write_latency),
            other_latency: histogram(&stats.other_latency),
            initiators: initiators.iter().map(|initiator| self.initiator(initiator)).collect(),
        }
    }

    fn initiator(&self, of: &Initiator) -> InitiatorFigures {
        InitiatorFigures {
            mac: of.mac.to_string(),
            name: self.names.get(&of.mac).cloned(),
            counts: Counts {
                requests: of.requests,
                reads: of.reads,
                writes: of.writes,
                read_bytes: of.sectors_read * SECTOR,
                written_bytes: of.sectors_written * SECTOR,
                errors: of.errors,
                retransmits: of.retransmits,
                in_flight: of.in_flight as u64,
            },
            last_seen: self.engine.clock().saturating_sub(of.last_seen()).as_secs_f64(),
            latency: histogram(&of.latency),
        }
    }

    fn export(&self, key: &Key, served: &Served, seen: &Seen) -> Export {
        let (state, why) = self.state(key, served);
        let mut export = Export {
            export: key.name(),
            path: key.source.clone(),
            state: state.to_owned(),
            why,
            trace: served.trace.as_ref().map(|trace| trace.path().display().to_string()),
            sectors: served.disk.as_ref().map_or(0, |(_, info)| info.sectors),
            ..Export::default()
        };
        if let Some(wanted) = self.wanted.get(key) {
            export.origin.clone_from(&wanted.origin);
            export.interfaces = wanted.netifs.iter().map(|pattern| pattern.0.clone()).collect();
            export.cache = wanted
                .cache
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned());
            export.read_only = wanted.read_only;
            export.buffer_count = wanted.target.buffer_count;
        }
        if let Some((_, state, _)) = seen.targets.get(key) {
            export.mask = state.mask.iter().map(ToString::to_string).collect();
            export.reserve = state.reserve.iter().map(ToString::to_string).collect();
            export.config_string = escape(&state.config);
        }
        export
    }

    /// How an export is, and why it is not up.
    fn state(&self, key: &Key, served: &Served) -> (&'static str, Option<String>) {
        let why = served.why.clone();
        if served.actual.leaving {
            return ("leaving", Some("ends what it has begun".to_owned()));
        }
        match (served.target, &served.disk) {
            (None, _) if served.actual.opening.is_some() => {
                ("down", why.or(Some("its disk is being opened".to_owned())))
            }
            (None, _) => ("down", why),
            (Some(_), None) => ("gone", why),
            (Some(_), Some(_)) if served.actual.links.is_empty() => {
                let why = self.wanted.get(key).and_then(|export| {
                    let mut named = export.netifs.iter().map(|pattern| &pattern.0);
                    let clash =
                        || self.ports.keys().find_map(|name| self.troubles.get(&format!("{key} on {name}")));
                    named.find_map(|name| self.troubles.get(name)).or_else(clash).cloned()
                });
                ("down", why.or(Some("none of its interfaces is there".to_owned())))
            }
            // Served, though perhaps not as it is wanted.
            (Some(_), Some(_)) => ("up", why),
        }
    }

    fn interfaces(&self, seen: &Seen) -> Vec<Interface> {
        let named =
            self.wanted.values().flat_map(|export| &export.netifs).filter(|pattern| !pattern.is_glob());
        let names: BTreeSet<_> = named.map(|pattern| &pattern.0).chain(self.ports.keys()).collect();
        let interface = |name: &String| match seen.links.get(name) {
            None => Interface { name: name.clone(), ..Interface::default() },
            Some((info, counters, way)) => Interface {
                name: name.clone(),
                present: true,
                up: info.up,
                mac: info.mac.to_string(),
                mtu: info.mtu,
                way: (*way).to_owned(),
                rx_dropped: counters.rx_overflow,
                rx_refused: counters.rx_refused,
                tx_dropped: counters.tx_dropped,
            },
        };
        names.into_iter().map(interface).collect()
    }
}

fn histogram(of: &Histogram) -> model::Histogram {
    let sum_us = u64::try_from(of.sum().as_micros()).unwrap_or(u64::MAX);
    model::Histogram { buckets: of.buckets().to_vec(), sum_us, count: of.count() }
}
