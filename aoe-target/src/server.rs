//! The loop: links × targets × queues ([`Server::turn`]).
//!
//! A disk belongs to one server, and a server may have any number of links and disks, so the data path has no lock, and the order of
//! arrival at a disk is kept over all of its links. To use more processors, run more servers, each in a thread with its own disks.

mod gather;
mod links;
mod route;
mod sight;
mod targets;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use aoe_wire::{Address, MacAddr};

use crate::bucket::Bucket;
use crate::export::Export;
use crate::late::nanos;
use crate::port::Port;
use crate::server::gather::Arrived;
use crate::slots::Slots;
use crate::{Frame, Link, ServerStats};

pub use links::LinkId;
pub use targets::{AddError, TargetId};

/// Requests that are taken before the links are left alone, over all targets. The backlog then stays with the links, where the
/// network's own back-pressure works; a link's pool must hold a few more frames than this.
pub const MAX_REQUESTS: usize = 1024;

/// Requests from which on an initiator that has its share of a disk gets no more: the rest of the room is for others.
const CROWDED: usize = MAX_REQUESTS / 2;

/// Requests that those exports that have any divide among them when it is crowded, where there are several: a disk that hangs leaves room for the
/// others, however many ask for it.
const PARTED: usize = MAX_REQUESTS / 4 * 3;

/// Answers to wildcard requests per second: well above a discovery storm, and too few to flood somebody with.
const WILDCARDS_PER_SECOND: u64 = 2_000;

/// How often the disk of a target is looked at that has nothing to do.
const LOOK: Duration = Duration::from_secs(1);

/// Serves targets on links. Waits for nothing and knows no clock: the caller does, see [`turn`](Self::turn).
pub struct Server<L: Link> {
    ports: Vec<Port<L>>,
    exports: Slots<Export<L::Frame>>,
    /// Exports with requests that were taken and not answered: the only ones that a turn touches.
    busy: Vec<usize>,
    /// Those requests, over all exports.
    in_flight: usize,
    /// The time of this turn, in nanoseconds.
    now: u64,
    /// When the disks of the other exports are looked at.
    next_look: Duration,
    wildcards: Bucket,
    stats: ServerStats,
    conflict: Option<(Address, MacAddr)>,
    receiving: bool,
    /// What was received on several links, on its way into one order; `None` while no disk has several.
    arrived: Option<Arrived<L::Frame>>,
    late: Option<TargetId>,
}

/// What a turn has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Progress {
    /// Frames received.
    pub received: usize,
    /// Frames given to links to be sent.
    pub sent: usize,
    /// Requests that were taken and not answered.
    pub in_flight: usize,
    /// Something waits that no [event](Server::events) tells of: a link that takes no frame, a queue without room. Turn again within
    /// milliseconds.
    pub stalled: bool,
}

impl Progress {
    /// Whether nothing moved: time to wait for an event.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.received == 0 && self.sent == 0
    }
}

impl<L: Link> Default for Server<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Link> Server<L> {
    /// A server without links and targets.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ports: Vec::new(),
            exports: Slots::new(),
            busy: Vec::new(),
            in_flight: 0,
            now: 0,
            next_look: Duration::ZERO,
            wildcards: Bucket::new(WILDCARDS_PER_SECOND, Duration::from_secs(1)),
            stats: ServerStats::default(),
            conflict: None,
            receiving: true,
            arrived: None,
            late: None,
        }
    }

    /// Takes protections away from the targets that there are.
    #[cfg(feature = "sabotage")]
    #[doc(hidden)]
    pub fn sabotage(&mut self, sabotage: crate::Sabotage) {
        self.exports.iter_mut().for_each(|(_, export)| export.sabotage(sabotage));
    }

    /// What was counted since the server was made.
    #[must_use]
    pub fn stats(&self) -> &ServerStats {
        &self.stats
    }

    /// The last station seen to answer for an address of ours, once: two disks at one address lose data.
    pub fn take_conflict(&mut self) -> Option<(Address, MacAddr)> {
        self.conflict.take()
    }

    /// The last target that has dropped writes since this was last asked, because they came too late: its
    /// [`Stats::late_writes`](crate::Stats::late_writes) tells how many.
    pub fn take_late(&mut self) -> Option<TargetId> {
        self.late.take()
    }

    /// Takes no more frames; turn until [`Progress::in_flight`] is 0 to answer those that were taken.
    pub fn stop(&mut self) {
        self.receiving = false;
    }

    /// Does everything that can be done without waiting: advertises where a link came up or changed, receives, asks the disks, takes up
    /// what they have finished, sends. `now` is the time since any fixed moment.
    ///
    /// Call it again at once until [`Progress::is_idle`]; then wait until one of [`events`](Self::events) is readable, for a few
    /// milliseconds at most when [`Progress::stalled`], else for a second or so: disks that have something to do of their own accord,
    /// as one behind a network has, are looked at once a second while they are at rest.
    ///
    /// A turn costs what is to be done, however many targets there are: one at rest costs nothing but that look.
    ///
    /// # Errors
    ///
    /// When a link or a disk can never work again.
    pub fn turn(&mut self, now: Duration) -> io::Result<Progress> {
        let mut progress = Progress::default();
        self.now = nanos(now);
        self.wildcards.refill(self.now);
        progress.received = self.gather()?;
        self.stats.rx_runs += u64::from(progress.received != 0);
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look(now);
        }
        progress.stalled |= self.run()?;
        progress.in_flight = self.in_flight;
        for port in &mut self.ports {
            let waiting = port.tx.len();
            if waiting != 0 {
                let Some(link) = &mut port.link else {
                    port.tx.clear();
                    continue;
                };
                link.send(&mut port.tx)?;
                progress.sent += waiting - port.tx.len();
                progress.stalled |= !port.tx.is_empty();
            }
        }
        self.stats.tx_frames += progress.sent as u64;
        Ok(progress)
    }

    /// What to wait for: links that have frames, unless there is no room for them, and disks that have finished something. Only disks
    /// with requests in flight are among them, so ask anew before each wait.
    pub fn events(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listening = self.has_room();
        let links =
            self.ports.iter().filter(move |_| listening).filter_map(|port| port.link.as_ref()?.event());
        links.chain(self.busy.iter().filter_map(|number| self.exports.get(*number)).flat_map(Export::events))
    }

    fn has_room(&self) -> bool {
        self.receiving && self.in_flight < MAX_REQUESTS
    }

    /// Runs the exports that have requests. Whether one of them waits for something that no event tells of.
    fn run(&mut self) -> io::Result<bool> {
        let Self { ports, exports, busy, in_flight, stats, now, .. } = self;
        let (mut stalled, mut next) = (false, 0);
        while let Some(number) = busy.get(next).copied() {
            let Some(export) = exports.get_mut(number) else {
                busy.swap_remove(next);
                continue;
            };
            let before = export.load();
            let result = export.run(*now, ports, stats);
            let load = export.load();
            *in_flight = *in_flight + load - before;
            result?;
            stalled |= export.is_stalled();
            if load == 0 {
                export.busy = false;
                busy.swap_remove(next);
                if export.leaving {
                    exports.remove(number);
                }
            } else {
                next += 1;
            }
        }
        Ok(stalled)
    }

    /// Has the next run look at every disk: some have something to do of their own accord, and some are gone.
    #[cold]
    fn look(&mut self, now: Duration) {
        let Self { exports, busy, .. } = self;
        for (number, export) in exports.iter_mut() {
            export.target.wait_for_disk(now);
            if !export.busy {
                export.busy = true;
                busy.push(number);
            }
        }
    }

    fn advertise(&mut self, at: usize) {
        let Self { ports, exports, stats, .. } = self;
        let port = &mut ports[at];
        let routes = std::mem::take(&mut port.routes);
        for number in routes.iter() {
            if let Some(export) = exports.get_mut(number) {
                export.advertise(port, at, stats);
            }
        }
        port.routes = routes;
    }
}

/// Keeps the books of export number `number`, which had `before` requests, when it has got or answered some.
fn book<F: Frame>(
    export: &mut Export<F>,
    number: usize,
    before: usize,
    in_flight: &mut usize,
    busy: &mut Vec<usize>,
) {
    let load = export.load();
    *in_flight = *in_flight + load - before;
    if load != 0 && !export.busy {
        export.busy = true;
        busy.push(number);
    }
}
