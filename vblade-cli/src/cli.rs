//! The command line as it is typed. The build script makes man page and completions of it, so it needs clap and nothing else.
//!
//! Values are texts here; [`Export`](crate::options::Export) says what they mean and refuses what means nothing.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};

/// Shown below `--help`, and in the man page.
pub(crate) const EXAMPLES: &str = "\
Examples:
  vblade 7 3 eth0 disk.img
          Export disk.img as e7.3 on eth0. Linux initiators see /dev/etherd/e7.3.
  vblade 7 3 eth0,eth1 disk.img
          The same disk on two interfaces: initiators use both paths.
  vblade -r -m 02:00:00:00:00:a1 0 1 eth0 /dev/sdb
          Export a drive read-only, to one initiator.
  vblade -b 64 --sector-align --cache directsync 1 0 eth1 /dev/vg/guest
          Go past the page cache; suits fast drives that hold more than memory does.
  vblade 8 0 eth1 aoe:e7.3@eth0
          Pass on, to the segment of eth1, the disk that another host serves on that of eth0.
  setcap cap_net_raw+ep $(command -v vblade)
          Let ordinary users export files of theirs.";

/// The same.
pub(crate) const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT
          Finish what is queued, make it durable, and end. A second one ends at once.
  SIGHUP
          Read the size of the file again and advertise it, while serving goes on; it never exceeds --length.
          Linux takes it up at once, or while the disk is in use after: aoe-revalidate eS.T";

const AFTER_HELP: &str = "\
Try --help for more, with examples, and the manual: man 8 vblade";

/// Export a file or block device to an Ethernet segment, over ATA over Ethernet (AoE)
///
/// The disk is seen by every host on the segments of the interfaces; AoE knows no passwords and no encryption. A host that mounts it for
/// writing must be the only one that mounts it, unless it uses a cluster file system.
///
/// The first line on standard output, "pid N: eS.T, N sectors O_RDWR", says that the disk is served. Logs go to standard error. SIGTERM
/// or SIGINT finish what is queued, make it durable, and end the program.
#[derive(Clone, Debug, Parser)]
#[command(name = "vblade", version, after_help = AFTER_HELP, after_long_help = format!("{EXAMPLES}\n\n{SIGNALS}"), args_override_self = true)]
pub(crate) struct Cli {
    /// Shelf (major) address of the disk: 0 to 65534, decimal or 0x hexadecimal
    ///
    /// Linux initiators ignore shelf 4095.
    #[arg(value_name = "shelf", allow_negative_numbers = true)]
    pub(crate) shelf: String,

    /// Slot (minor) address of the disk: 0 to 254, decimal or 0x hexadecimal
    #[arg(value_name = "slot", allow_negative_numbers = true)]
    pub(crate) slot: String,

    /// Network interface: Ethernet, VLAN, bridge, bond, veth or tap, with an MTU of at least 548; or several, as eth0,eth1
    ///
    /// On several interfaces, of one segment or of more, the disk is one: requests that overlap run in order of arrival over all of
    /// them, and initiators that see it by more than one path use all of these. All interfaces must be there at the start. One that is
    /// lost later does not disturb the others, and serves again when it comes back.
    #[arg(value_name = "netif")]
    pub(crate) netif: String,

    /// Regular file or block device to export, of at least 512 bytes; or aoe:eS.T@netif for a disk of another target
    ///
    /// A tail that fills no sector of 512 bytes is left out. aoe:e7.3@eth0,eth1 is the disk that another target serves as e7.3, reached
    /// by these interfaces: so a disk can be passed on to another segment. A file of such a name is ./aoe:...
    #[arg(value_name = "filename", value_hint = clap::ValueHint::FilePath)]
    pub(crate) filename: PathBuf,

    /// Requests that initiators may have outstanding: 2 to 65535
    ///
    /// Advertised to initiators; Linux keeps to it. More of them hide the latency of slow disks, and need a larger receive buffer.
    #[arg(short, long, value_name = "bufcnt", default_value = "16", allow_negative_numbers = true)]
    pub(crate) buffer_count: String,

    /// Go past the page cache (O_DIRECT): --cache none, or with -s --cache directsync
    #[arg(short, long)]
    pub(crate) direct: bool,

    /// Make each write durable before it is answered: --cache writethrough, or with -d --cache directsync
    #[arg(short, long)]
    pub(crate) sync: bool,

    /// Open the file for reading only, and refuse writes
    #[arg(short, long)]
    pub(crate) read_only: bool,

    /// Answer these initiators only (more of -m add to the list)
    ///
    /// MAC addresses in either case, with colons, hyphens or nothing between the bytes. Initiators cannot change this list; the mask
    /// list, which they can set, applies besides. Neither keeps out an attacker, who is free to choose an address.
    #[arg(short, long, value_name = "mac[,mac...]", value_delimiter = ',')]
    pub(crate) mac: Vec<String>,

    /// Sectors of 512 bytes at the start of the file that are not exported
    #[arg(short, long, value_name = "sectors", default_value = "0", allow_negative_numbers = true)]
    pub(crate) offset: String,

    /// Sectors of 512 bytes to export, at least 1 [default: all after the offset]
    ///
    /// A file of which only a part is exported, by -o or -l, is not locked against others that export a part: see to it that the
    /// parts do not overlap.
    #[arg(short, long, value_name = "sectors", allow_negative_numbers = true)]
    pub(crate) length: Option<String>,

    /// What the answer to a write promises [default: writethrough]
    ///
    /// The Linux driver never sends a flush, not even for fsync, so the answer to a write is the only promise it gets: with a mode
    /// that keeps data in a volatile cache, a power failure or crash of this host takes writes away that file systems and databases
    /// on the initiator believe to be safe. Hence the default, which the classic vblade has not.
    #[arg(long, value_name = "mode", value_enum, conflicts_with_all = ["direct", "sync"])]
    pub(crate) cache: Option<Cache>,

    /// How frames get to the interface and from it
    #[arg(long, value_name = "kind", value_enum, default_value_t = LinkKind::Auto)]
    pub(crate) link: LinkKind,

    /// Advertise a multiple of 8 sectors per request where the MTU has room for 8
    ///
    /// Linux then sends requests aligned to 4 KiB with jumbo frames: 16 sectors instead of 17 at an MTU of 9000.
    #[arg(long)]
    pub(crate) sector_align: bool,

    /// Serial number, up to 20 printable ASCII characters [default: shelf.slot:hostname]
    #[arg(long, value_name = "text")]
    pub(crate) serial: Option<String>,

    /// Model name, up to 40 printable ASCII characters [default: AOE DISK]
    #[arg(long, value_name = "text")]
    pub(crate) model: Option<String>,

    /// Where to keep what initiators set: config string, mask list, reservation
    ///
    /// One small file for each export, which is created when an initiator first sets something. Default: $STATE_DIRECTORY, else
    /// /var/lib/vblade for root, else $XDG_STATE_HOME/vblade or ~/.local/state/vblade.
    #[arg(long, value_name = "dir", value_hint = clap::ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Serve even when another station or process has this address already, or another process has the file locked
    ///
    /// Initiators take two disks at one address for one disk with two paths, and mix them up. Overlapping requests that two processes
    /// make of one file run in any order.
    #[arg(long)]
    pub(crate) force: bool,

    /// For debugging: serve without seccomp and Landlock
    ///
    /// Once everything is open, the process gives up all capabilities, and from then on may make only the system calls that serving takes and open only
    /// files in the state directory. With this option it gives up the capabilities and no more.
    #[arg(long)]
    pub(crate) no_sandbox: bool,

    /// Log more, and with -vv everything
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When a write is answered, and by what way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cache {
    /// Page cache; a write is answered when it is durable
    Writethrough,
    /// Page cache; a write is answered when it is there, and lost if this host fails
    Writeback,
    /// No page cache; a write is answered when the drive has it, perhaps in a volatile cache of its own
    None,
    /// No page cache; a write is answered when it is durable
    Directsync,
}

/// How frames move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LinkKind {
    /// The fastest that works here
    Auto,
    /// AF_XDP sockets, past the network stack (Linux; as root, or with CAP_NET_ADMIN and CAP_BPF besides CAP_NET_RAW). One program to
    /// an interface, until that is removed
    Xdp,
    /// A packet socket, many frames to a system call (Linux)
    Packet,
    /// A datalink channel of pnet: portable, five system calls to a request
    Pnet,
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
    fn the_short_options_of_the_classic_command_are_understood() {
        let line = "vblade -b 32 -d -s -r -m 020000000001,020000000002 -o 8 -l 64 7 3 eth0 disk.img";
        let cli = Cli::try_parse_from(line.split(' ')).expect("a classic command line");
        assert_eq!(
            (cli.buffer_count.as_str(), cli.offset.as_str(), cli.length.as_deref()),
            ("32", "8", Some("64"))
        );
        assert!(cli.direct && cli.sync && cli.read_only);
        assert_eq!(cli.mac, ["020000000001", "020000000002"]);
        assert_eq!((cli.shelf.as_str(), cli.slot.as_str(), cli.netif.as_str()), ("7", "3", "eth0"));
    }

    #[test]
    fn each_short_option_has_a_long_form() {
        let line = "vblade 7 3 eth0 disk.img --buffer-count 32 --direct --sync --read-only --mac 020000000001 --offset 8 --length 64";
        assert!(Cli::try_parse_from(line.split(' ')).is_ok());
    }

    #[test]
    fn an_option_given_twice_counts_as_the_last() {
        let cli = Cli::try_parse_from("vblade -b 2 -d -d -b 3 7 3 eth0 disk.img".split(' '))
            .expect("repeated options");
        assert_eq!(cli.buffer_count, "3");
    }
}
