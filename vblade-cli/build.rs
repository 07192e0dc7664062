//! Writes shell completions and the man page, from the definition of the command line, into `OUT_DIR`, or into the directory that
//! `VBLADE_ASSETS_DIR` names, for packagers.

use std::path::PathBuf;
use std::{env, fs, io};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

#[path = "src/cli.rs"]
mod cli;

/// Sections that the options say nothing about: title and paragraphs.
const SECTIONS: &[(&str, &[&str])] = &[
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
            "Once everything is open, vblade gives up all capabilities but CAP_DAC_OVERRIDE and CAP_FOWNER, by which root keeps what initiators set in \
             a directory of another user, and sets no_new_privs.",
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
            "aoe-discover(8), aoe-stat(8), aoecfg(8), aoeping(8), ip-link(8), setcap(8), AoEr11 (the protocol)",
        ],
    ),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=VBLADE_ASSETS_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/cli.rs");
    let dir = env::var_os("VBLADE_ASSETS_DIR").or_else(|| env::var_os("OUT_DIR")).map(PathBuf::from);
    let dir = dir.ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(&dir)?;
    let mut command = cli::Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "vblade", &dir)?;
    }
    fs::write(dir.join("vblade.8"), man_page(command)?)
}

fn man_page(command: Command) -> io::Result<Vec<u8>> {
    let man =
        Man::new(command.after_long_help("").after_help("")).section("8").manual("System Manager's Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    listing("EXAMPLES", cli::EXAMPLES).to_writer(&mut page)?;
    listing("SIGNALS", cli::SIGNALS).to_writer(&mut page)?;
    for (title, paragraphs) in SECTIONS {
        let mut section = Roff::new();
        section.control("SH", [*title]);
        for paragraph in *paragraphs {
            section.control("PP", []).text([roman(*paragraph)]);
        }
        section.to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
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
