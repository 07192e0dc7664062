//! What is to be served: a file, or another target's disk.

use std::path::PathBuf;

use aoe_target::Address;
use bdev::FileOptions;

use crate::cli::{Cache, Cli};
use crate::options::{UsageError, number};

/// The most sectors that an ATA disk can have: what 48 bits count.
pub(crate) const MOST_SECTORS: u64 = 1 << 48;

/// How the name of a disk begins that another target serves. A file of such a name is `./aoe:...`.
const REMOTE: &str = "aoe:";

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file or block device, or a part of it.
    File(FileOptions),
    /// A disk that another AoE target serves.
    Remote(Remote),
}

/// A disk of another target, written `aoe:e7.3@eth0` or `aoe:e7.3@eth0,eth1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) address: Address,
    pub(crate) netifs: Vec<String>,
    pub(crate) read_only: bool,
}

impl Source {
    /// What it is called: its path, or how it was written.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(file) => file.path.clone(),
            Self::Remote(remote) => {
                PathBuf::from(format!("/{REMOTE}{}@{}", remote.address, remote.netifs.join(",")))
            }
        }
    }

    pub(crate) fn read_only(&self) -> bool {
        match self {
            Self::File(file) => file.read_only,
            Self::Remote(remote) => remote.read_only,
        }
    }

    /// Reads what the command line says of it.
    ///
    /// # Errors
    ///
    /// When the name of another target's disk, or the part of a file, means nothing.
    pub(crate) fn new(cli: &Cli, cache: Cache) -> Result<Self, UsageError> {
        let offset = number("-o", &cli.offset, 0..=MOST_SECTORS)?;
        let length = cli.length.as_ref().map(|text| number("-l", text, 1..=MOST_SECTORS)).transpose()?;
        let Some(text) = cli.filename.to_str().and_then(|name| name.strip_prefix(REMOTE)) else {
            return Ok(Self::File(FileOptions {
                offset,
                length,
                read_only: cli.read_only,
                direct: matches!(cache, Cache::None | Cache::Directsync),
                ..FileOptions::new(cli.filename.clone())
            }));
        };
        let remote =
            Remote::parse(text, cli.read_only).ok_or_else(|| UsageError::Remote { text: text.to_owned() })?;
        if offset != 0 || length.is_some() {
            return Err(UsageError::PartOfRemote);
        }
        Ok(Self::Remote(remote))
    }
}

impl Remote {
    /// Reads what is after `aoe:`. `None` if it is not an address and interfaces.
    pub(crate) fn parse(text: &str, read_only: bool) -> Option<Self> {
        let (target, netifs) = text.split_once('@')?;
        let address: Address = target.parse().ok()?;
        let netifs: Vec<_> = netifs.split(',').map(str::to_owned).collect();
        if address.is_wildcard() || netifs.iter().any(String::is_empty) {
            return None;
        }
        Some(Self { address, netifs, read_only })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn source(arguments: &str) -> Result<Source, String> {
        let words = std::iter::once("vblade").chain(arguments.split(' '));
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Source::new(&cli, Cache::Writethrough).map_err(|error| error.to_string())
    }

    #[test]
    fn another_targets_disk_is_named_by_its_address_and_interfaces() {
        let remote = |name: &str| match source(&format!("8 0 eth1 {name}")) {
            Ok(Source::Remote(remote)) => Ok((remote.address, remote.netifs)),
            Ok(Source::File(_)) => Err("a file".to_owned()),
            Err(error) => Err(error),
        };
        assert_eq!(remote("aoe:e7.3@eth0"), Ok((Address::new(7, 3), vec!["eth0".to_owned()])));
        assert_eq!(remote("aoe:e7.3@eth0,eth2").map(|(_, netifs)| netifs.len()), Ok(2));
        assert_eq!(remote("./aoe:e7.3@eth0"), Err("a file".to_owned()));
        for name in ["aoe:", "aoe:e7.3", "aoe:e7.3@", "aoe:e7.3@eth0,", "aoe:x@eth0", "aoe:e65535.255@eth0"] {
            let error = remote(name).expect_err("no disk");
            assert!(error.contains("give aoe:e7.3@eth0"), "{name}: {error}");
        }
        assert!(source("-o 8 8 0 eth1 aoe:e7.3@eth0").is_err_and(|error| error.starts_with("-o and -l")));
    }

    #[test]
    fn offset_and_length_count_sectors() {
        let range = |options: &str| {
            source(&format!("{options} 7 3 eth0 disk.img")).map(|source| match source {
                Source::File(file) => (file.offset, file.length),
                Source::Remote(_) => panic!("a file"),
            })
        };
        assert_eq!(range("-o 8 -l 16"), Ok((8, Some(16))));
        assert_eq!(range("-o 8"), Ok((8, None)));
        assert!(
            range("-l 0").is_err() && range("-o 1k").is_err() && range("-l 18446744073709551616").is_err()
        );
    }
}
