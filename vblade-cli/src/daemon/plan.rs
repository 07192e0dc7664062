//! What is to be done so that what is becomes what the configuration wants: a pure function of both, run after every change of either.
//!
//! An export that is as it is wanted gets no step, whatever happens to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aoe_target::{Address, TargetOptions};

use super::config::{Export, Source};
use super::disk::DiskSettings;

/// Which export: what initiators have set belongs to an address and a disk, so another of either is another export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) address: Address,
    pub(super) source: String,
}

impl Key {
    pub(super) fn of(export: &Export) -> Self {
        let source = match &export.source {
            Source::Remote(remote) => format!("aoe:{}@{}", remote.address, remote.netifs.join(",")),
            file => file.path().unwrap_or_default().display().to_string(),
        };
        Self { address: export.target.address, source }
    }

    /// The address as others write it: `7.3`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.address.major, self.address.minor)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.source)
    }
}

/// An export as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Actual {
    /// The settings that are in force, while it is served.
    pub(super) served: Option<TargetOptions>,
    /// It was removed, and ends what it has begun.
    pub(super) leaving: bool,
    /// Its disk, if that is there.
    pub(super) disk: Option<DiskSettings>,
    /// The disk that is being opened.
    pub(super) opening: Option<DiskSettings>,
    /// The disk that could not be opened the last time.
    pub(super) failed: Option<DiskSettings>,
    /// It is time to try that again.
    pub(super) due: bool,
    /// The interfaces that it is served on.
    pub(super) links: BTreeSet<String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Forget an export that is not served.
    Forget(Key),
    /// Take one away that is.
    Remove(Key),
    /// Open its disk, and serve it then, or serve it from this disk from then on.
    Open(Key),
    /// Put its settings in force.
    Options(Key),
    /// Serve it on these interfaces.
    Links(Key, BTreeSet<String>),
}

/// What makes `actual` what is `wanted`, while links are open on the interfaces `open`.
pub(super) fn plan(
    wanted: &BTreeMap<Key, &Export>,
    actual: &BTreeMap<Key, Actual>,
    open: &BTreeSet<String>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (key, actual) in actual {
        match actual {
            Actual { leaving: true, .. } => {}
            _ if wanted.contains_key(key) => {}
            Actual { served: Some(_), .. } => steps.push(Step::Remove(key.clone())),
            _ => steps.push(Step::Forget(key.clone())),
        }
    }
    // Nothing keeps an order between two exports of one disk, so another waits until this one has ended what it has begun.
    let leaves = |key: &Key, of: &Actual| of.leaving || of.served.is_some() && !wanted.contains_key(key);
    let in_use: BTreeSet<_> =
        actual.iter().filter(|(key, of)| leaves(key, of)).map(|(key, _)| key.source.as_str()).collect();
    let none = Actual::default();
    let links = links(wanted, open);
    for (key, export) in wanted {
        let actual = actual.get(key).unwrap_or(&none);
        if actual.leaving {
            // When it has gone, there will be another plan.
            continue;
        }
        if let Some(options) = &actual.served {
            if *options != export.target {
                steps.push(Step::Options(key.clone()));
            }
            if let Some(links) = links.get(key).filter(|links| **links != actual.links) {
                steps.push(Step::Links(key.clone(), links.clone()));
            }
        }
        if !in_use.contains(key.source.as_str()) && is_to_be_opened(actual, &DiskSettings::of(export)) {
            steps.push(Step::Open(key.clone()));
        }
    }
    steps
}

fn is_to_be_opened(actual: &Actual, wanted: &DiskSettings) -> bool {
    match (&actual.opening, &actual.disk, &actual.failed) {
        (Some(opening), ..) => opening != wanted,
        (None, Some(disk), _) if disk == wanted => false,
        (None, _, Some(failed)) if failed == wanted => actual.due,
        _ => true,
    }
}

/// On which of the interfaces `open` each export is to be served. Of two with one address the first has an interface that both could use.
pub(super) fn links(
    wanted: &BTreeMap<Key, &Export>,
    open: &BTreeSet<String>,
) -> BTreeMap<Key, BTreeSet<String>> {
    let mut taken = BTreeSet::new();
    let mut free = |key: &Key, name: &String| taken.insert((key.address, name.clone()));
    wanted
        .iter()
        .map(|(key, export)| {
            let names = open.iter().filter(|name| wants(export, name) && free(key, name)).cloned().collect();
            (key.clone(), names)
        })
        .collect()
}

/// Whether an export is for the interface `name`.
pub(super) fn wants(export: &Export, name: &str) -> bool {
    export.netifs.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::config::Pattern;
    use super::*;
    use crate::cli::Cache;

    fn export(slot: u8, path: &str, netifs: &str) -> Export {
        Export {
            origin: String::new(),
            source: Source::Path(PathBuf::from(path)),
            netifs: netifs.split(' ').map(|name| Pattern(name.to_owned())).collect(),
            cache: Cache::Writethrough,
            read_only: false,
            offset: 0,
            length: None,
            queue_depth: 64,
            force: false,
            target: TargetOptions::new(Address::new(7, slot)),
        }
    }

    fn names(list: &str) -> BTreeSet<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    /// An export that is served as it is written.
    fn served(export: &Export, links: &str) -> Actual {
        Actual {
            served: Some(export.target.clone()),
            disk: Some(DiskSettings::of(export)),
            links: names(links),
            ..Actual::default()
        }
    }

    fn steps(wanted: &[&Export], actual: &[(&Export, Actual)], open: &str) -> Vec<Step> {
        let wanted = wanted.iter().map(|export| (Key::of(export), *export)).collect();
        let actual = actual.iter().map(|(export, actual)| (Key::of(export), actual.clone())).collect();
        plan(&wanted, &actual, &names(open))
    }

    #[test]
    fn what_is_as_it_is_wanted_gets_no_step() {
        let (a, b) = (export(1, "/a", "eth0"), export(2, "/b", "eth0 aoe*"));
        let actual = [(&a, served(&a, "eth0")), (&b, served(&b, "eth0 aoe7"))];
        assert_eq!(steps(&[&a, &b], &actual, "eth0 aoe7"), []);
    }

    #[test]
    fn the_others_get_no_step_when_one_is_added_removed_or_changed() {
        let (a, b, new) = (export(1, "/a", "eth0"), export(2, "/b", "eth0"), export(3, "/c", "eth0"));
        let changed = Export { target: TargetOptions { buffer_count: 99, ..b.target.clone() }, ..b.clone() };
        let actual = [(&a, served(&a, "eth0")), (&b, served(&b, "eth0"))];
        assert_eq!(steps(&[&a, &b, &new], &actual, "eth0"), [Step::Open(Key::of(&new))]);
        assert_eq!(steps(&[&a], &actual, "eth0"), [Step::Remove(Key::of(&b))]);
        assert_eq!(steps(&[&a, &changed], &actual, "eth0"), [Step::Options(Key::of(&b))]);
    }

    #[test]
    fn other_settings_of_the_disk_take_another_queue_and_another_address_or_path_another_export() {
        let a = export(1, "/a", "eth0");
        let actual = [(&a, served(&a, "eth0"))];
        for changed in [
            Export { offset: 8, ..a.clone() },
            Export { length: Some(8), ..a.clone() },
            Export { queue_depth: 8, ..a.clone() },
            Export { read_only: true, ..a.clone() },
            Export { cache: Cache::Directsync, ..a.clone() },
        ] {
            assert_eq!(steps(&[&changed], &actual, "eth0"), [Step::Open(Key::of(&a))]);
        }
        let other = export(1, "/b", "eth0");
        let expected = [Step::Remove(Key::of(&a)), Step::Open(Key::of(&other))];
        assert_eq!(steps(&[&other], &actual, "eth0"), expected);
    }

    #[test]
    fn a_disk_that_changes_its_address_is_not_opened_before_the_old_export_has_gone() {
        let (a, b) = (export(1, "/a", "eth0"), export(2, "/a", "eth0"));
        assert_eq!(steps(&[&b], &[(&a, served(&a, "eth0"))], "eth0"), [Step::Remove(Key::of(&a))]);
        let leaving = Actual { leaving: true, ..served(&a, "") };
        assert_eq!(steps(&[&b], &[(&a, leaving)], "eth0"), []);
        assert_eq!(steps(&[&b], &[], "eth0"), [Step::Open(Key::of(&b))]);
    }

    #[test]
    fn an_interface_that_appears_is_taken_up_by_those_that_name_it() {
        let (a, b) = (export(1, "/a", "eth0"), export(2, "/b", "aoe*"));
        let actual = [(&a, served(&a, "eth0")), (&b, served(&b, ""))];
        assert_eq!(steps(&[&a, &b], &actual, "eth0"), []);
        let expected = [Step::Links(Key::of(&b), names("aoe1 aoe2"))];
        assert_eq!(steps(&[&a, &b], &actual, "aoe1 aoe2 eth0"), expected);
        let expected = [Step::Links(Key::of(&a), names(""))];
        assert_eq!(steps(&[&a, &b], &actual, ""), expected);
    }

    #[test]
    fn of_two_at_one_address_the_first_has_the_interface_that_both_match() {
        let (a, b) = (export(1, "/a", "eth0 aoe1"), export(1, "/b", "aoe*"));
        let wanted = [&a, &b].map(|export| (Key::of(export), export)).into();
        let links = links(&wanted, &names("eth0 aoe1 aoe2"));
        assert_eq!(links[&Key::of(&a)], names("aoe1 eth0"));
        assert_eq!(links[&Key::of(&b)], names("aoe2"));
    }

    #[test]
    fn a_disk_is_opened_once_and_again_when_it_is_due_or_wanted_otherwise() {
        let a = export(1, "/a", "eth0");
        let open = [Step::Open(Key::of(&a))];
        let settings = Some(DiskSettings::of(&a));
        assert_eq!(steps(&[&a], &[], "eth0"), open);
        let opening = Actual { opening: settings.clone(), ..Actual::default() };
        assert_eq!(steps(&[&a], &[(&a, opening.clone())], "eth0"), []);
        let down = Actual { failed: settings, ..Actual::default() };
        assert_eq!(steps(&[&a], &[(&a, down.clone())], "eth0"), []);
        assert_eq!(steps(&[&a], &[(&a, Actual { due: true, ..down.clone() })], "eth0"), open);
        let changed = Export { read_only: true, ..a.clone() };
        assert_eq!(steps(&[&changed], &[(&a, down.clone())], "eth0"), open);
        assert_eq!(steps(&[&changed], &[(&a, opening)], "eth0"), open);
        // One that is gone is served on, without its disk.
        let gone = Actual { disk: None, due: true, failed: down.failed, ..served(&a, "eth0") };
        assert_eq!(steps(&[&a], &[(&a, gone)], "eth0"), open);
    }

    #[test]
    fn an_export_that_leaves_is_left_alone_and_one_that_never_came_is_forgotten() {
        let a = export(1, "/a", "eth0");
        let leaving = Actual { leaving: true, ..served(&a, "") };
        assert_eq!(steps(&[&a], &[(&a, leaving.clone())], "eth0"), [], "until it has gone");
        assert_eq!(steps(&[], &[(&a, leaving)], "eth0"), []);
        let opening = Actual { opening: Some(DiskSettings::of(&a)), ..Actual::default() };
        assert_eq!(steps(&[], &[(&a, opening)], "eth0"), [Step::Forget(Key::of(&a))]);
    }
}
