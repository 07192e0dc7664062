//! Answers as tables, which fit 80 columns unless a name is long: what may be long comes last.

use std::fmt::Write as _;

use super::figure::{ago, count, size, time};
use crate::control::model::{
    Counts, Export, Initiators, Interface, Reloaded, Snapshot, Status, Traced, Tracing, Version,
};
use crate::plain::{one_line, table};

pub(super) fn version(version: &Version) -> String {
    let Version { version: daemon, protocol } = version;
    format!("vbladectl {}, vbladed {} (protocol {protocol})\n", env!("CARGO_PKG_VERSION"), one_line(daemon))
}

pub(super) fn status(status: &Status) -> String {
    let reload = status.last_reload.as_ref().map_or("none".to_owned(), |reload| match &reload.error {
        Some(error) => format!("refused, nothing changed: {error}"),
        None => reloaded(reload).trim_end().replace('\n', ", "),
    });
    let mut rows = vec![
        vec!["vbladed".to_owned(), format!("{}, process {}", status.version, status.pid)],
        vec!["up".to_owned(), ago(status.uptime_seconds)],
        vec!["configuration".to_owned(), status.config.clone()],
        vec!["last reload".to_owned(), reload],
        vec!["exports".to_owned(), format!("{}, {} of them not up", status.exports, status.exports_down)],
        vec!["sandbox".to_owned(), status.sandbox.clone()],
    ];
    clean(&mut rows);
    let mut text = table(&rows);
    if !status.interfaces.is_empty() {
        let _ = write!(text, "\n{}", interfaces(&status.interfaces));
    }
    text
}

fn interfaces(interfaces: &[Interface]) -> String {
    let mut rows =
        vec![heads(&["INTERFACE", "LINK", "MTU", "ADDRESS", "RX DROP", "RX REFUSE", "TX DROP", "BY"])];
    for it in interfaces {
        let link = match (it.present, it.up) {
            (false, _) => "missing",
            (true, false) => "down",
            (true, true) => "up",
        };
        let [dropped, refused, sent] = [it.rx_dropped, it.rx_refused, it.tx_dropped].map(number);
        rows.push(vec![
            it.name.clone(),
            link.to_owned(),
            it.mtu.to_string(),
            it.mac.clone(),
            dropped,
            refused,
            sent,
            it.way.clone(),
        ]);
    }
    clean(&mut rows);
    table(&rows)
}

pub(super) fn exports(exports: &[Export]) -> String {
    if exports.is_empty() {
        return "no exports\n".to_owned();
    }
    let mut rows = vec![heads(&["EXPORT", "STATE", "SIZE", "CACHE", "ACCESS", "INTERFACES", "PATH"])];
    for it in exports {
        rows.push(vec![
            it.export.clone(),
            it.state.clone(),
            sectors(it.sectors),
            it.cache.clone(),
            if it.read_only { "ro" } else { "rw" }.to_owned(),
            it.interfaces.join(","),
            it.path.clone(),
        ]);
    }
    clean(&mut rows);
    let mut text = table(&rows);
    let notes =
        exports.iter().flat_map(|it| notes(it).into_iter().map(|note| format!("{}: {note}", it.export)));
    for (n, note) in notes.enumerate() {
        let _ = writeln!(text, "{}{}", if n == 0 { "\n" } else { "" }, one_line(&note));
    }
    text
}

/// What is unusual about an export.
fn notes(export: &Export) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(export.why.clone());
    if !export.mask.is_empty() {
        notes.push(format!("only for {} (vbladectl mask clear {})", export.mask.join(", "), export.export));
    }
    if !export.reserve.is_empty() {
        let address = &export.export;
        notes.push(format!(
            "reserved for {} (vbladectl reserve release {address})",
            export.reserve.join(", ")
        ));
    }
    notes.extend(export.trace.as_ref().map(|file| format!("is traced to {file}")));
    notes
}

/// What was done to an export, by whoever it was.
const COUNTS: [&str; 5] = ["REQS", "READ", "WRITTEN", "ERRS", "RETR"];

fn counts(counts: &Counts) -> [String; 5] {
    [
        number(counts.requests),
        size(counts.read_bytes as f64),
        size(counts.written_bytes as f64),
        number(counts.errors),
        number(counts.retransmits),
    ]
}

pub(super) fn stats(snapshot: &Snapshot, with_server: bool) -> String {
    let mut rows = vec![heads(&["EXPORT", "STATE"])];
    rows[0].extend(heads(&COUNTS));
    rows[0].extend(heads(&["BUSY", "P50", "P99", "IGN", "USERS"]));
    for it in &snapshot.exports {
        let latency = it.read_latency.with(&it.write_latency).with(&it.other_latency);
        let mut row = vec![it.export.clone(), it.state.clone()];
        row.extend(counts(&it.counts));
        row.extend([
            number(it.counts.in_flight),
            time(latency.quantile(0.5)),
            time(latency.quantile(0.99)),
            number(it.ignored),
            it.initiators.len().to_string(),
        ]);
        rows.push(row);
    }
    clean(&mut rows);
    let mut text = table(&rows);
    if with_server {
        let it = &snapshot.server;
        let figures = [
            ("frames received", it.rx_frames),
            ("sent", it.tx_frames),
            ("overlaps", it.overlaps),
            ("over share", it.over_share),
            ("queue full", it.queue_full),
            ("address conflicts", it.address_conflicts),
        ];
        let figures = figures.map(|(name, n)| format!("{name} {}", number(n)));
        let _ = writeln!(text, "\n{}", figures.join(", "));
    }
    text
}

pub(super) fn initiators(exports: &[Initiators]) -> String {
    let mut rows = vec![heads(&["EXPORT", "INITIATOR"])];
    rows[0].extend(heads(&COUNTS));
    rows[0].extend(heads(&["P99", "SEEN", "NAME"]));
    for export in exports {
        for it in &export.initiators {
            let mut row = vec![export.export.clone(), it.mac.clone()];
            row.extend(counts(&it.counts));
            let name = it.name.clone().unwrap_or_default();
            row.extend([time(it.latency.quantile(0.99)), ago(it.last_seen), name]);
            rows.push(row);
        }
    }
    if rows.len() == 1 {
        return "no initiators\n".to_owned();
    }
    clean(&mut rows);
    table(&rows)
}

pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let lists = [
        ("added", &reloaded.added),
        ("removed", &reloaded.removed),
        ("changed", &reloaded.changed),
        ("in force after a restart only", &reloaded.restart_for),
    ];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let lines: String = lines(lists.map(|(what, list)| format!("{what}: {}", list.join(", "))));
    if lines.is_empty() { "nothing is to be changed\n".to_owned() } else { lines }
}

pub(super) fn added(export: &Export) -> String {
    let mut all = vec![format!("{}: {} is {}", export.export, export.path, export.state)];
    all.extend(notes(export).into_iter().map(|note| format!("{}: {note}", export.export)));
    lines(all.into_iter())
}

pub(super) fn tracing(export: &str, tracing: &Tracing) -> String {
    lines([format!("{export}: frames are written to {}", tracing.file)].into_iter())
}

pub(super) fn traced(export: &str, traced: &Traced) -> String {
    let Traced { file, frames, bytes, dropped } = traced;
    let mut text = format!("{export}: {frames} frames, {}, are in {file}", size(*bytes as f64));
    if *dropped > 0 {
        let _ = write!(text, "; {dropped} are not: they came too fast, or it was full");
    }
    lines([text].into_iter())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| one_line(&line) + "\n").collect()
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn clean(rows: &mut [Vec<String>]) {
    for cell in rows.iter_mut().flatten() {
        *cell = one_line(cell);
    }
}

fn number(n: u64) -> String {
    count(n as f64)
}

fn sectors(sectors: u64) -> String {
    size(sectors as f64 * 512.0)
}
