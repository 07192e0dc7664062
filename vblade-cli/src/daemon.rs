//! `vbladed`: many exports in one process. The core of the daemon is not here yet: only the commands about its configuration are.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg_attr(not(test), expect(dead_code, reason = "the core of the daemon, which uses it, is not here yet"))]
mod config;
mod generator;
mod import;

/// `check FILE`, `import FILE...`, `generator DIR...`.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some((command, files)) = words.split_first() else { return ExitCode::from(2) };
    match (command.to_str(), files) {
        (Some("check"), [file]) => config::check(file, false),
        (Some("check"), [file, _json]) => config::check(file, true),
        (Some("generator"), dirs) => generator::generate(dirs),
        (Some("import"), files) => import::import(None, files, None, false),
        _ => import::import(Some(cli::Format::Ggaoed), files, Some(Path::new("vblade.toml")), true),
    }
}

mod cli {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Format {
        Debian,
        VbladePersist,
        Openwrt,
        Ggaoed,
    }
}
