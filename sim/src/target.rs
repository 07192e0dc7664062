//! Processes that serve disks: [`TargetHost`], and what they serve, [`Export`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aoe_target::{Address, Backend, Server, State, Target, TargetId, TargetOptions};
use bytes::BytesMut;

use crate::wake::Wake;
use crate::{Network, SimLink, StationId};

/// How often a disk with requests in flight, or anything that gives no event, is looked at.
pub const DISK_POLL: Duration = Duration::from_micros(100);

/// Turns in a row that must make a process idle.
const TURNS: usize = 10_000;

/// A disk and how it is served.
#[derive(Clone)]
pub struct Export {
    /// Address, buffer count and the like.
    pub options: TargetOptions,
    /// The disk. It stays when the process is killed.
    pub disk: Arc<dyn Backend<BytesMut>>,
    /// Requests that its queue takes.
    pub depth: u16,
}

impl Export {
    /// A disk at an address, with a queue as deep as the buffer count that is advertised by default.
    #[must_use]
    pub fn new(address: Address, disk: impl Backend<BytesMut> + 'static) -> Self {
        let options = TargetOptions::new(address);
        Self { depth: options.buffer_count, options, disk: Arc::new(disk) }
    }
}

/// A process that serves disks.
pub struct TargetHost {
    exports: Vec<(Export, Arc<Mutex<State>>)>,
    wake: Wake,
    server: Option<Server<SimLink>>,
    ids: Vec<TargetId>,
}

impl TargetHost {
    pub(crate) fn new(net: &Network, stations: &[StationId], exports: Vec<Export>) -> Self {
        let exports = exports.into_iter().map(|export| (export, Arc::default())).collect();
        let mut host = Self { exports, wake: Wake::new(stations), server: None, ids: Vec::new() };
        host.start(net);
        host
    }

    /// The server, while the process lives. It is turned soon.
    pub fn server(&mut self) -> Option<&mut Server<SimLink>> {
        self.wake.poke();
        self.server.as_mut()
    }

    /// The names of the exports at the server, in their order.
    #[must_use]
    pub fn ids(&self) -> &[TargetId] {
        &self.ids
    }

    /// The stations it serves on.
    pub fn stations(&self) -> impl Iterator<Item = StationId> {
        self.wake.stations()
    }

    /// What was stored of an export's state.
    #[must_use]
    pub fn state(&self, export: usize) -> State {
        self.exports[export].1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process at once. Requests in flight are given up; disks and stored state stay.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Forgets the stored state, as if its file had been deleted. It matters at the next start.
    pub fn forget(&mut self) {
        for (_, state) in &self.exports {
            *state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
        }
    }

    /// Starts the process, or starts it anew, with disks and stored state as they are.
    pub(crate) fn start(&mut self, net: &Network) {
        self.kill();
        let mut server = Server::new();
        let links: Vec<_> = self.wake.stations().map(|station| server.add_link(net.open(station))).collect();
        self.ids.clear();
        for (export, state) in &self.exports {
            let stored = state.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let target = Target::new(export.options.clone(), export.disk.info(), stored);
            let queue = export.disk.open_queue(export.depth).expect("a disk of a test can be opened");
            let state = Arc::clone(state);
            let save = move |new: &State| {
                *state.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
                Ok(())
            };
            let id = server.add_target(target, queue, Box::new(save), &links);
            self.ids.push(id.expect("a test gives each of its targets an address"));
        }
        self.server = Some(server);
        self.wake.poke();
    }

    pub(crate) fn next(&self, net: &Network) -> Option<Duration> {
        self.server.as_ref().and_then(|_| self.wake.next(net))
    }

    pub(crate) fn turn(&mut self, net: &Network) {
        let Some(server) = &mut self.server else { return };
        for _ in 0..TURNS {
            let progress = server.turn(net.now()).expect("links and disks of tests do not break");
            if progress.is_idle() {
                let waits = progress.stalled || progress.in_flight > 0;
                return self.wake.slept(net, waits.then(|| net.now() + DISK_POLL));
            }
        }
        panic!("a target is not idle after {TURNS} turns");
    }
}
