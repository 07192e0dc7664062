//! ggaoed.conf(5): the section `[defaults]`, `[acls]` with groups of initiators, and one for each interface and each disk.
//!
//! What the defaults say is written to each disk, since only a main file may have defaults here.

use aoe_target::MacAddr;

use super::draft::{Disk, Draft, list, number};
use crate::options;

type Lines<'t> = Vec<(&'t str, &'t str)>;

/// Adds the disks of a file.
pub(super) fn read(file: &str, text: &str, draft: &mut Draft) {
    let sections = sections(file, text, draft);
    let find = |name: &str| sections.iter().find(|(known, _)| *known == name).map(|(_, lines)| lines.clone());
    let (defaults, acls) = (find("defaults").unwrap_or_default(), find("acls").unwrap_or_default());
    for (key, value) in &defaults {
        if let Some(why) = fault_of_default(key) {
            draft.remark(&file, &format_args!("{key} = {value} in [defaults] was left out: {why}"));
        }
    }
    let names: Vec<_> = acls.iter().map(|(name, _)| *name).collect();
    for (name, members) in &acls {
        draft.add_group(name, members_of(members, &names));
    }
    for (name, lines) in sections.iter().filter(|(name, _)| !["defaults", "acls"].contains(name)) {
        let origin = format!("{file} [{name}]");
        if lines.iter().any(|(key, _)| ["path", "uuid", "shelf", "slot"].contains(key)) {
            match disk(&origin, lines, &defaults, &names) {
                Ok(disk) => draft.add(disk),
                Err(why) => draft.leave_out(&origin, &why),
            }
            continue;
        }
        // It is an interface's, then.
        for (key, value) in lines {
            let why = fault_of_default(key).unwrap_or("it is no key of an interface");
            draft.remark(&origin, &format_args!("{key} = {value} was left out: {why}"));
        }
    }
}

/// The sections by name, each once.
fn sections<'t>(file: &str, text: &'t str, draft: &mut Draft) -> Vec<(&'t str, Lines<'t>)> {
    let mut sections = Vec::<(&str, Lines<'_>)>::new();
    let mut current = None;
    for (line, line_number) in text.lines().zip(1..) {
        let line = line.trim();
        let origin = format!("{file}:{line_number}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let place = sections.iter().position(|(known, _)| *known == name).unwrap_or(sections.len());
            if place == sections.len() {
                sections.push((name, Vec::new()));
            }
            current = Some(place);
            continue;
        }
        match (line.split_once('='), current.and_then(|place| sections.get_mut(place))) {
            (Some((key, value)), Some((_, lines))) => {
                let (key, value) = (key.trim(), value.trim());
                // Of a key that is given twice, the last counts.
                lines.retain(|(known, _)| *known != key);
                lines.push((key, value));
            }
            (Some(_), None) => draft.leave_out(&origin, &"before the first section"),
            (None, _) => draft.leave_out(&origin, &"neither [section] nor key = value"),
        }
    }
    sections
}

fn disk(origin: &str, lines: &Lines<'_>, defaults: &Lines<'_>, acls: &[&str]) -> Result<Disk, String> {
    let find = |lines: &Lines<'_>, key: &str| {
        lines.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned())
    };
    let own = |key: &str| find(lines, key);
    let value = |key: &str| own(key).or_else(|| find(defaults, key));
    let mut disk = Disk::new(&origin);
    let (shelf, slot) = (own("shelf").ok_or("without shelf")?, own("slot").ok_or("without slot")?);
    let shelf = options::number("shelf", &shelf, 0..=65534_u16).map_err(|error| error.to_string())?;
    let slot = options::number("slot", &slot, 0..=254_u8).map_err(|error| error.to_string())?;
    disk.set("address", format!("{shelf}.{slot}"));
    match (own("path"), own("uuid")) {
        (Some(path), None) => disk.set("path", path),
        (None, Some(uuid)) => {
            disk.set("path", format!("UUID={uuid}"));
            disk.remark(
                "ggaoed looked for the uuid in many places; here it is that of a file system, as in /dev/disk/by-uuid",
            );
        }
        (Some(_), Some(_)) => return Err("with both path and uuid".to_owned()),
        (None, None) => return Err("with neither path nor uuid".to_owned()),
    }
    match value("interfaces") {
        Some(interfaces) => disk.set("interfaces", list(items(&interfaces))),
        None => {
            disk.set("interfaces", list(["*"]));
            disk.remark(
                "no interfaces were given, which meant all that are Ethernet and up: better name them",
            );
        }
    }
    // The default of ggaoed, too.
    if flag("direct-io", value("direct-io"), true)? {
        disk.set("cache", "none");
    }
    if flag("read-only", own("read-only"), false)? {
        disk.set("read_only", true);
    }
    if let Some(length) = value("queue-length") {
        let length =
            options::number("queue-length", &length, 1..=65535_u16).map_err(|error| error.to_string())?;
        disk.set("buffer_count", number(length.max(2).into()));
        disk.set("queue_depth", number(length.min(4096).into()));
    }
    for (theirs, ours) in [("accept", "allow"), ("deny", "deny")] {
        if let Some(members) = own(theirs).filter(|members| !members.is_empty()) {
            disk.set(ours, list(members_of(&members, acls)));
        }
    }
    for (key, value) in lines {
        if let Some(why) = fault_of_disk(key) {
            disk.remark(format_args!("{key} = {value} was left out: {why}"));
        }
    }
    Ok(disk)
}

fn flag(key: &str, value: Option<String>, default: bool) -> Result<bool, String> {
    match value.as_deref() {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{key} {other:?}: neither true nor false")),
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A word that is the name of a group means it, unless it is an address.
fn members_of(members: &str, acls: &[&str]) -> Vec<String> {
    let is_group = |item: &str| acls.contains(&item) && item.parse::<MacAddr>().is_err();
    items(members).map(|item| if is_group(item) { format!("@{item}") } else { item.to_owned() }).collect()
}

/// Why a key of the defaults or of an interface is not taken over; `None` for those that are.
fn fault_of_default(key: &str) -> Option<&'static str> {
    match key {
        "interfaces" | "queue-length" | "direct-io" => None,
        "pid-file" => Some("systemd knows the process"),
        "control-socket" => Some("vbladectl has a socket of its own: socket in [daemon]"),
        "state-directory" => Some(
            "config strings, mask lists and reservations are not carried over; set them again, they are kept in state_dir of [daemon]",
        ),
        "ring-buffer-size" | "send-buffer-size" | "receive-buffer-size" => {
            Some("the main file has recv_buffer in [daemon], in bytes, for receiving")
        }
        "mtu" => Some("set that of the interface: ip link set dev NAME mtu BYTES"),
        key => fault_of_disk(key).or(Some("it has no counterpart")),
    }
}

/// Why a key of a disk is not taken over; `None` for those that are.
fn fault_of_disk(key: &str) -> Option<&'static str> {
    match key {
        "path" | "uuid" | "shelf" | "slot" | "interfaces" | "direct-io" | "read-only" | "queue-length"
        | "accept" | "deny" => None,
        "trace-io" => Some("frames are recorded by: vbladectl trace on"),
        "max-delay" | "merge-delay" => Some("requests are not held back to be merged"),
        "broadcast" => Some("a disk is always advertised to everybody on its interfaces"),
        _ => Some("it has no counterpart"),
    }
}
