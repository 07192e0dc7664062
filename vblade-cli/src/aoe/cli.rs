//! The command line as it is typed. The build script makes man page and completions of it, so it needs clap and nothing else.
//!
//! Addresses and lists are texts here; the commands say what they mean, and refuse what means nothing before anything is opened.

// The build script, which has this file under another name, finds them by these paths too.
#[path = "cli/blocks.rs"]
mod blocks;
#[path = "cli/lists.rs"]
mod lists;

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::blocks::*;
pub(crate) use self::lists::*;

/// Shown below `--help`, and in the man page.
pub(crate) const EXAMPLES: &str = "\
Examples:
  aoe discover
          List the targets that every Ethernet interface reaches.
  aoe -i eth1 discover --watch --json
          Tell one line of JSON for each target that appears, disappears or changes on eth1.
  aoe config set e7.3 \"owner=web1\"
          Set the config string of e7.3, unless another one is set.
  aoe reserve set e7.3
          Reserve e7.3 for this host.
  aoe copy --verify disk.img e7.3
          Load an image onto a target, and compare what it holds afterwards.
  aoe copy e7.3 disk.img --offset 2097152
          Go on with a copy from sector 2097152.
  aoe sancheck e7.3
          See which frame sizes pass, and what to change for larger ones.
  aoe bench e7.3 --window 64 --duration 30
          Measure random reads, 64 of them in flight.";

/// The same.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0
          Done.
  1
          Failed: what was asked for was not done, or not all of it, or config test found no match.
  2
          An argument was refused. Nothing was sent that changes anything.
  3
          No such target answered; discover found none.
  130
          Ended by SIGINT or SIGTERM.";

const AFTER_HELP: &str = "\
Try --help for more, with examples, and the manual: man 8 aoe";

/// See, test, repair and load ATA over Ethernet (AoE) targets
///
/// Needs no kernel driver: frames go through raw sockets. A target is named by shelf and slot, as e7.3 in /dev/etherd.
///
/// Data goes to standard output, all else to standard error. Every command ends within a bounded time, but discover --watch.
#[derive(Debug, Parser)]
#[command(name = "aoe", version, after_help = AFTER_HELP, after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}"))]
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
    /// Network interface to use; more of -i are more paths to one disk [default: every Ethernet interface that is up]
    #[arg(short, long = "interface", value_name = "netif", global = true, action = clap::ArgAction::Append)]
    pub(crate) interfaces: Vec<String>,

    /// Give up what is not answered for so long, in seconds [default: 10, and 30 where data is read, written or trimmed]
    ///
    /// Where silence is common the default is shorter: 2 for the disks that discover asks for and for config test, 1 for ping.
    #[arg(long, value_name = "seconds", global = true, value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// How frames get to the interfaces and from them
    #[arg(long, value_name = "kind", global = true, value_enum, default_value_t = LinkKind::Auto)]
    pub(crate) link: LinkKind,
}

/// How frames move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LinkKind {
    /// The fastest that takes no frames from other initiators on this host: packet, on Linux
    Auto,
    /// AF_XDP sockets, past the network stack (Linux, as root). No other initiator on this host gets answers by these interfaces meanwhile, its
    /// aoe driver included
    Xdp,
    /// A packet socket, many frames to a system call (Linux)
    Packet,
    /// A datalink channel of pnet: portable
    Pnet,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Discover(DiscoverArgs),
    Ping(PingArgs),
    Identify(IdentifyArgs),
    Config(ConfigArgs),
    Mask(MaskArgs),
    Reserve(ReserveArgs),
    Read(ReadArgs),
    Write(WriteArgs),
    Copy(CopyArgs),
    Flush(FlushArgs),
    Trim(TrimArgs),
    Sancheck(SancheckArgs),
    Bench(BenchArgs),
}

/// List the targets that answer
///
/// Asks by broadcast for about a second, then asks each target what its disk is. One line for each path: a target that several
/// stations or interfaces answer for has several.
#[derive(Debug, Args)]
pub(crate) struct DiscoverArgs {
    /// Interfaces to ask on, besides those of -i
    #[arg(value_name = "netif")]
    pub(crate) netifs: Vec<String>,

    /// Only targets whose config string begins so
    #[arg(long, value_name = "prefix")]
    pub(crate) config: Option<OsString>,

    /// How long to wait for answers, in seconds
    #[arg(long, value_name = "seconds", default_value = "1", value_parser = seconds)]
    pub(crate) wait: Duration,

    /// Go on, and tell what appears, disappears and changes, until interrupted
    #[arg(long)]
    pub(crate) watch: bool,

    /// JSON: an array of objects; with --watch one object on each line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measure how fast a target answers
///
/// Sends config queries, which every target answers without touching its disk.
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// Queries to send, 1 to 1000000
    #[arg(short, long, value_name = "count", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,

    /// From one query to the next, in seconds
    #[arg(short = 'I', long, value_name = "seconds", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,

    /// JSON: one object with each reply and the summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what a target says of its disk
#[derive(Debug, Args)]
pub(crate) struct IdentifyArgs {
    /// Address of the target, such as e7.3
    #[arg(value_name = "target")]
    pub(crate) target: String,

    /// The 512 bytes as hexadecimal words, for: hdparm --Istdin
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// JSON: one object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A time in seconds, with decimals: more than 0, at most a year.
fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR: f64 = 366.0 * 86400.0;
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let seconds =
        text.parse::<f64>().ok().filter(|_| is_decimal).ok_or("not a number of seconds, such as 2.5")?;
    if seconds > YEAR {
        return Err("longer than a year".to_owned());
    }
    // Shorter than the clock can tell is nothing.
    match Duration::from_secs_f64(seconds) {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_is_a_decimal_number_above_zero() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds(".001"), Ok(Duration::from_millis(1)));
        for bad in [
            "0",
            "0.0",
            "0.0000000001",
            "-1",
            "+1",
            "1e3",
            "inf",
            "nan",
            "",
            ".",
            "1s",
            "99999999999",
            "31622401",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_for_all_commands_stand_before_or_after_the_command() {
        for line in ["aoe -i a -i b --timeout 2 ping e7.3", "aoe ping e7.3 -i a -i b --timeout 2"] {
            let cli = parse(line).expect("a command line");
            assert_eq!(cli.global.interfaces, ["a", "b"], "{line}");
            assert_eq!(cli.global.timeout, Some(Duration::from_secs(2)), "{line}");
        }
    }

    #[test]
    fn what_destroys_a_whole_disk_takes_force() {
        assert!(parse("aoe trim e7.3 --all").is_err());
        assert!(parse("aoe trim e7.3 --all --force").is_ok());
        assert!(parse("aoe trim e7.3 --offset 8").is_err(), "how much is not said");
        assert!(parse("aoe trim e7.3 --offset 8 --length 8").is_ok());
    }

    #[test]
    fn a_config_string_may_begin_with_a_hyphen() {
        assert!(parse("aoe config set e7.3 -x").is_ok());
    }
}
