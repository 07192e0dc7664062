//! The command line as it is typed. The build script makes man page and completions of it, so it needs clap and nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Shown below `--help`, and in the man page.
pub(crate) const EXAMPLES: &str = "\
Examples:
  vbladectl exports
          List the exports, and why those that are down are.
  vbladectl top
          Watch exports and initiators until q is pressed.
  vbladectl reload
          Have the configuration read again; nothing changes if there is a mistake in it.
  vbladectl export add scratch.toml
          Serve another disk until the next reload; the file has one [[export]] table.
  vbladectl mask clear 7.3
          Let every initiator use 7.3 again.
  vbladectl trace on 7.3 --seconds 10
          Write what goes to and from 7.3 to a file that Wireshark opens.";

/// The same.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0
          Done.
  1
          Failed: no daemon answers, or it refused.
  2
          An argument was refused. The daemon was not asked.";

const AFTER_HELP: &str = "\
Try --help for more, with examples, and the manual: man 8 vbladectl";

/// Ask and instruct a running vbladed
///
/// An export is named by shelf and slot, such as 7.3 or e7.3. Data goes to standard output, all else to standard error.
#[derive(Debug, Parser)]
#[command(name = "vbladectl", version, after_help = AFTER_HELP, after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}"))]
#[command(args_override_self = true, disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What all commands understand.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The control socket of the daemon
    #[arg(long, value_name = "path", global = true, env = "VBLADE_SOCKET", value_hint = clap::ValueHint::FilePath)]
    #[arg(default_value = "/run/vblade/control.sock")]
    pub(crate) socket: PathBuf,

    /// JSON: the result as the daemon gives it, one document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Ask(Question),
    Top(TopArgs),
}

/// What the daemon is asked once.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Tell the versions of this program and of the daemon
    Version,
    /// Tell how the daemon is, with its interfaces
    Status,
    /// List the exports as they are set
    Exports,
    /// List what exports have done since they are there
    Stats {
        /// Only this export
        #[arg(value_name = "export")]
        export: Option<String>,
    },
    /// List who uses the exports
    Initiators {
        /// Only of this export
        #[arg(value_name = "export")]
        export: Option<String>,
    },
    /// Have the configuration read again
    ///
    /// Exports that are as before do not notice. With any mistake in the configuration nothing changes.
    Reload,
    /// Add or remove an export
    #[command(subcommand, disable_help_subcommand = true)]
    Export(ExportCommand),
    /// Clear the mask list of an export
    #[command(subcommand, disable_help_subcommand = true)]
    Mask(MaskCommand),
    /// Release the reservation of an export
    #[command(subcommand, disable_help_subcommand = true)]
    Reserve(ReserveCommand),
    /// Write the frames of an export to a file
    #[command(subcommand, disable_help_subcommand = true)]
    Trace(TraceCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Serve another export until the next reload
    ///
    /// To keep it, write it into a file in conf.d beside the configuration as well.
    Add {
        /// A file with one [[export]] table as in the configuration; - for standard input
        #[arg(value_name = "file", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Stop serving an export; one of the configuration comes back with the next reload
    Remove {
        /// Address of the export, such as 7.3
        #[arg(value_name = "export")]
        export: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaskCommand {
    /// Let every initiator use the export, whatever mask list initiators have set
    Clear {
        /// Address of the export, such as 7.3
        #[arg(value_name = "export")]
        export: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReserveCommand {
    /// Lift the reservation, whoever has it
    Release {
        /// Address of the export, such as 7.3
        #[arg(value_name = "export")]
        export: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TraceCommand {
    /// Begin, and tell the name of the file
    ///
    /// The file is in the trace directory of the daemon, in the pcapng format. It has the data of reads and writes.
    On {
        /// Address of the export, such as 7.3
        #[arg(value_name = "export")]
        export: String,

        /// Name of the file, which must not be there [default: made of address and time]
        #[arg(long, value_name = "name")]
        file: Option<String>,

        /// End when the file has so many bytes
        #[arg(long, value_name = "bytes")]
        max_bytes: Option<u64>,

        /// End after so many seconds
        #[arg(long, value_name = "seconds")]
        seconds: Option<u64>,
    },
    /// End, and tell what was written
    Off {
        /// Address of the export, such as 7.3
        #[arg(value_name = "export")]
        export: String,
    },
}

/// Watch exports and initiators
///
/// Tab changes between exports and initiators, the arrow keys choose a line, Enter shows the initiators of the chosen export, s sorts by the
/// next column, r the other way round, q ends. Rates and latencies are of the time between two looks, errors and retransmits are all since
/// the export is there.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// From one look to the next, in seconds, 1 to 60
    #[arg(short, long, value_name = "seconds", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) interval: u64,
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
    fn options_for_all_commands_stand_before_or_after_the_command() {
        for line in ["vbladectl --socket s --json trace off 7.3", "vbladectl trace off 7.3 --socket s --json"]
        {
            let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
            assert!(cli.global.json && cli.global.socket.as_os_str() == "s", "{line}");
        }
    }
}
