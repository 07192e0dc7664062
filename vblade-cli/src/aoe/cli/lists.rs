//! The commands on what targets keep for initiators: config string, mask list, reservation.

use std::ffi::OsString;

use clap::{Args, Subcommand};

/// Read, compare or set the config string of a target
///
/// Up to 1024 bytes that the target keeps for whoever asks: to say what a disk is for, or whose it is. Everybody on the segment can
/// read it, and set it by force.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the config string, as it is; escaped on a terminal
    Get {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,

        /// JSON: one object
        #[arg(long)]
        json: bool,
    },
    /// Set the config string, unless another one is set
    Set(ConfigString),
    /// Exit with 0 if the config string is this one, with 1 if it is not
    Test(ConfigString),
    /// Set the config string, whatever is set
    Force(ConfigString),
    /// Set the config string to nothing, whatever is set
    Clear {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigString {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// The string, at most 1024 bytes
    #[arg(value_name = "string", allow_hyphen_values = true)]
    pub(crate) string: OsString,
}

/// List or edit the initiators that a target answers
///
/// A target with an empty list answers everybody. One with a list is silent to all others, whatever they ask: to them it is not there.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct MaskArgs {
    #[command(subcommand)]
    pub(crate) command: MaskCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaskCommand {
    /// Print the list
    List {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,

        /// JSON: one object
        #[arg(long)]
        json: bool,
    },
    /// Add initiators to the list
    Add(MaskEdit),
    /// Remove initiators from the list
    Remove(MaskEdit),
    /// Remove all: the target answers everybody
    Clear {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MaskEdit {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// MAC addresses, with colons, hyphens or nothing between the bytes
    #[arg(value_name = "mac", required = true)]
    pub(crate) macs: Vec<String>,

    /// Even if the target will not answer this host any more
    #[arg(long)]
    pub(crate) force: bool,
}

/// List or set the initiators that a target is reserved for
///
/// While it is reserved, a target refuses to let others read and write. It still tells everybody who it is, and anybody can set the
/// reservation by force: it keeps hosts that mean well from using one disk at once.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct ReserveArgs {
    #[command(subcommand)]
    pub(crate) command: ReserveCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReserveCommand {
    /// Print the list
    List {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,

        /// JSON: one object
        #[arg(long)]
        json: bool,
    },
    /// Reserve, unless it is reserved for others
    Set(ReserveEdit),
    /// Reserve, even if it is reserved for others
    Force(ReserveEdit),
    /// End the reservation
    Release {
        /// Address of the target, such as e7.3
        #[arg(value_name = "target")]
        target: String,

        /// Even if it is reserved for others
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReserveEdit {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// MAC addresses [default: those of the interfaces by which this host reaches the target]
    #[arg(value_name = "mac")]
    pub(crate) macs: Vec<String>,
}
