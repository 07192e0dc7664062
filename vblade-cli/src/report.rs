//! What the program says while it runs: the first line on standard output, logs on standard error.

use std::io::{self, IsTerminal, Write};

use aoe_link::LinkCounters;
use aoe_target::{LinkId, Server, Target, TargetId};
use tracing::{Level, debug, info, warn};

use crate::link::NetLink;
use crate::options::Export;
use crate::stack::Stack;
use crate::state::StateFile;

/// Linux's driver takes this shelf for a broadcast.
const SHELF_IGNORED_BY_LINUX: u16 = 0x0fff;

/// Warnings and above, what happens to links and disks; more with each `-v`.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // Complaining about a closed standard error on standard error would be fatal.
        .log_internal_errors(false)
        .init();
}

/// Says what works, but perhaps not as expected.
pub(crate) fn warn_of_limits(export: &Export, stack: &Stack, links: &[NetLink], state: &StateFile) {
    if export.target.address.major == SHELF_IGNORED_BY_LINUX {
        warn!("Linux initiators ignore shelf 4095: give another one if they should see the disk");
    }
    let path = export.source.path();
    let path = path.display();
    if stack.dropped_tail() != 0 {
        warn!(
            "{path}: the last {} bytes fill no sector of 512 bytes and are not exported",
            stack.dropped_tail()
        );
    }
    // The others have a ring, which is as large as it was asked for.
    for link in links.iter().filter(|link| link.way() == "pnet") {
        // The kernel grants twice what it is asked for, to have room for its bookkeeping.
        let (asked, granted) = (export.link.recv_buffer, link.recv_buffer() / 2);
        if granted != 0 && granted < asked / 2 {
            warn!(
                "{}: receive buffer of {granted} bytes instead of {asked}: frames are lost when many arrive at once; \
                 allow more: sysctl -w net.core.rmem_max={asked}",
                link.name()
            );
        }
    }
    state.warn_of_limits();
}

/// Prints the line that says that the disk is there, as the classic vblade does.
pub(crate) fn announce(export: &Export, stack: &Stack, links: &[NetLink]) {
    let mode = if export.source.read_only() { "O_RDONLY" } else { "O_RDWR" };
    let (pid, address, sectors) = (std::process::id(), export.target.address, stack.info().sectors);
    let mut stdout = io::stdout().lock();
    // Whoever started us may not care; the disk is served all the same.
    let _ = writeln!(stdout, "pid {pid}: {address}, {sectors} sectors {mode}").and_then(|()| stdout.flush());
    let (netif, link) = (export.netifs.join(","), ways(links));
    let recv_buffer: usize = links.iter().map(NetLink::recv_buffer).sum();
    info!(%address, netif, disk = %export.source.path().display(), sectors, cache = ?export.cache, link, recv_buffer, "serving");
}

/// By which way frames move on each interface, and why by that.
fn ways(links: &[NetLink]) -> String {
    let way = |link: &NetLink| format!("{}, {}", link.way(), link.why());
    match links {
        [link] => way(link),
        links => {
            links.iter().map(|link| format!("{} {}", link.name(), way(link))).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Tells at the end what was done.
pub(crate) fn totals(server: &Server<NetLink>, links: &[LinkId], target: TargetId) {
    let stats = server.stats();
    let links: Vec<_> = links.iter().filter_map(|link| server.link(*link)).map(NetLink::counters).collect();
    let sum = |count: fn(&LinkCounters) -> u64| links.iter().map(count).sum::<u64>();
    info!(
        frames_received = stats.rx_frames,
        frames_sent = stats.tx_frames,
        lost_on_arrival = sum(|link| link.rx_overflow),
        refused = sum(|link| link.rx_refused),
        not_sent = sum(|link| link.tx_dropped),
        "stopped"
    );
    debug!(server = ?stats, target = ?server.target(target).map(Target::stats), ?links);
}
