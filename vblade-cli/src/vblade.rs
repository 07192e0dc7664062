//! `vblade`: exports a file or block device over ATA over Ethernet.
//!
//! The way of a start: `cli` is what was typed, `options` and `source` what it means; `stack` checks the file, the links are opened, `claim`
//! and `probe` ask whether the address is free here and elsewhere; only then the disk is locked (`lock`) and opened for writing,
//! `privileges` are given up, the `sandbox` is entered, and `serve` begins. `state` keeps what initiators set, `report` says what goes on.
//! Whatever ends the program otherwise than asked is an `error`.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use aoe_target::{Link, Server, Target};
use clap::Parser;
use clap::error::ErrorKind;
use tracing::{info, warn};

use crate::claim::Claim;
use crate::cli::Cli;
use crate::error::Error;
use crate::link::NetLink;
use crate::options::Export;
#[cfg(target_os = "linux")]
use crate::sandbox::{Reach, Sandbox};
use crate::serve::BySignals;
use crate::stack::{DEPTH, Stack};
use crate::state::{Environment, StateFile};
use crate::wait::Signals;
use crate::{privileges, probe, report, serve};

/// How long requests that were taken may last after the signal to end.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the command: what `main` is.
#[must_use]
pub fn main() -> ExitCode {
    main_with(&env::args_os().collect::<Vec<_>>(), &|| Ok(()))
}

/// The same for these arguments, of which the first is the program's name. `detach` is called when everything is open, as the last before the process
/// is shut in.
pub(crate) fn main_with(arguments: &[OsString], detach: &dyn Fn() -> io::Result<()>) -> ExitCode {
    match run(arguments, detach) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let name =
                arguments.first().map(|name| Path::new(name).file_name().unwrap_or(name).to_string_lossy());
            // Nobody is left to tell when this fails.
            let _ = writeln!(io::stderr(), "{}: {}", name.unwrap_or("vblade".into()), error.line());
            ExitCode::from(error.exit_status())
        }
    }
}

fn run(arguments: &[OsString], detach: &dyn Fn() -> io::Result<()>) -> Result<(), Error> {
    let cli = match Cli::try_parse_from(arguments) {
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return help.print().map_err(|source| Error::System { doing: "print", source });
        }
        cli => cli.map_err(Error::CommandLine)?,
    };
    report::log_to_stderr(cli.verbose);
    let export = Export::new(cli, &rustix::system::uname().nodename().to_string_lossy())?;

    let signals = Signals::new().map_err(|source| Error::System { doing: "take over signals", source })?;
    Stack::check(&export.source)?;
    let mut links = open_links(&export)?;
    let _claims = take_address(&export, &mut links)?;
    let state = StateFile::locate(
        export.target.address,
        &export.source.path(),
        export.state_dir.as_deref(),
        &Environment::ours(),
    )?;
    let stored = state.load()?;
    let lock = Stack::lock(&export.source, export.force)?;
    if signals.stop() {
        info!("told to end before the disk was served");
        return Ok(());
    }
    let stack = Stack::open(&export.source, lock)?;
    let queue = stack
        .open_queue(DEPTH)
        .map_err(|source| Error::System { doing: "open a queue to the disk", source })?;
    // While there are the privileges for it, and paths that can be opened.
    state.prepare();
    let given_up = privileges::give_up(state.directory());
    if let Err(error) = &given_up {
        warn!("privileges that are not needed any more could not be given up: {error}");
    }
    report::warn_of_limits(&export, &stack, &links, &state);
    detach().map_err(|source| Error::System { doing: "go into the background", source })?;
    enter_sandbox(&export, &state, given_up.is_ok());
    report::announce(&export, &stack, &links);

    let (address, netif) = (export.target.address, export.netifs.join(","));
    let polled = links.iter().any(|link| link.event().is_none());
    let mut server = Server::new();
    let links: Vec<_> = links.into_iter().map(|link| server.add_link(link)).collect();
    let target = Target::new(export.target, stack.info(), stored);
    let target = server
        .add_target(target, queue, state.into_saver(), &links)
        .map_err(|source| Error::Target { address, source })?;

    let reread = |server: &mut Server<NetLink>| {
        if let Some(disk) = stack.reread_size() {
            server.set_disk(target, disk);
        }
    };
    let served = serve::run(&mut server, BySignals(&signals, reread), polled, GRACE);
    report::totals(&server, &links, target);
    if let Ok(in_flight @ 1..) = served {
        serve::leave(server);
        return Err(Error::Unfinished { in_flight, seconds: GRACE.as_secs() });
    }
    drop(server);
    stack.flush().map_err(|_| Error::Flush { path: export.source.path() })?;
    served.map(drop).map_err(|source| Error::Serve { address, netif, source })
}

/// Shuts the process in, and says how far. Nothing but serving works from then on.
#[cfg(target_os = "linux")]
fn enter_sandbox(export: &Export, state: &StateFile, unprivileged: bool) {
    if !export.sandbox {
        warn!("no sandbox (--no-sandbox): only capabilities are given up");
        return;
    }
    let sandbox = Sandbox::enter(state.directory(), Reach::Process);
    let capabilities = if unprivileged { "no capabilities, " } else { "" };
    if sandbox.is_whole() {
        info!("sandbox: {capabilities}{sandbox}");
    } else {
        warn!("sandbox: {capabilities}{sandbox}");
    }
}

/// Nothing: what it is made of is Linux's own.
#[cfg(not(target_os = "linux"))]
fn enter_sandbox(_export: &Export, _state: &StateFile, _unprivileged: bool) {}

fn open_links(export: &Export) -> Result<Vec<NetLink>, Error> {
    let open = |netif: &String| NetLink::open(export.link_kind.into(), netif, export.link.clone());
    Ok(export.netifs.iter().map(open).collect::<Result<_, _>>()?)
}

/// Makes the address ours on each interface among the processes here, and asks whether it is free elsewhere.
fn take_address(export: &Export, links: &mut [NetLink]) -> Result<Vec<Claim>, Error> {
    let (address, netifs) = (export.target.address, &export.netifs);
    let mut claims = Vec::with_capacity(netifs.len());
    for netif in netifs {
        let claim = Claim::take(address, netif)
            .map_err(|source| Error::System { doing: "claim the address", source })?;
        match claim {
            Some(claim) => claims.push(claim),
            None if export.force => {}
            None => return Err(Error::Served { address, netif: netif.clone() }),
        }
    }
    if export.force {
        // Held where they are free, so that the next one is told.
        return Ok(claims);
    }
    for (netif, _) in netifs.iter().zip(&*links).filter(|(_, link)| !link.info().up) {
        info!(netif, "link is down: whether {address} is free there is not known");
    }
    let station = probe::station_at(address, links).map_err(|source| Error::Serve {
        address,
        netif: netifs.join(","),
        source,
    })?;
    station.map_or(Ok(claims), |station| Err(Error::Claimed { address, station }))
}
