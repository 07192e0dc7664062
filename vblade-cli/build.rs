//! Writes shell completions and the man pages, from the definitions of the command lines, into `OUT_DIR`, or into the directory that
//! `VBLADE_ASSETS_DIR` names, for packagers.

use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

#[path = "src/aoe/cli.rs"]
mod aoe;
#[path = "src/cli.rs"]
mod cli;
#[path = "src/ctl/cli.rs"]
mod ctl;
#[expect(dead_code, reason = "what tells one of two command lines is for the program")]
#[path = "src/daemon/cli.rs"]
mod vbladed;

/// Title and paragraphs.
type Section = (&'static str, &'static [&'static str]);

/// Sections that the options of `vblade` say nothing about.
const VBLADE: &[Section] = &[
    (
        "DURABILITY",
        &[
            "The Linux driver (aoe) never sends a flush, not even for fsync(2). The answer to a write is the only promise it gets, so by \
             default vblade gives it when the write is on stable storage (--cache writethrough). This is slower than the classic \
             vblade, which answers when the data is in the page cache; --cache writeback does the same, for data that may be lost when \
             this host fails. -d alone is fast and skips the page cache, but a drive may keep the data in a volatile cache of its own; \
             -d -s asks the drive to keep it for good.",
        ],
    ),
    (
        "EXIT STATUS",
        &[
            "0: ended by SIGTERM or SIGINT, with everything answered and durable, or before anything was served.",
            "1: a permission is missing, the system failed, or a second signal came before the work was done.",
            "2: an argument was refused, or another process has the address or the file. Nothing was opened for writing.",
        ],
    ),
    (
        "PRIVILEGES",
        &[
            "Opening the interface takes root or CAP_NET_RAW, which the file can have: setcap cap_net_raw+ep $(command -v vblade). \
             A large receive buffer takes CAP_NET_ADMIN besides, or a larger limit: sysctl -w net.core.rmem_max=8388608.",
            "Once everything is open, vblade gives up all capabilities and the ways to gain any (no_new_privs). Root without capabilities is \
             not above permissions: where the state directory is another user's, vblade becomes that user first.",
            "It then enters a sandbox, as far as the kernel has one, and says so in its log. Landlock: it opens no file outside of the state directory. \
             seccomp: it makes the system calls that serving takes and no other. One that is outside ends it by SIGSYS, after a line that names the call; \
             nothing is lost by that which a reply has promised, and a supervisor that starts it again (Restart=on-failure of systemd) has initiators go on. \
             --no-sandbox leaves it out.",
        ],
    ),
    (
        "FILES",
        &[
            "/var/lib/vblade/eS.T-*: what initiators have set (config string, mask list, reservation), one file for each export; \
             see --state-dir. Remove the file while vblade does not run to forget it.",
        ],
    ),
    ("ENVIRONMENT", &["STATE_DIRECTORY, XDG_STATE_HOME, HOME: see --state-dir."]),
    (
        "SEE ALSO",
        &[
            "aoe(8), aoe-discover(8), aoe-stat(8), aoecfg(8), aoeping(8), ip-link(8), setcap(8), AoEr11 (the protocol)",
        ],
    ),
];

/// The same of `aoe`.
const AOE: &[Section] = &[
    (
        "OUTPUT",
        &[
            "Bytes that targets choose (config strings, model names) are shown with control characters escaped, as in \"\\n\" or \
             \"\\u{1b}\", and \"\\xff\" for a byte that is no UTF-8; in JSON, too. Only config get writes the string as it is, unless \
             to a terminal.",
            "A reader of standard output that goes away ends the command quietly.",
        ],
    ),
    (
        "SIGNALS",
        &[
            "SIGINT and SIGTERM end a command within seconds, with a summary of what was done where there is one; a second one \
             ends it at once. What the target has been asked for by then may still be done.",
        ],
    ),
    (
        "PRIVILEGES",
        &[
            "Opening an interface takes root or CAP_NET_RAW, which the file can have: setcap cap_net_raw+ep $(command -v aoe). Whoever \
             may run it then reads and writes every disk that the host reaches. \
             A large receive buffer takes CAP_NET_ADMIN besides, or a larger limit: sysctl -w net.core.rmem_max=8388608.",
        ],
    ),
    (
        "NOTES",
        &[
            "A host that has a disk mounted keeps part of it in memory: what is written to the disk by this command, by whatever \
             host, may damage what that one has there. Write and trim only what is not in use.",
            "The classic vblade dies when an entry is removed from its mask list, keeps no more than one entry well, and flushes \
             nothing when asked to. It is silent to requests that it takes for malformed.",
        ],
    ),
    ("SEE ALSO", &["vblade(8), ip-link(8), hdparm(8), setcap(8), AoEr11 (the protocol)"]),
];

/// The same of `vbladed`.
const DAEMON: &[Section] = &[
    (
        "EXIT STATUS",
        &[
            "0: ended by SIGTERM or SIGINT, with everything answered and durable.",
            "1: a permission is missing, the system failed, or requests were not finished in time.",
            "2: the configuration or an argument was refused. Nothing was served.",
        ],
    ),
    (
        "WHAT COMES AND GOES",
        &[
            "A disk that is not there is tried every two seconds, and at once on SIGHUP. One that is served is looked at every five seconds: when it \
             has grown, its new size is advertised; when its file was removed or replaced, or its device has vanished, initiators are told \
             that it is not available until it is back.",
            "An interface is used when it appears, and by exports with a pattern that matches its name.",
            "Another process that serves the same file for writing, or the same address on the same interface, keeps an export from being served, until \
             it ends.",
        ],
    ),
    (
        "PRIVILEGES",
        &[
            "Of root's capabilities it keeps those by which interfaces and disks are opened: CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and CAP_DAC_OVERRIDE; \
             and CAP_SETPCAP, CAP_SETUID and CAP_SETGID, by which the thread that serves gives up all of them. That thread can open nothing but \
             files in the state directory, and make only the system calls that serving takes; see PRIVILEGES in vblade(8).",
        ],
    ),
    (
        "FILES",
        &[
            "/etc/vblade/vblade.toml, /etc/vblade/conf.d/*.toml: the configuration. /run/vblade/control.sock: see vbladectl(8). \
             /var/lib/vblade: what initiators have set, see vblade(8).",
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            "NOTIFY_SOCKET, WATCHDOG_USEC: set by systemd, which is told when the daemon is ready, reads its configuration, and lives. \
             STATE_DIRECTORY: see vblade(8).",
        ],
    ),
    (
        "SEE ALSO",
        &["vbladectl(8), vblade(8), aoe(8), systemd.generator(7), ethers(5), AoEr11 (the protocol)"],
    ),
];

/// The same of `vbladectl`.
const CTL: &[Section] = &[
    (
        "PRIVILEGES",
        &[
            "The control socket is for root and for the group that the configuration of vbladed names. Whoever is in it may add and remove \
             exports and see all data that goes to and from them.",
        ],
    ),
    ("ENVIRONMENT", &["VBLADE_SOCKET: see --socket."]),
    ("SEE ALSO", &["vbladed(8), aoe(8), vblade(8), wireshark(1)"]),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=VBLADE_ASSETS_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/cli.rs");
    println!("cargo::rerun-if-changed=src/aoe/cli.rs");
    println!("cargo::rerun-if-changed=src/aoe/cli");
    println!("cargo::rerun-if-changed=src/ctl/cli.rs");
    println!("cargo::rerun-if-changed=src/daemon/cli.rs");
    let dir = env::var_os("VBLADE_ASSETS_DIR").or_else(|| env::var_os("OUT_DIR")).map(PathBuf::from);
    let dir = dir.ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(&dir)?;
    let (mut vblade, mut aoe, mut ctl) = (cli::Cli::command(), aoe::Cli::command(), ctl::Cli::command());
    let mut daemon = vbladed::Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut vblade, "vblade", &dir)?;
        generate_to(shell, &mut aoe, "aoe", &dir)?;
        generate_to(shell, &mut ctl, "vbladectl", &dir)?;
        generate_to(shell, &mut daemon, "vbladed", &dir)?;
    }
    let listings = [("EXAMPLES", cli::EXAMPLES), ("SIGNALS", cli::SIGNALS)];
    fs::write(dir.join("vblade.8"), man_page(vblade, &listings, VBLADE)?)?;
    let listings = [("EXAMPLES", aoe::EXAMPLES), ("EXIT STATUS", aoe::EXIT_STATUS)];
    fs::write(dir.join("aoe.8"), man_page(aoe, &listings, AOE)?)?;
    let listings = [("EXAMPLES", vbladed::EXAMPLES), ("SIGNALS", vbladed::SIGNALS)];
    fs::write(dir.join("vbladed.8"), man_page(daemon, &listings, DAEMON)?)?;
    let listings = [("EXAMPLES", ctl::EXAMPLES), ("EXIT STATUS", ctl::EXIT_STATUS)];
    fs::write(dir.join("vbladectl.8"), man_page(ctl, &listings, CTL)?)
}

fn man_page(mut command: Command, listings: &[(&str, &str)], sections: &[Section]) -> io::Result<Vec<u8>> {
    // Options of all commands reach the subcommands by this.
    command.build();
    let command = command.after_long_help("").after_help("");
    let man = Man::new(command.clone()).section("8").manual("System Manager's Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        section("COMMANDS", &[]).to_writer(&mut page)?;
        for subcommand in command.get_subcommands() {
            describe(subcommand, &mut page)?;
        }
    }
    for (title, text) in listings {
        listing(title, text).to_writer(&mut page)?;
    }
    for (title, paragraphs) in sections {
        section(title, paragraphs).to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A subsection on a command, and one on each command below it.
fn describe(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut text = Roff::new();
    text.control("SS", [usage.trim_start_matches("Usage: ").replace('\n', " ").as_str()]);
    for (number, paragraph) in about.split("\n\n").enumerate() {
        if number > 0 {
            text.control("PP", []);
        }
        text.text([roman(paragraph)]);
    }
    text.to_writer(page)?;
    // What all commands understand stands once, above; so does help.
    let own = command.clone().disable_help_flag(true).mut_args(|arg| {
        let hide = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(hide)
    });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options);
    // What comes before the first option is the heading of a section.
    if let Some((_, options)) = options.split_once(".SH OPTIONS\n") {
        page.write_all(options.as_bytes())?;
    }
    command.get_subcommands().try_for_each(|subcommand| describe(subcommand, page))
}

fn section(title: &str, paragraphs: &[&str]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for paragraph in paragraphs {
        section.control("PP", []).text([roman(*paragraph)]);
    }
    section
}

/// A text below `--help`: a line indented by two is a term, one indented by more is its explanation.
fn listing(title: &str, text: &str) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for line in text.lines().skip(1) {
        let text = line.trim_start();
        let is_term = line.len() - text.len() == 2;
        if is_term {
            section.control("TP", []);
        }
        let inline: Inline = if is_term { bold(text) } else { roman(text) };
        section.text([inline]);
    }
    section
}
