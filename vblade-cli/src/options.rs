//! What is to be exported, and how: the command line with a meaning.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use aoe_link::{Accept, NetifOptions};
use aoe_target::{Address, Identity, MAX_REQUESTS, MacAddr, TargetOptions};
use aoe_wire::{IdentityError, IdentityField, MacAddrError};

use crate::cli::{Cache, Cli, LinkKind};
use crate::source::Source;

/// Frames that may be out besides those of requests: advertisements, copies, and a burst that has just arrived.
pub(crate) const SPARE_FRAMES: usize = 256;

/// Everything about one export that can be known without opening anything.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// The interfaces, each once, at least one.
    pub(crate) netifs: Vec<String>,
    /// How each is opened.
    pub(crate) link: NetifOptions,
    pub(crate) link_kind: LinkKind,
    pub(crate) target: TargetOptions,
    pub(crate) source: Source,
    pub(crate) cache: Cache,
    /// Where the state is kept, when the user said so.
    pub(crate) state_dir: Option<PathBuf>,
    /// Serve although another station answers at the address.
    pub(crate) force: bool,
    /// Whether the process shuts itself in.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "a sandbox is of Linux"))]
    pub(crate) sandbox: bool,
}

impl Export {
    /// Reads the command line. `host` is this host's name, for the serial number.
    ///
    /// # Errors
    ///
    /// The first argument that means nothing.
    pub(crate) fn new(cli: Cli, host: &str) -> Result<Self, UsageError> {
        let shelf = number("shelf", &cli.shelf, 0..=65534)?;
        let slot = number("slot", &cli.slot, 0..=254)?;
        let address = Address::new(shelf, slot);
        let cache = cli.cache.unwrap_or(match (cli.direct, cli.sync) {
            (false, _) => Cache::Writethrough,
            (true, false) => Cache::None,
            (true, true) => Cache::Directsync,
        });
        let netifs = netifs(&cli.netif)?;
        let source = Source::new(&cli, cache)?;
        let serial = cli.serial.unwrap_or_else(|| default_serial(address, host));
        let model = cli.model.unwrap_or_else(|| Identity::MODEL.to_owned());
        Ok(Self {
            link_kind: cli.link,
            link: NetifOptions {
                pool: MAX_REQUESTS + SPARE_FRAMES,
                accept: Accept::Target(vec![address]),
                ..NetifOptions::default()
            },
            target: TargetOptions {
                identity: identity(&serial, &model)?,
                buffer_count: number("-b", &cli.buffer_count, 2..=65535)?,
                sector_align: cli.sector_align,
                allow: initiators(&cli.mac)?,
                write_cache: matches!(cache, Cache::Writeback | Cache::None),
                ..TargetOptions::new(address)
            },
            source,
            netifs,
            cache,
            state_dir: cli.state_dir,
            force: cli.force,
            sandbox: !cli.no_sandbox,
        })
    }
}

/// An argument that means nothing: which, why, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    #[error("{what} {text:?}: not a whole number; give {least} to {most}, decimal or hexadecimal after 0x")]
    NotANumber { what: &'static str, text: String, least: u64, most: u64 },
    #[error("{what} {text:?}: out of range; give {least} to {most}")]
    OutOfRange { what: &'static str, text: String, least: u64, most: u64 },
    #[error(
        "netif {text:?}: an interface without a name; give one, such as eth0, or a list such as eth0,eth1"
    )]
    NoNetif { text: String },
    #[error("netif {text:?}: {name:?} is named twice; give each interface once")]
    NetifTwice { text: String, name: String },
    #[error("-m {text:?}: {source}{hint}", hint = mac_hint(source))]
    Mac { text: String, source: MacAddrError },
    #[error(
        "-m {text:?}: {kind} is no initiator's own; give the address of its interface, as `ip link` shows it"
    )]
    NoStation { text: String, kind: &'static str },
    #[error(
        "aoe:{text}: not a target and its interfaces; give aoe:e7.3@eth0, or ./aoe:{text} if that is a file"
    )]
    Remote { text: String },
    #[error("-o and -l: only a file can be exported in part; give the whole of the other target")]
    PartOfRemote,
    #[error("{option} {text:?}: {source}; give 1 to {max} printable ASCII characters, not only spaces")]
    Identity { option: &'static str, text: String, max: usize, source: IdentityError },
}

/// Reads a whole number, decimal or hexadecimal after `0x`.
pub(crate) fn number<T>(what: &'static str, text: &str, range: RangeInclusive<T>) -> Result<T, UsageError>
where
    T: Copy + Into<u64> + TryFrom<u64> + PartialOrd,
{
    let (least, most) = ((*range.start()).into(), (*range.end()).into());
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // The standard parser takes a sign, which is no digit.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(UsageError::NotANumber { what, text: text.to_owned(), least, most });
    }
    u64::from_str_radix(digits, radix)
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| UsageError::OutOfRange { what, text: text.to_owned(), least, most })
}

/// Reads a list of interfaces.
fn netifs(text: &str) -> Result<Vec<String>, UsageError> {
    let mut names = Vec::<String>::new();
    for name in text.split(',') {
        let text = || text.to_owned();
        match name {
            "" => return Err(UsageError::NoNetif { text: text() }),
            twice if names.iter().any(|name| name == twice) => {
                return Err(UsageError::NetifTwice { text: text(), name: twice.to_owned() });
            }
            name => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// Reads a list of initiators; one that is named again is in it once.
fn initiators(texts: &[String]) -> Result<Vec<MacAddr>, UsageError> {
    let mut list = Vec::with_capacity(texts.len());
    for text in texts {
        let mac = mac(text)?;
        if !list.contains(&mac) {
            list.push(mac);
        }
    }
    Ok(list)
}

fn mac(text: &str) -> Result<MacAddr, UsageError> {
    let mac: MacAddr = text.parse().map_err(|source| UsageError::Mac { text: text.to_owned(), source })?;
    match mac {
        mac if mac.is_multicast() => {
            Err(UsageError::NoStation { text: text.to_owned(), kind: "a group address" })
        }
        mac if mac.is_zero() => {
            Err(UsageError::NoStation { text: text.to_owned(), kind: "the zero address" })
        }
        mac => Ok(mac),
    }
}

/// What to give, where the library says only what is wrong.
fn mac_hint(error: &MacAddrError) -> &'static str {
    match error {
        MacAddrError::Length => "",
        _ => "; give six pairs of hexadecimal digits, such as 02:00:00:00:00:a1",
    }
}

fn identity(serial: &str, model: &str) -> Result<Identity, UsageError> {
    Identity::new(serial, Identity::FIRMWARE, model).map_err(|source| {
        let (IdentityError::TooLong(field)
        | IdentityError::Blank(field)
        | IdentityError::NotPrintable(field)) = source;
        let (option, text) =
            if field == IdentityField::Model { ("--model", model) } else { ("--serial", serial) };
        UsageError::Identity { option, text: text.to_owned(), max: field.max(), source }
    })
}

/// The serial number of the classic vblade: different on every host and for every address, as long as names are short.
pub(crate) fn default_serial(address: Address, host: &str) -> String {
    let host = host.chars().filter(char::is_ascii_graphic);
    format!("{}.{}:", address.major, address.minor)
        .chars()
        .chain(host)
        .take(IdentityField::Serial.max())
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn export(arguments: &str) -> Result<Export, String> {
        let words = std::iter::once("vblade").chain(arguments.split(' '));
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Export::new(cli, "host").map_err(|error| error.to_string())
    }

    fn address(shelf: &str, slot: &str) -> Result<Address, String> {
        export(&format!("{shelf} {slot} eth0 disk.img")).map(|export| export.target.address)
    }

    #[test]
    fn addresses_are_read_to_their_last_character() {
        assert_eq!(address("7", "3"), Ok(Address::new(7, 3)));
        assert_eq!(address("0x10", "0xfe"), Ok(Address::new(16, 254)));
        assert_eq!(address("65534", "254"), Ok(Address::new(65534, 254)));
        assert_eq!(address("4095", "0"), Ok(Address::new(4095, 0)));
        for (shelf, slot) in
            [("abc", "0"), ("3x", "1"), ("0x", "1"), ("+7", "1"), ("7", "1.5"), ("", "1"), ("7", " 1")]
        {
            let error = export_words(&[shelf, slot, "eth0", "disk.img"]).expect_err("no number");
            assert!(error.contains("not a whole number"), "{shelf}.{slot}: {error}");
        }
        for (shelf, slot) in
            [("65535", "0"), ("70000", "0"), ("0", "255"), ("0", "0x100"), ("99999999999999999999", "0")]
        {
            let error = address(shelf, slot).expect_err("too large");
            assert!(error.contains("out of range"), "{shelf}.{slot}: {error}");
        }
    }

    fn export_words(words: &[&str]) -> Result<Export, String> {
        let cli = Cli::try_parse_from([&["vblade"], words].concat()).map_err(|error| error.to_string())?;
        Export::new(cli, "host").map_err(|error| error.to_string())
    }

    #[test]
    fn the_cache_modes_and_their_classic_options_mean_the_same() {
        let mode = |options: &str| {
            let export = export(&format!("{options}7 3 eth0 disk.img")).expect("a valid line");
            let Source::File(file) = export.source else { panic!("a file") };
            (export.cache, file.direct, export.target.write_cache)
        };
        for (options, expected) in [
            ("", (Cache::Writethrough, false, false)),
            ("-s ", (Cache::Writethrough, false, false)),
            ("--cache writethrough ", (Cache::Writethrough, false, false)),
            ("--cache writeback ", (Cache::Writeback, false, true)),
            ("-d ", (Cache::None, true, true)),
            ("--cache none ", (Cache::None, true, true)),
            ("-d -s ", (Cache::Directsync, true, false)),
            ("--cache directsync ", (Cache::Directsync, true, false)),
        ] {
            assert_eq!(mode(options), expected, "{options}");
        }
        assert!(export("-d --cache none 7 3 eth0 disk.img").is_err());
        assert!(export("-s --cache writeback 7 3 eth0 disk.img").is_err());
    }

    #[test]
    fn interfaces_are_a_list_without_gaps_and_without_any_twice() {
        let netifs = |list| export_words(&["7", "3", list, "disk.img"]).map(|export| export.netifs);
        assert_eq!(netifs("eth0"), Ok(vec!["eth0".to_owned()]));
        assert_eq!(
            netifs("eth1,eth0,lo,br0").map(|names| names.join(" ")),
            Ok("eth1 eth0 lo br0".to_owned())
        );
        for list in ["", ",", "eth0,", ",eth0", "eth0,,eth1"] {
            assert!(netifs(list).is_err_and(|error| error.contains("without a name")), "{list}");
        }
        for list in ["eth0,eth0", "eth0,eth1,eth0"] {
            let error = netifs(list).expect_err("twice");
            assert!(error.contains("\"eth0\" is named twice"), "{list}: {error}");
        }
    }

    #[test]
    fn only_frames_for_the_disk_and_for_everybody_are_let_in() {
        let export = export("7 3 eth0,eth1 disk.img").expect("a valid line");
        assert_eq!(export.link.accept, Accept::Target(vec![Address::new(7, 3)]));
    }

    #[test]
    fn an_initiator_list_holds_stations_only() {
        let allow =
            |list: &str| export(&format!("-m {list} 7 3 eth0 disk.img")).map(|export| export.target.allow);
        assert_eq!(
            allow("02:00:00:00:00:a1,0200000000B2"),
            Ok(vec![MacAddr([2, 0, 0, 0, 0, 0xa1]), MacAddr([2, 0, 0, 0, 0, 0xb2])])
        );
        assert_eq!(allow("020000000001 -m 020000000002").map(|list| list.len()), Ok(2));
        assert_eq!(
            allow("0200000000b2,020000000001 -m 02:00:00:00:00:B2 -m 02-00-00-00-00-01"),
            Ok(vec![MacAddr([2, 0, 0, 0, 0, 0xb2]), MacAddr([2, 0, 0, 0, 0, 1])]),
            "each once, in the order of the first time"
        );
        for list in [
            "zz",
            "02:00:00:00:00:gg",
            "02:00:00-00:00:a1",
            "02:00:00:00:00",
            "02:00:00:00:00:a1,",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "000000000000",
        ] {
            let error = allow(list).expect_err("no station");
            assert!(error.starts_with("-m "), "{list}: {error}");
            let remedies = ["six pairs of hexadecimal digits, such as", "; give the address of"];
            let told: usize = remedies.map(|remedy| error.matches(remedy).count()).iter().sum();
            assert_eq!(told, 1, "{list}: {error}");
        }
    }

    #[test]
    fn a_buffer_count_that_linux_ignores_is_refused() {
        let count = |text: &str| {
            export(&format!("-b {text} 7 3 eth0 disk.img")).map(|export| export.target.buffer_count)
        };
        assert_eq!((count("2"), count("65535")), (Ok(2), Ok(65535)));
        for text in ["0", "1", "65536", "70000", "x"] {
            assert!(count(text).expect_err("out of range").starts_with("-b "), "{text}");
        }
    }

    #[test]
    fn the_default_serial_is_cut_to_what_a_disk_has_room_for() {
        assert_eq!(default_serial(Address::new(7, 3), "nai"), "7.3:nai");
        assert_eq!(default_serial(Address::new(65534, 254), "a-very-long-host-name"), "65534.254:a-very-lon");
        assert_eq!(default_serial(Address::new(7, 3), "h\u{f6}st\n"), "7.3:hst");
    }

    #[test]
    fn a_name_that_does_not_fit_names_its_option() {
        let model =
            export_words(&["--model", &"m".repeat(41), "7", "3", "eth0", "disk.img"]).expect_err("too long");
        assert!(model.starts_with("--model ") && model.contains("give 1 to 40 printable"), "{model}");
        let model =
            export_words(&["--model", "\u{e9}", "7", "3", "eth0", "disk.img"]).expect_err("not ASCII");
        assert!(model.starts_with("--model ") && model.contains("give 1 to 40 printable"), "{model}");
        for blank in ["", " "] {
            let serial = export_words(&["--serial", blank, "7", "3", "eth0", "disk.img"]).expect_err("blank");
            assert!(serial.starts_with("--serial ") && serial.contains("give 1 to 20 printable"), "{serial}");
        }
    }
}
