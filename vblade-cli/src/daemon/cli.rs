//! The command line of `vbladed` as it is typed. The build script makes man page and completions of it, so it needs clap and nothing else.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum, ValueHint};

/// Where the configuration is, if nobody says otherwise.
pub(crate) const CONFIG: &str = "/etc/vblade/vblade.toml";

/// Shown below `--help`, and in the man page.
pub(crate) const EXAMPLES: &str = "\
Examples:
  vbladed
          Serve what /etc/vblade/vblade.toml says, until SIGTERM.
  vbladed check
          Say what is wrong with that file and with those in conf.d beside it, every mistake at once.
  vbladed import -o /etc/vblade/conf.d/old.toml /etc/vblade.conf.d/*.conf
          Take over what Debian's package vblade served.
  vbladed 7 3 eth0 disk.img
          Serve one disk in the background, as the classic vbladed does. Options are those of vblade.";

/// The same.
pub(crate) const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT
          Finish what is queued, make it durable, and end. A second one ends at once.
  SIGHUP
          Read the configuration again. Exports that have not changed are served on and do not notice. With a mistake in it, nothing changes.";

/// Export files and block devices to Ethernet segments, over ATA over Ethernet (AoE), as configured
///
/// One process serves any number of disks on any number of interfaces. It stays in the foreground, logs to standard error, and tells systemd
/// when it is ready. A disk or interface that is missing is waited for; the others are served.
///
/// In its classic form, vbladed [options] shelf slot netif filename, it serves one disk in the background, with the options of vblade and its log sent to
/// syslog. It returns when the disk is served, or with the reason why it is not.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "vbladed",
    version,
    after_long_help = format!("{EXAMPLES}\n\n{SIGNALS}"),
    args_override_self = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// The configuration. Files conf.d/*.toml beside it are read after it
    #[arg(long, value_name = "file", default_value = CONFIG, global = true, value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,

    /// Log more, and with -vv everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what is wrong with the configuration: every mistake with its line and column
    ///
    /// Exit status 0 when vbladed would take it, perhaps with warnings (a disk or interface that is not there now), 2 when it would not.
    Check {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make a configuration of what other programs were configured by
    ///
    /// The result goes to standard output, or whole or not at all to a file. What has no counterpart is named in a comment.
    Import {
        /// Whose files they are [default: guessed]
        #[arg(long, value_name = "format", value_enum)]
        from: Option<Format>,

        /// Where to write it; a file that exists is left alone
        #[arg(short, long, value_name = "file", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,

        /// Replace a file that exists
        #[arg(long, requires = "output")]
        force: bool,

        /// Files or directories to read
        #[arg(value_name = "file", required = true, value_hint = ValueHint::AnyPath)]
        files: Vec<PathBuf>,
    },
    /// Write systemd units for the files in /etc/vblade.conf.d: a generator, see systemd.generator(7)
    Generator {
        /// Where to write them: normal, early and late
        #[arg(value_name = "dir", num_args = 1..=3, value_hint = ValueHint::DirPath)]
        dirs: Vec<PathBuf>,
    },
}

/// What is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Debian's /etc/vblade.conf.d/*.conf
    Debian,
    /// Directories of vblade-persist
    VbladePersist,
    /// OpenWrt's /etc/config/vblade
    Openwrt,
    /// Ggaoed.conf
    Ggaoed,
}

/// Whether this command line is one of the classic vbladed: what follows -v is neither a command nor another option of ours.
pub(crate) fn is_classic(arguments: &[OsString]) -> bool {
    let is_verbose = |word: &str| {
        word == "--verbose" || word.len() > 1 && word.starts_with('-') && word[1..].chars().all(|c| c == 'v')
    };
    let word = arguments.iter().map(|word| word.to_string_lossy()).find(|word| !is_verbose(word));
    match word.as_deref() {
        None | Some("check" | "import" | "generator" | "-h" | "--help" | "-V" | "--version") => false,
        Some(word) => !word.starts_with("--config"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_classic_command_line_is_told_from_one_of_ours() {
        let classic =
            |line: &str| is_classic(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        for line in
            ["7 3 eth0 disk.img", "-b 16 7 3 eth0 d", "-m 020000000001 0 1 eth0 d", "-v -r 7 3 eth0 d", "7"]
        {
            assert!(classic(line), "{line}");
        }
        for line in [
            "",
            "-v",
            "-vv",
            "check",
            "--config /x",
            "--config=/x check",
            "-v check",
            "import x",
            "--help",
            "-V",
        ] {
            assert!(!classic(line), "{line}");
            let parsed = Cli::try_parse_from(["vbladed"].into_iter().chain(line.split_whitespace()));
            let shows = parsed.as_ref().is_err_and(|error| error.exit_code() == 0);
            assert!(parsed.is_ok() || shows, "{line}");
        }
    }
}
