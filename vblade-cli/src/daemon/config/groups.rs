//! Initiators by address, by a name of `/etc/ethers`, and by `@group`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aoe_target::MacAddr;

use super::section::{Section, nearest};
use super::value::Entry;

/// How deep groups may be within groups.
const DEEPEST: usize = 32;

/// The groups of all files, and the names of `/etc/ethers`.
pub(super) struct Groups<'t> {
    written: BTreeMap<&'t str, Entry<'t>>,
    resolved: BTreeMap<&'t str, Vec<MacAddr>>,
    ethers: Ethers<'t>,
}

impl<'t> Groups<'t> {
    /// Reads the sections `[groups]`.
    pub(super) fn read(sections: &[Section<'t>], ethers: &'t Path) -> Self {
        let ethers = Ethers { file: ethers, names: OnceCell::new() };
        let mut groups = Self { written: BTreeMap::new(), resolved: BTreeMap::new(), ethers };
        for entry in sections.iter().flat_map(Section::entries) {
            if let Some(first) = groups.written.get(entry.key) {
                let first = first.place();
                entry.text.wrong(
                    &entry.key_span,
                    format!(
                        "group {:?} is defined in {first}, too; join the two, or name one otherwise",
                        entry.key
                    ),
                );
            } else {
                groups.written.insert(entry.key, entry);
            }
        }
        for name in groups.written.keys().copied().collect::<Vec<_>>() {
            groups.resolve(name, &mut Vec::new());
        }
        groups
    }

    /// The initiators that a list names, each once.
    pub(super) fn initiators(&self, entry: &Entry<'t>) -> Vec<MacAddr> {
        let mut all = Vec::new();
        for (item, words) in entry.list() {
            match words.strip_prefix('@') {
                Some(group) => match self.resolved.get(group) {
                    Some(macs) => add(&mut all, macs),
                    None => self.unknown_group(&item, group),
                },
                None => add(&mut all, self.initiator(&item, words).as_slice()),
            }
        }
        all
    }

    /// Resolves the group `name`, and before it those that it names. `within` are those that led to it.
    fn resolve(&mut self, name: &'t str, within: &mut Vec<&'t str>) {
        let Some(entry) = self.written.get(name).cloned() else { return };
        if self.resolved.contains_key(name) {
            return;
        }
        within.push(name);
        let mut all = Vec::new();
        for (item, words) in entry.list() {
            let Some(group) = words.strip_prefix('@') else {
                add(&mut all, self.initiator(&item, words).as_slice());
                continue;
            };
            if within.contains(&group) {
                item.wrong(format_args!("the group is part of itself by way of @{group}; leave that out"));
            } else if within.len() >= DEEPEST {
                item.wrong(format_args!("groups are more than {DEEPEST} deep; list initiators"));
            } else if let Some((&group, _)) = self.written.get_key_value(group) {
                self.resolve(group, within);
                add(&mut all, self.resolved.get(group).map(Vec::as_slice).unwrap_or_default());
            } else {
                self.unknown_group(&item, group);
            }
        }
        within.pop();
        self.resolved.insert(name, all);
    }

    fn unknown_group(&self, item: &Entry<'_>, group: &str) {
        let remedy = match nearest(group, self.written.keys().copied()) {
            Some(known) => format!("did you mean @{known}?"),
            None => "define it in [groups]".to_owned(),
        };
        item.wrong(format_args!("there is no group {group:?}; {remedy}"));
    }

    /// An initiator by its address or name.
    fn initiator(&self, item: &Entry<'_>, words: &str) -> Option<MacAddr> {
        let parsed = words.parse::<MacAddr>();
        let mac = match parsed {
            Ok(mac) => mac,
            Err(error) => match self.ethers.find(words) {
                Some(mac) => mac,
                None if words.contains(':') => {
                    item.wrong(format_args!("{words:?}: {error}; give one such as \"02:00:00:00:00:a1\""));
                    return None;
                }
                None if self.written.contains_key(words) => {
                    item.wrong(format_args!("{words:?} is a group; write \"@{words}\""));
                    return None;
                }
                None => {
                    item.wrong(format_args!(
                        "{words:?} is no MAC address and not in {}; add it there, or give the address",
                        self.ethers.file.display()
                    ));
                    return None;
                }
            },
        };
        if mac.is_multicast() || mac.is_zero() {
            let kind = if mac.is_zero() { "the zero address" } else { "a group address" };
            item.wrong(format_args!(
                "{words:?}: {kind} is no initiator's own; give the address of its interface, as `ip link` shows it"
            ));
            return None;
        }
        Some(mac)
    }
}

/// Adds those that are not there yet.
fn add(all: &mut Vec<MacAddr>, more: &[MacAddr]) {
    for mac in more {
        if !all.contains(mac) {
            all.push(*mac);
        }
    }
}

/// The file ethers(5), read when it is needed first.
struct Ethers<'t> {
    file: &'t Path,
    names: OnceCell<BTreeMap<String, MacAddr>>,
}

impl Ethers<'_> {
    fn find(&self, name: &str) -> Option<MacAddr> {
        // A file that cannot be read has no names in it, which is told with the name that is missed.
        let read = || {
            names(
                &fs::read(self.file)
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
                    .unwrap_or_default(),
            )
        };
        self.names.get_or_init(read).get(name).copied()
    }
}

/// The first address of each name. Digits of zero may be left out in front: `8:0:20:1:2:3`.
fn names(text: &str) -> BTreeMap<String, MacAddr> {
    let mut names = BTreeMap::new();
    for (mac, name) in entries(text) {
        names.entry(name.to_owned()).or_insert(mac);
    }
    names
}

/// What initiators are called in the file `ethers`: the first name of each. Nothing, when it cannot be read.
pub(crate) fn initiator_names(ethers: &Path) -> BTreeMap<MacAddr, String> {
    let text = fs::read(ethers).unwrap_or_default();
    let mut names = BTreeMap::new();
    for (mac, name) in entries(&String::from_utf8_lossy(&text)) {
        names.entry(mac).or_insert_with(|| name.to_owned());
    }
    names
}

fn entries(text: &str) -> impl Iterator<Item = (MacAddr, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        words.next().and_then(ether).zip(words.next())
    })
}

fn ether(text: &str) -> Option<MacAddr> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|digits| {
            u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 2 && !digits.starts_with('+'))
        })
        .collect();
    Some(MacAddr(bytes?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethers_has_addresses_and_names_and_comments() {
        let names = names(
            "# hosts\n8:0:20:1:2:ff web1 # rack 1\n02:00:00:00:00:01\tweb2\nnonsense\n02:00:00:00:00:02 web2\n+1:0:0:0:0:0 x\n",
        );
        assert_eq!(names.get("web1"), Some(&MacAddr([8, 0, 0x20, 1, 2, 0xff])));
        assert_eq!(names.get("web2"), Some(&MacAddr([2, 0, 0, 0, 0, 1])), "the first counts");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn an_initiator_is_called_by_its_first_name_and_by_none_without_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let ethers = dir.path().join("ethers");
        assert_eq!(initiator_names(&ethers), BTreeMap::new());
        fs::write(&ethers, "2:0:0:0:0:1 web1\n02:00:00:00:00:01 other\nnonsense\n").expect("a file");
        let first = BTreeMap::from([(MacAddr([2, 0, 0, 0, 0, 1]), "web1".to_owned())]);
        assert_eq!(initiator_names(&ethers), first);
    }
}
