//! Why the program ends otherwise than asked: one line on standard error, and an exit status.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use aoe_target::{Address, MacAddr};
use bdev::OpenErrorKind;
use rustix::io::Errno;

use crate::options::UsageError;
use crate::plain::one_line;
use crate::sentence::one_sentence;
use crate::state::StateError;

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}", one_sentence(.0, "vblade"))]
    CommandLine(#[source] clap::Error),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{0}")]
    File(#[from] bdev::OpenError),
    #[error("{source}{hint}", hint = remote_hint(source))]
    Remote { source: aoe_initiator::ConnectError },
    #[error(transparent)]
    Link(#[from] aoe_link::OpenError),
    #[error("{address} already answers at {station}: give another shelf or slot, or stop that one")]
    Claimed { address: Address, station: MacAddr },
    #[error(
        "{address} is already served on {netif} by another process here: give another shelf or slot, or stop that one"
    )]
    Served { address: Address, netif: String },
    #[error("{}: another process has it locked, perhaps another vblade; stop that one", path.display())]
    Locked { path: PathBuf },
    #[error(transparent)]
    State(#[from] StateError),
    #[error("{address}: cannot be served")]
    Target { address: Address, source: aoe_target::AddError },
    #[error("cannot {doing}")]
    System { doing: &'static str, source: io::Error },
    #[error("{address} on {netif}: cannot be served any longer")]
    Serve { address: Address, netif: String, source: io::Error },
    #[error("{in_flight} requests were not finished within {seconds} s; their initiators got no answer")]
    Unfinished { in_flight: usize, seconds: u64 },
    #[error("{}: the last flush failed; data that was written may be lost", path.display())]
    Flush { path: PathBuf },
}

impl Error {
    /// 2 when other arguments would help, 1 for everything else.
    pub(crate) fn exit_status(&self) -> u8 {
        use aoe_link::OpenError::{MtuTooSmall, NotEthernet, Unknown};
        use bdev::OpenErrorKind as File;
        let other_arguments_help = match self {
            Self::CommandLine(_)
            | Self::Usage(_)
            | Self::Claimed { .. }
            | Self::Served { .. }
            | Self::Locked { .. } => true,
            Self::Link(error) => matches!(error, Unknown { .. } | NotEthernet { .. } | MtuTooSmall { .. }),
            Self::File(error) => match error.kind() {
                File::Os { error, .. } => names_nothing(error),
                File::NoRead | File::NoWrite | File::ReadOnlyMedium | File::Replaced => false,
                _ => true,
            },
            _ => false,
        };
        if other_arguments_help { 2 } else { 1 }
    }

    /// The whole story as `what: why: why`, without control characters and so in one line.
    pub(crate) fn line(&self) -> String {
        self.story(self.remedy().map(|(option, _)| option))
    }

    /// The same for who has a configuration instead of a command line.
    #[cfg(target_os = "linux")]
    pub(crate) fn line_of_config(&self) -> String {
        self.story(self.remedy().map(|(_, key)| key))
    }

    fn story(&self, remedy: Option<&str>) -> String {
        let mut line = self.to_string();
        if let Some(remedy) = remedy {
            // Writing to a String cannot fail.
            let _ = write!(line, " ({remedy})");
        }
        // The text of clap's error is in ours.
        let mut cause = if matches!(self, Self::CommandLine(_)) { None } else { self.source() };
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                let _ = write!(line, ": {text}");
            }
            cause = error.source();
        }
        one_line(&line)
    }

    /// Which option helps, and which key of a configuration: the libraries know neither.
    fn remedy(&self) -> Option<(&'static str, &'static str)> {
        let error = match self {
            Self::Claimed { .. } | Self::Served { .. } | Self::Locked { .. } => {
                return Some(("--force to serve all the same", "force = true to serve all the same"));
            }
            Self::File(error) => error,
            _ => return None,
        };
        Some(match error.kind() {
            OpenErrorKind::NoWrite | OpenErrorKind::ReadOnlyMedium => ("-r", "read_only = true"),
            OpenErrorKind::NoDirect => {
                ("no -d, no --cache none or directsync", "no cache = \"none\" or \"directsync\"")
            }
            OpenErrorKind::OffsetBeyondEnd { .. } => ("-o", "offset"),
            OpenErrorKind::NoLength | OpenErrorKind::LengthBeyondEnd { .. } => ("-l", "length"),
            OpenErrorKind::Os { error, .. } if names_nothing(error) => {
                let exists = "name a file that exists";
                (exists, exists)
            }
            _ => return None,
        })
    }
}

/// What to do about another target that cannot be used.
fn remote_hint(error: &aoe_initiator::ConnectError) -> &'static str {
    match error {
        aoe_initiator::ConnectError::Target { .. } => " (look for it with: aoe discover)",
        _ => "",
    }
}

/// Whether no file can have such a name, which is as good as a missing one.
fn names_nothing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NAMETOOLONG | Errno::LOOP))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn line(words: &[&str]) -> String {
        let error = Cli::try_parse_from([&["vblade"], words].concat()).expect_err("a bad command line");
        Error::CommandLine(error).line()
    }

    #[test]
    fn what_clap_refuses_is_told_in_one_line_that_names_the_argument() {
        assert_eq!(
            line(&["7", "3"]),
            "the following required arguments were not provided: <netif> <filename>; see vblade --help"
        );
        assert_eq!(
            line(&["--cache", "fast", "7", "3", "eth0", "f"]),
            "invalid value 'fast' for '--cache <mode>' \
             [possible values: writethrough, writeback, none, directsync]; see vblade --help"
        );
        assert!(line(&["--serail", "x", "7", "3", "eth0", "f"]).contains("'--serail' found; tip: "));
        assert!(line(&["7", "3", "eth0", "f", "more"]).contains("'more'"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let text = line(&["7", "3", "eth0", "f", "a\nb\x1b[2J"]);
        assert!(!text.contains(char::is_control), "{text:?}");
    }

    #[test]
    fn remedies_are_options_or_keys() {
        let error = Error::Locked { path: "/disk".into() };
        let locked = "/disk: another process has it locked, perhaps another vblade; stop that one";
        assert_eq!(error.line(), format!("{locked} (--force to serve all the same)"));
        assert_eq!(error.line_of_config(), format!("{locked} (force = true to serve all the same)"));
    }

    #[test]
    fn causes_follow_their_error() {
        let source = io::Error::other("no more memory");
        let error = Error::System { doing: "wait for signals", source };
        assert_eq!(error.line(), "cannot wait for signals: no more memory");
    }
}
