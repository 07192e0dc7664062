//! Why a command ends otherwise than asked: on standard error, with an exit status.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::control::model::RpcError;
use crate::plain::one_line;
use crate::sentence::one_sentence;

/// What ends a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Clap refused it.
    #[error("{}", one_sentence(.0, "vbladectl"))]
    CommandLine(clap::Error),
    /// An argument that means nothing: what, why, and the remedy.
    #[error("{0}")]
    Usage(String),
    #[error("{}: no vbladed answers there: {source}; start it, or name its socket by --socket", path.display())]
    NoDaemon { path: PathBuf, source: io::Error },
    #[error("{}: permission denied: be root{group}", path.display())]
    Denied { path: PathBuf, group: String },
    /// The daemon was there, and then was not, or talks nonsense.
    #[error("{}: {doing}: {source}", path.display())]
    Lost { path: PathBuf, doing: &'static str, source: io::Error },
    /// The daemon refused it.
    #[error("{}", .0.message)]
    Refused(RpcError),
    #[error("cannot {doing}: {source}")]
    System { doing: &'static str, source: io::Error },
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

impl Error {
    /// 0 done, 1 failed, 2 usage. A reader of standard output that went away has enough.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::CommandLine(_) | Self::Usage(_) => 2,
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => 0,
            _ => 1,
        }
    }

    /// What to say, without control characters; `None` when there is nothing to say. One line, but for a configuration with several mistakes.
    pub(super) fn text(&self) -> Option<String> {
        if self.exit_status() == 0 {
            return None;
        }
        Some(self.to_string().trim_end().lines().map(one_line).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_says_commands_no_terminal() {
        let error = Error::Refused(RpcError::new("config", "a: \x1b[2J\nb: wrong\n"));
        assert_eq!(error.text().as_deref(), Some("a: \\u{1b}[2J\nb: wrong"));
        assert_eq!(error.exit_status(), 1);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = Error::Output(ErrorKind::BrokenPipe.into());
        assert_eq!((gone.text(), gone.exit_status()), (None, 0));
    }
}
