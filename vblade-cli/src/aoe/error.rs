//! Why a command ends otherwise than asked: one line on standard error, and an exit status.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use aoe_initiator::{Address, Failure};

use crate::sentence::one_sentence;
use crate::text::one_line;

/// What ends a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Clap refused it.
    #[error("{}", one_sentence(.0, "aoe"))]
    CommandLine(#[source] clap::Error),
    /// An argument that means nothing, or nothing sensible: what, why, and the remedy.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Link(#[from] aoe_link::OpenError),
    #[error("no Ethernet interface is up: ip link set NETIF up, or name one by -i")]
    NoInterface,
    /// `asked` tells of the interfaces, see [`Host::netifs`](crate::host::Host::netifs).
    #[error("{address}: no target answers: asked for {:.1} s on {asked}; aoe discover lists those that do", .waited.as_secs_f64())]
    NotFound { address: Address, asked: String, waited: Duration },
    #[error("no target answers: asked for {:.1} s on {asked}", .waited.as_secs_f64())]
    NothingFound { asked: String, waited: Duration },
    /// The target has answered before; this request of it failed. `remedy` is empty or begins with a semicolon.
    #[error("{address}: {doing}: {failure}{remedy}")]
    Request { address: Address, doing: &'static str, failure: Failure, remedy: &'static str },
    /// Anything else, as `what: why`, with the remedy.
    #[error("{0}")]
    Failed(String),
    /// The output has said it; nothing is to be added.
    #[error("failed")]
    Told,
    #[error("cannot {doing}")]
    System { doing: &'static str, source: io::Error },
    #[error("standard output cannot be written")]
    Output(#[source] io::Error),
    /// SIGINT or SIGTERM; a summary has been printed where there is one.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) const INTERRUPTED: u8 = 130;

    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }

    /// 0 done, 1 failed, 2 usage, 3 no such target answered, 130 interrupted. A reader of standard output that went away has enough.
    pub(crate) fn exit_status(&self) -> u8 {
        use aoe_link::OpenError::{MtuTooSmall, NotEthernet, Unknown};
        match self {
            Self::CommandLine(_) | Self::Usage(_) => 2,
            Self::Link(Unknown { .. } | NotEthernet { .. } | MtuTooSmall { .. }) => 2,
            Self::NotFound { .. } | Self::NothingFound { .. } => 3,
            Self::Interrupted => Self::INTERRUPTED,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// The whole story as `what: why: why`, without control characters and so in one line; `None` when there is nothing to say.
    pub(crate) fn line(&self) -> Option<String> {
        let told = match self {
            Self::Told | Self::Interrupted => true,
            Self::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
            _ => false,
        };
        if told {
            return None;
        }
        let mut line = self.to_string();
        // The text of clap's error is in ours.
        let mut cause = if matches!(self, Self::CommandLine(_)) { None } else { self.source() };
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                // Writing to a String cannot fail.
                let _ = write!(line, ": {text}");
            }
            cause = error.source();
        }
        Some(one_line(&line))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn refused(words: &[&str]) -> Error {
        Error::CommandLine(Cli::try_parse_from([&["aoe"], words].concat()).expect_err("a bad command line"))
    }

    #[test]
    fn what_clap_refuses_is_told_in_one_line() {
        let error = refused(&["ping"]);
        assert_eq!(
            error.line().as_deref(),
            Some("the following required arguments were not provided: <target>; see aoe --help")
        );
        assert_eq!(error.exit_status(), 2);
        let line = refused(&["ping", "e7.3", "a\nb\x1b[2J"]).line().expect("a line");
        assert!(!line.contains(char::is_control), "{line:?}");
    }

    #[test]
    fn causes_follow_their_error() {
        let error = Error::system("wait")(io::Error::other("no more memory"));
        assert_eq!(error.line().as_deref(), Some("cannot wait: no more memory"));
        assert_eq!(error.exit_status(), 1);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = Error::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((gone.line(), gone.exit_status()), (None, 0));
        let full = Error::Output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit_status(), 1);
        assert!(full.line().is_some());
    }

    #[test]
    fn an_absent_target_and_an_interrupt_have_statuses_of_their_own() {
        let waited = Duration::from_secs(10);
        let error = Error::NotFound { address: Address::new(7, 3), asked: "eth0 (down)".into(), waited };
        assert_eq!(error.exit_status(), 3);
        assert_eq!(
            error.line().as_deref(),
            Some(
                "e7.3: no target answers: asked for 10.0 s on eth0 (down); aoe discover lists those that do"
            )
        );
        assert_eq!((Error::Interrupted.exit_status(), Error::Interrupted.line()), (130, None));
    }
}
