//! What is served, as it was written: what it names may not be there yet.

use std::path::{Path, PathBuf};

use aoe_target::Address;

use super::value::Entry;
use crate::source::Remote;

/// A file, a device by a name of udev's, or another target's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Path(PathBuf),
    /// `UUID=`, `PARTUUID=`, `LABEL=`, `PARTLABEL=`, `ID=`: a link below `/dev/disk/by-*`.
    Tag {
        kind: TagKind,
        value: String,
    },
    /// `aoe:e7.3@eth0`: another target's disk.
    Remote(Remote),
}

/// The directories of `/dev/disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKind {
    Uuid,
    PartUuid,
    Label,
    PartLabel,
    Id,
}

impl TagKind {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Uuid, "UUID=", "by-uuid"),
        (Self::PartUuid, "PARTUUID=", "by-partuuid"),
        (Self::Label, "LABEL=", "by-label"),
        (Self::PartLabel, "PARTLABEL=", "by-partlabel"),
        (Self::Id, "ID=", "by-id"),
    ];

    fn directory(self) -> PathBuf {
        let name = Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("by-id", |(.., name)| name);
        Path::new("/dev/disk").join(name)
    }
}

impl Source {
    /// The path to open now; a tag's is as udev writes it. `None` for another target's disk.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Path(path) => Some(path.clone()),
            Self::Tag { kind: kind @ TagKind::Id, value } => Some(kind.directory().join(value)),
            Self::Tag { kind, value } => Some(kind.directory().join(escaped(value))),
            Self::Remote(_) => None,
        }
    }

    /// Reads the key `path`.
    pub(super) fn read(entry: &Entry<'_>, read_only: bool) -> Option<Self> {
        let words = entry.words()?;
        if let Some(remote) = words.strip_prefix("aoe:") {
            let remote = Remote::parse(remote, read_only);
            if remote.is_none() {
                entry.wrong(format_args!(
                    "{words:?} is not a target and its interfaces; give \"aoe:e7.3@eth0\""
                ));
            }
            return remote.map(Self::Remote);
        }
        for (kind, prefix, _) in TagKind::ALL {
            let Some(value) = words.strip_prefix(prefix) else { continue };
            if value.is_empty() || value.contains(['/', '\0']) || value == "." || value == ".." {
                entry.wrong(format_args!("{words:?} names no disk; give {prefix} with what blkid shows"));
                return None;
            }
            return Some(Self::Tag { kind, value: value.to_owned() });
        }
        if !words.starts_with('/') && words.contains('=') {
            entry.wrong(format_args!(
                "{words:?} is neither a path nor a tag; give UUID=, PARTUUID=, LABEL=, PARTLABEL= or ID= with a value, or a path that begins with /"
            ));
            return None;
        }
        entry.path().map(Self::Path)
    }
}

/// As udev writes a label where it is the name of a link: all but some ASCII characters and what is beyond ASCII as `\x20`.
fn escaped(label: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    label.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\x{:02x}", u32::from(c)) }).collect()
}

/// An address as `7.3` or `e7.3`, which one target may have.
pub(super) fn address(entry: &Entry<'_>) -> Option<Address> {
    let words = entry.words()?;
    match words.parse::<Address>() {
        Ok(address) if address.is_wildcard() => {
            entry
                .wrong(format_args!("{words:?} means every target; give shelf 0 to 65534 and slot 0 to 254"));
            None
        }
        Ok(address) => Some(address),
        Err(error) => {
            entry.wrong(format_args!("{words:?}: {error}; give shelf and slot, such as \"7.3\""));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: TagKind, value: &str) -> String {
        let path = Source::Tag { kind, value: value.to_owned() }.path().expect("a path");
        path.to_str().expect("UTF-8").to_owned()
    }

    #[test]
    fn tags_are_links_with_names_as_udev_writes_them() {
        assert_eq!(tag(TagKind::Uuid, "2f0a-11"), "/dev/disk/by-uuid/2f0a-11");
        assert_eq!(tag(TagKind::PartUuid, "2f0a-01"), "/dev/disk/by-partuuid/2f0a-01");
        assert_eq!(tag(TagKind::PartLabel, "EFI System"), "/dev/disk/by-partlabel/EFI\\x20System");
        assert_eq!(tag(TagKind::Label, "a\\b\u{e9}"), "/dev/disk/by-label/a\\x5cb\u{e9}");
        assert_eq!(tag(TagKind::Id, "wwn-0x5000-part1"), "/dev/disk/by-id/wwn-0x5000-part1");
        assert_eq!(tag(TagKind::Id, "usb-A\\x20B"), "/dev/disk/by-id/usb-A\\x20B", "as ls shows it");
    }
}
