//! A disk as the classic command is told of it: shelf, slot, netif, filename and options. All that wrap the command share this.

use std::ffi::OsString;
use std::fmt::Display;

use aoe_target::TargetOptions;
use clap::{Parser, ValueEnum};

use super::draft::{Disk, list, number};
use crate::cli::{Cli, LinkKind};
use crate::options::Export;
use crate::sentence::one_sentence;
use crate::source::Source;

/// The four arguments, and the options as the shell would split them.
#[derive(Clone, Debug)]
pub(in super::super) struct Classic {
    pub(in super::super) shelf: String,
    pub(in super::super) slot: String,
    pub(in super::super) netif: String,
    pub(in super::super) filename: String,
    pub(in super::super) options: String,
}

impl Classic {
    /// What follows the name of the command. The file is one argument, whatever it is called.
    pub(in super::super) fn arguments(&self) -> Vec<String> {
        let options = self.options.split_whitespace().map(str::to_owned);
        let rest = [self.shelf.clone(), self.slot.clone(), self.netif.clone(), self.path()];
        options.chain(["--".to_owned()]).chain(rest).collect()
    }

    /// The file from the root, where those who start the command at boot are.
    pub(in super::super) fn path(&self) -> String {
        let name = &self.filename;
        if name.starts_with('/') || name.starts_with("aoe:") { name.clone() } else { format!("/{name}") }
    }

    /// What the command makes of it.
    ///
    /// # Errors
    ///
    /// What it would say and end.
    pub(in super::super) fn parse(&self) -> Result<(Cli, Export), String> {
        let words = std::iter::once("vblade".to_owned()).chain(self.arguments()).map(OsString::from);
        let cli = Cli::try_parse_from(words).map_err(|error| one_sentence(&error, "vblade"))?;
        let export = Export::new(cli.clone(), "host").map_err(|error| error.to_string())?;
        Ok((cli, export))
    }

    /// The same as an export of ours.
    pub(super) fn disk(&self, origin: &dyn Display) -> Result<Disk, String> {
        let (cli, export) = self.parse()?;
        let mut disk = Disk::new(origin);
        let target = &export.target;
        disk.set("address", format!("{}.{}", target.address.major, target.address.minor));
        disk.set("path", self.path());
        disk.set("interfaces", list(export.netifs));
        if cli.cache.is_some() || cli.direct || cli.sync {
            let mode = export.cache.to_possible_value().map(|value| value.get_name().to_owned());
            disk.set("cache", mode.unwrap_or_default());
        }
        let flags = [("read_only", cli.read_only), ("sector_align", cli.sector_align), ("force", cli.force)];
        for (key, _) in flags.into_iter().filter(|(_, given)| *given) {
            disk.set(key, true);
        }
        if let Source::File(file) = &export.source {
            if file.offset != 0 {
                disk.set("offset", number(file.offset));
            }
            if let Some(length) = file.length {
                disk.set("length", number(length));
            }
        }
        if target.buffer_count != TargetOptions::new(target.address).buffer_count {
            disk.set("buffer_count", number(target.buffer_count.into()));
        }
        if !target.allow.is_empty() {
            disk.set("allow", list(target.allow.iter().map(ToString::to_string)));
        }
        for (key, name) in [("serial", cli.serial), ("model", cli.model)] {
            if let Some(name) = name {
                disk.set(key, name);
            }
        }
        for (option, given, place) in [
            ("--state-dir", cli.state_dir.is_some(), "state_dir in [daemon]"),
            ("--link", cli.link != LinkKind::Auto, "link in [daemon]"),
            ("--no-sandbox", cli.no_sandbox, "sandbox in [daemon]"),
            ("--verbose", cli.verbose > 0, "vbladed --verbose"),
        ] {
            if given {
                disk.remark(format_args!("{option} holds for all exports and was left out: see {place}"));
            }
        }
        Ok(disk)
    }
}
