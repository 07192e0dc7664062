//! The sections `[[export]]`, and `[defaults]`, which says what holds for all of them.

use std::num::{NonZeroU32, NonZeroU64};

use aoe_target::{Address, Identity, MacAddr, TargetOptions};
use aoe_wire::{IdentityError, IdentityField};

use super::groups::Groups;
use super::mistake::Place;
use super::process::choice;
use super::section::Section;
use super::source::{self, Source};
use super::{Export, Pattern};
use crate::cli::Cache;
use crate::options::default_serial;
use crate::source::MOST_SECTORS;
use crate::stack::DEPTH;

/// The most requests that a disk may be given at a time: more than any drive takes.
const DEEPEST: u16 = 4096;

/// What an export may take from the defaults.
struct Common {
    netifs: Vec<Pattern>,
    cache: Cache,
    read_only: bool,
    offset: u64,
    length: Option<u64>,
    queue_depth: u16,
    force: bool,
    buffer_count: Option<u16>,
    sector_align: bool,
    allow: Vec<MacAddr>,
    deny: Vec<MacAddr>,
    mask_edits: bool,
    config_writes: bool,
    reservations: bool,
    model: String,
    iops: Option<NonZeroU32>,
    bytes_per_second: Option<NonZeroU64>,
}

/// Reads `[defaults]` for its mistakes. Its values are read again with each export.
pub(super) fn check_defaults<'t>(section: &Section<'t>, groups: &Groups<'t>) {
    Common::read(section, groups);
    for key in ["address", "path", "serial"] {
        if let Some(entry) = section.own(key) {
            section.text.wrong(
                &entry.key_span,
                format!("{key}: is different for each disk; give it in each [[export]] instead"),
            );
        }
    }
    section.refuse_others();
}

impl Export {
    /// Reads an export, and where its address and its path are written. `None` when something is wrong that it cannot be without.
    pub(super) fn read<'t>(
        section: &Section<'t>,
        groups: &Groups<'t>,
        host: &str,
    ) -> Option<(Self, Place, Place)> {
        let common = Common::read(section, groups);
        let address = section.own("address").map(|entry| (source::address(&entry), entry.place()));
        let disk = section.own("path").map(|entry| (Source::read(&entry, common.read_only), entry.place()));
        let serial = section.own("serial");
        section.refuse_others();
        missing(section, "address", address.is_some(), "\"7.3\"");
        missing(section, "path", disk.is_some(), "\"/dev/sdb\"");
        missing(section, "interfaces", section.entry("interfaces").is_some(), "[\"eth1\"]");
        let ((address, address_place), (source, path_place)) = (address?, disk?);
        let (address, source) = (address?, source?);
        if matches!(source, Source::Remote(_)) {
            for key in ["offset", "length"] {
                if let Some(entry) = section.own(key) {
                    entry.wrong("only a file can be exported in part; give the whole of the other target");
                }
            }
        }
        let serial = match &serial {
            Some(entry) => {
                let words = entry.words()?;
                if let Err(error) = Identity::new(words, Identity::FIRMWARE, Identity::MODEL) {
                    entry.wrong(identity_fault(words, error));
                }
                words.to_owned()
            }
            None => default_serial(address, host),
        };
        let export = Self {
            origin: section.text.place(&section.span).line(),
            source,
            target: common.target(address, &serial)?,
            netifs: common.netifs,
            cache: common.cache,
            read_only: common.read_only,
            offset: common.offset,
            length: common.length,
            queue_depth: common.queue_depth,
            force: common.force,
        };
        Some((export, address_place, path_place))
    }
}

impl Common {
    fn read<'t>(section: &Section<'t>, groups: &Groups<'t>) -> Self {
        let flag = |key, default| section.entry(key).and_then(|entry| entry.flag()).unwrap_or(default);
        let macs = |key| section.entry(key).map(|entry| groups.initiators(&entry)).unwrap_or_default();
        let offset = section.entry("offset").and_then(|entry| entry.number(0..=MOST_SECTORS));
        let length = section.entry("length").and_then(|entry| entry.number(1..=MOST_SECTORS));
        Self {
            netifs: netifs(section),
            cache: section.entry("cache").and_then(|entry| choice(&entry)).unwrap_or(Cache::Writethrough),
            read_only: flag("read_only", false),
            offset: offset.unwrap_or(0),
            length,
            queue_depth: section
                .entry("queue_depth")
                .and_then(|entry| entry.number(1..=DEEPEST))
                .unwrap_or(DEPTH),
            force: flag("force", false),
            buffer_count: section.entry("buffer_count").and_then(|entry| entry.number(2..=u16::MAX)),
            sector_align: flag("sector_align", false),
            allow: allow(section, groups),
            deny: macs("deny"),
            mask_edits: flag("mask_edits", true),
            config_writes: flag("config_writes", true),
            reservations: flag("reservations", true),
            model: model(section).unwrap_or_else(|| Identity::MODEL.to_owned()),
            iops: section
                .entry("iops")
                .and_then(|entry| entry.number(1..=u32::MAX))
                .and_then(NonZeroU32::new),
            bytes_per_second: section
                .entry("bytes_per_second")
                .and_then(|entry| entry.bytes(1..=1 << 50))
                .and_then(NonZeroU64::new),
        }
    }

    fn target(&self, address: Address, serial: &str) -> Option<TargetOptions> {
        let default = TargetOptions::new(address);
        Some(TargetOptions {
            // A name that is wrong has been told.
            identity: Identity::new(serial, Identity::FIRMWARE, &self.model).ok()?,
            buffer_count: self.buffer_count.unwrap_or(default.buffer_count),
            sector_align: self.sector_align,
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            lock_config: !self.config_writes,
            lock_mask: !self.mask_edits,
            lock_reserve: !self.reservations,
            write_cache: matches!(self.cache, Cache::Writeback | Cache::None),
            iops: self.iops,
            bytes_per_second: self.bytes_per_second,
            ..default
        })
    }
}

fn netifs(section: &Section<'_>) -> Vec<Pattern> {
    let Some(entry) = section.entry("interfaces") else { return Vec::new() };
    let list = entry.list();
    let mut patterns = Vec::<Pattern>::new();
    for (item, words) in &list {
        match Pattern::new(words) {
            Ok(twice) if patterns.contains(&twice) => {
                item.wrong(format_args!("{words:?} is named twice; give each interface once"));
            }
            Ok(pattern) => patterns.push(pattern),
            Err(error) => item.wrong(error),
        }
    }
    if entry.is_empty_list() {
        entry.wrong("no interface, so nobody would be served; name one, such as [\"eth1\"]");
    }
    patterns
}

/// The initiators that are answered; none is all of them, which an empty list says, and an empty group does not mean.
fn allow<'t>(section: &Section<'t>, groups: &Groups<'t>) -> Vec<MacAddr> {
    let Some(entry) = section.entry("allow") else { return Vec::new() };
    let mistakes = section.text.mistakes.borrow().len();
    let macs = groups.initiators(&entry);
    if macs.is_empty() && !entry.is_empty_list() && section.text.mistakes.borrow().len() == mistakes {
        entry.wrong("the groups have nobody in them; add initiators, or give allow = [] to answer all");
    }
    macs
}

fn model(section: &Section<'_>) -> Option<String> {
    let entry = section.entry("model")?;
    let words = entry.words()?;
    if let Err(error) = Identity::new("x", Identity::FIRMWARE, words) {
        entry.wrong(identity_fault(words, error));
        return None;
    }
    Some(words.to_owned())
}

fn identity_fault(words: &str, error: IdentityError) -> String {
    let (IdentityError::TooLong(field) | IdentityError::Blank(field) | IdentityError::NotPrintable(field)) =
        error;
    let most = IdentityField::max(field);
    format!("{words:?}: {error}; give 1 to {most} printable ASCII characters, not only spaces")
}

fn missing(section: &Section<'_>, key: &str, present: bool, example: &str) {
    if !present && !section.text.is_damaged() {
        section
            .text
            .wrong(&section.span, format!("[[export]] without {key}; add one, such as {key} = {example}"));
    }
}
