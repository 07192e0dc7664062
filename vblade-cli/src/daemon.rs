//! `vbladed`: many exports on many interfaces, in one process, as a file says.
//!
//! Two threads. The `engine` serves: it has the disks and the links, and no privilege. The `manager` has the configuration, what privileges
//! opening takes, and all that may wait; it compares what is wanted with what is (`plan`), opens disks on threads of their own
//! (`disk`, `workers`), and hands over to the engine what is open.

mod classic;
mod cli;
mod config;
mod disk;
mod engine;
pub mod fuzz;
mod generator;
mod import;
mod locks;
mod manager;
mod notify;
mod plan;
mod workers;

use std::error::Error as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fmt};

use clap::Parser;
use clap::error::ErrorKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use self::cli::{Cli, Command};
use self::config::{Config, Mistakes};
use self::engine::Engine;
use self::manager::{Doors, Manager};
use crate::control::{BindError, http, server};
use crate::state::{self, Environment};
use crate::wait::Signals;
use crate::{privileges, report, sentence};

/// Runs the command: what `main` is.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    if arguments.first().is_some_and(|name| Path::new(name).ends_with("vblade-generator")) {
        let dirs: Vec<_> = arguments[1..].iter().map(PathBuf::from).collect();
        return generator::generate(&dirs);
    }
    if arguments.get(1).is_some_and(|word| word == classic::CHILD) {
        return classic::child(&arguments[2..]);
    }
    if cli::is_classic(arguments.get(1..).unwrap_or_default()) {
        return classic::parent(&arguments[1..]);
    }
    let cli = match Cli::try_parse() {
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return if help.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(error) => return complain(&sentence::one_sentence(&error, "vbladed"), 2),
        Ok(cli) => cli,
    };
    match cli.command {
        Some(Command::Check { json }) => config::check(&cli.config, json),
        Some(Command::Import { from, output, force, files }) => {
            import::import(from, &files, output.as_deref(), force)
        }
        Some(Command::Generator { dirs }) => generator::generate(&dirs),
        None => serve(&cli),
    }
}

fn serve(cli: &Cli) -> ExitCode {
    report::log_to_stderr(cli.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(mistakes)) => {
            eprint_lines(&mistakes);
            let help =
                format!("{}: nothing is served; mend it, and see: vbladed check", cli.config.display());
            complain(&help, 2)
        }
        Err(failure) => complain(&failure.line(), failure.exit_status()),
    }
}

/// Why the daemon ended otherwise than asked, or did not begin.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(Mistakes),
    #[error("cannot {doing}: {source}")]
    System { doing: &'static str, source: io::Error },
    #[error(transparent)]
    Socket(#[from] BindError),
    #[error(transparent)]
    Metrics(#[from] http::HttpError),
    #[error("serving has ended: {0}")]
    Serve(io::Error),
    #[error("{0} requests were not finished in time; their initiators got no answer")]
    Unfinished(usize),
}

impl Failure {
    /// 2 when starting again does not help: somebody has to change the configuration, or stop another process.
    fn exit_status(&self) -> u8 {
        let refused = match self {
            Self::Config(_) => true,
            Self::Socket(error) => !matches!(error, BindError::System { .. }),
            Self::Metrics(http::HttpError::NotLoopback(_)) => true,
            Self::Metrics(http::HttpError::System { source, .. }) => {
                source.kind() == io::ErrorKind::AddrInUse
            }
            _ => false,
        };
        if refused { 2 } else { 1 }
    }

    /// What failed, and why.
    fn line(&self) -> String {
        let why = match self {
            Self::Socket(error) => error.source(),
            Self::Metrics(error) => error.source(),
            _ => None,
        };
        why.map_or_else(|| self.to_string(), |why| format!("{self}: {why}"))
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    return_large_blocks();
    let failed = |doing| move |source| Failure::System { doing, source };
    let config = Config::load(&cli.config).map_err(Failure::Config)?;
    if let Err(error) = raise_descriptor_limit() {
        warn!("the limit on descriptors could not be raised: {error}");
    }
    let signals = Signals::new().map_err(failed("take over signals"))?;
    let state_dir = state::prepare(config.daemon.state_dir.as_deref(), &Environment::ours())
        .map_err(failed("find the state directory"))?;
    let doors = Doors {
        control: Some(server::Server::bind(&config.daemon.socket, config.daemon.socket_group.as_deref())?),
        metrics: config.daemon.metrics.map(http::Server::bind).transpose()?,
    };
    if let Err(error) = privileges::keep_for_opening() {
        warn!("privileges that are not needed could not be given up: {error}");
    }
    let engine = Engine::start(state_dir.as_deref(), config.daemon.sandbox)
        .map_err(failed("start the thread that serves"))?;
    info!(config = %cli.config.display(), exports = config.exports.len(), sandbox = engine.sandbox(), "starting");
    let manager = Manager::new(cli.config.clone(), config, state_dir, doors, engine, signals)
        .map_err(failed("watch interfaces"))?;
    match manager.run().map_err(Failure::Serve)? {
        0 => Ok(()),
        left => Err(Failure::Unfinished(left)),
    }
}

/// Has what was allocated for frames go back to the system when it is freed. By default glibc keeps blocks of that size once one was freed, in each thread's
/// arena; and disks are opened on many threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a function of the C library")]
fn return_large_blocks() {
    // SAFETY: it sets a number of the allocator, while there is one thread.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20) };
}

/// Nothing: other allocators do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_large_blocks() {}

/// Allows as many descriptors as the system does: each export takes several.
fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// A line on standard error, and an exit status.
fn complain(line: &str, status: u8) -> ExitCode {
    eprint_lines(&format_args!("vbladed: {line}"));
    ExitCode::from(status)
}

fn eprint_lines(text: &dyn fmt::Display) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(io::stderr(), "{text}");
}
