//! One path to one target, as it was seen, and how it is shown.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aoe_initiator::{Address, Found, MacAddr};
use aoe_wire::{ConfigInfo, IdentifyDevice};
use bdev::SECTOR_SIZE;
use serde::Serialize;

use crate::text::{decimal_size, escaped};

/// Characters of a config string in a table.
const CONFIG_WIDTH: usize = 32;

/// What tells paths apart, in the order in which they are listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) address: Address,
    pub(super) netif: String,
    pub(super) mac: MacAddr,
}

/// What is known of the disk.
#[derive(Debug)]
pub(super) enum Disk {
    Asked,
    Known(Box<IdentifyDevice>),
    /// It does not say, for this reason.
    Silent(String),
}

/// What a target has said by one path.
#[derive(Debug)]
pub(super) struct Sighting {
    info: ConfigInfo,
    string: Vec<u8>,
    /// The shortest of its answers.
    rtt: Option<Duration>,
    pub(super) disk: Disk,
    /// Last heard of.
    pub(super) heard: Instant,
    /// Last asked what its disk is.
    pub(super) visited: Instant,
    /// As it was last told of.
    told: Option<Entry>,
}

impl Sighting {
    pub(super) fn new(found: &Found, now: Instant) -> Self {
        Self {
            info: found.info,
            string: found.string.clone(),
            rtt: found.rtt,
            disk: Disk::Asked,
            heard: now,
            visited: now,
            told: None,
        }
    }

    /// It has answered once more.
    pub(super) fn again(&mut self, found: &Found, now: Instant) {
        self.info = found.info;
        self.string.clone_from(&found.string);
        self.rtt = [self.rtt, found.rtt].into_iter().flatten().min();
        self.heard = now;
    }

    /// What has changed since the last time this was asked: nothing before the disk is known, an empty text the first time.
    pub(super) fn change(&mut self, key: &Key) -> Option<String> {
        if matches!(self.disk, Disk::Asked) {
            return None;
        }
        let entry = self.entry(key);
        let change = match &self.told {
            None => String::new(),
            Some(told) => Some(told.difference(&entry)).filter(|change| !change.is_empty())?,
        };
        self.told = Some(entry);
        Some(change)
    }

    pub(super) fn entry(&self, key: &Key) -> Entry {
        let page = match &self.disk {
            Disk::Known(page) => Some(page),
            _ => None,
        };
        let error = match &self.disk {
            Disk::Silent(why) => Some(format!("IDENTIFY: {why}")),
            _ => None,
        };
        Entry {
            address: key.address.to_string(),
            netif: key.netif.clone(),
            mac: key.mac.to_string(),
            sectors: page.map(|page| page.capacity()),
            bytes: page.map(|page| page.capacity().saturating_mul(SECTOR_SIZE as u64)),
            sectors_per_frame: self.info.sector_count,
            buffer_count: self.info.buffer_count,
            config: escaped(&self.string),
            model: page.map(|page| page.model().to_string()),
            serial: page.map(|page| page.serial().to_string()),
            latency_ms: self.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            error,
        }
    }
}

/// The same as text and numbers. Texts from the wire are escaped.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    pub(super) address: String,
    pub(super) netif: String,
    pub(super) mac: String,
    sectors: Option<u64>,
    bytes: Option<u64>,
    /// As advertised.
    sectors_per_frame: u8,
    buffer_count: u16,
    config: String,
    model: Option<String>,
    serial: Option<String>,
    latency_ms: Option<f64>,
    /// Why there is no more.
    error: Option<String>,
}

impl Entry {
    fn size(&self) -> String {
        self.bytes.map_or("-".to_owned(), decimal_size)
    }

    /// The same in a line.
    pub(super) fn summary(&self) -> String {
        let mut line = format!(
            "{}, {} sectors per frame, {} buffers, config \"{}\"",
            self.size(),
            self.sectors_per_frame,
            self.buffer_count,
            self.config
        );
        for part in [&self.model, &self.serial, &self.error].into_iter().flatten() {
            // Writing to a String cannot fail.
            let _ = write!(line, ", {part}");
        }
        line
    }

    /// What is not as it was, but for the latency.
    fn difference(&self, new: &Self) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut changes = Vec::new();
        let mut compare = |what: &str, old: String, new: String| {
            if old != new {
                changes.push(format!("{what} {old} -> {new}"));
            }
        };
        let sectors = |entry: &Self| entry.sectors.map_or("-".to_owned(), |sectors| sectors.to_string());
        compare("sectors", sectors(self), sectors(new));
        compare("sectors per frame", self.sectors_per_frame.to_string(), new.sectors_per_frame.to_string());
        compare("buffers", self.buffer_count.to_string(), new.buffer_count.to_string());
        compare("config", format!("\"{}\"", self.config), format!("\"{}\"", new.config));
        compare("model", text(&self.model), text(&new.model));
        compare("serial", text(&self.serial), text(&new.serial));
        if self.error.is_some() != new.error.is_some() {
            compare("error", text(&self.error), text(&new.error));
        }
        changes.join(", ")
    }
}

/// A table: heads, then a row for each entry.
pub(super) fn rows(entries: &[Entry]) -> Vec<Vec<String>> {
    let heads = [
        "ADDRESS",
        "NETIF",
        "MAC",
        "SIZE",
        "SECTORS/FRAME",
        "BUFFERS",
        "LATENCY",
        "MODEL",
        "SERIAL",
        "CONFIG",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for entry in entries {
        let or_dash = |text: &Option<String>| match text.as_deref() {
            None | Some("") => "-".to_owned(),
            Some(text) => text.to_owned(),
        };
        let mut row = vec![
            entry.address.clone(),
            entry.netif.clone(),
            entry.mac.clone(),
            entry.size(),
            entry.sectors_per_frame.to_string(),
            entry.buffer_count.to_string(),
            entry.latency_ms.map_or("-".to_owned(), |latency| format!("{latency:.3} ms")),
            or_dash(&entry.model),
            or_dash(&entry.serial),
            or_dash(&Some(shortened(&entry.config))),
        ];
        row.extend(entry.error.as_ref().map(|error| format!("({error})")));
        rows.push(row);
    }
    rows
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CONFIG_WIDTH) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aoe_wire::{IdentifyFeatures, Identity};

    use super::*;

    fn key() -> Key {
        Key { address: Address::new(7, 3), netif: "eth0".into(), mac: MacAddr([2, 0, 0, 0, 0, 0xb2]) }
    }

    fn sighting(string: &[u8], disk: Disk) -> Sighting {
        let now = Instant::now();
        let info = ConfigInfo { buffer_count: 16, firmware: 0, sector_count: 2 };
        let rtt = Some(Duration::from_micros(250));
        Sighting { info, string: string.to_vec(), rtt, disk, heard: now, visited: now, told: None }
    }

    fn disk(sectors: u64) -> Disk {
        let identity = Identity::new("7.3:host", "0.1.0", "AOE DISK").expect("an identity");
        Disk::Known(Box::new(IdentifyDevice::build(identity, sectors, IdentifyFeatures::default())))
    }

    #[test]
    fn a_path_is_a_row() {
        let entries = [sighting(b"owner=web1", disk(16_384)).entry(&key())];
        let rows = rows(&entries);
        assert_eq!(
            rows[1].join("|"),
            "e7.3|eth0|02:00:00:00:00:b2|8.39 MB|2|16|0.250 ms|AOE DISK|7.3:host|owner=web1"
        );
        assert_eq!(rows[0].len(), rows[1].len());
    }

    #[test]
    fn a_target_that_does_not_identify_itself_has_blanks_and_a_reason() {
        let entries = [sighting(b"", Disk::Silent("no answer".into())).entry(&key())];
        assert!(rows(&entries)[1].join("|").ends_with("|0.250 ms|-|-|-|(IDENTIFY: no answer)"));
    }

    #[test]
    fn bytes_from_the_wire_reach_the_terminal_escaped_and_cut() {
        let entry = sighting(b"\x1b[2J", disk(8)).entry(&key());
        assert!(!rows(&[entry])[1].concat().contains(char::is_control));
        let entry = sighting(&[b'x'; 1024], disk(8)).entry(&key());
        assert_eq!(rows(&[entry])[1][9].len(), CONFIG_WIDTH + 3);
    }

    #[test]
    fn watching_tells_what_has_changed_once() {
        let mut sighting = sighting(b"a", Disk::Asked);
        assert_eq!(sighting.change(&key()), None, "the disk is not known yet");
        sighting.disk = disk(16);
        assert_eq!(sighting.change(&key()).as_deref(), Some(""));
        assert_eq!(sighting.change(&key()), None);
        (sighting.disk, sighting.string, sighting.rtt) = (disk(32), b"b\n".to_vec(), None);
        assert_eq!(sighting.change(&key()).as_deref(), Some("sectors 16 -> 32, config \"a\" -> \"b\\n\""));
        assert_eq!(sighting.change(&key()), None);
        sighting.disk = Disk::Silent("gone".into());
        assert!(sighting.change(&key()).is_some_and(|change| change.contains("error - -> IDENTIFY: gone")));
        sighting.disk = Disk::Silent("gone for longer".into());
        assert_eq!(sighting.change(&key()), None, "for how long it is silent is no news");
    }
}
