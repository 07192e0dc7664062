//! Processes that serve disks: [`TargetHost`], and what they serve, [`Export`].

use std::sync::Arc;
use std::time::Duration;

use aoe_target::{Address, Backend, Sabotage, Server, State, Target, TargetId, TargetOptions};
use bytes::BytesMut;

use crate::wake::Wake;
use crate::{Network, Power, SimLink, StationId, Store};

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
    exports: Vec<(Export, Store)>,
    wake: Wake,
    server: Option<Server<SimLink>>,
    ids: Vec<TargetId>,
    power: Power,
    stopped: bool,
    sabotage: Sabotage,
    /// Its disks tell by the network's clock when they end what they have, so that it need not look.
    told: bool,
}

impl TargetHost {
    pub(crate) fn new(net: &Network, stations: &[StationId], exports: Vec<Export>, seed: u64) -> Self {
        let power = Power::default();
        let stored = |(number, export): (u64, Export)| {
            let store = Store::new(export.options.address, seed.wrapping_add(number), &power);
            (export, store)
        };
        let mut host = Self {
            exports: (0..).zip(exports).map(stored).collect(),
            wake: Wake::new(stations),
            server: None,
            ids: Vec::new(),
            power,
            stopped: false,
            sabotage: Sabotage::default(),
            told: false,
        };
        host.start(net).expect("nothing is stored yet");
        host
    }

    /// The server, while the process lives. It is turned soon.
    pub fn server(&mut self) -> Option<&mut Server<SimLink>> {
        self.wake.poke();
        self.server.as_mut()
    }

    /// Whether the process lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.server.is_some()
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

    /// Where an export's state is kept.
    #[must_use]
    pub fn store(&self, export: usize) -> &Store {
        &self.exports[export].1
    }

    /// The power of the machine: it is off when it failed while a state was stored.
    #[must_use]
    pub fn power(&self) -> &Power {
        &self.power
    }

    /// What was stored of an export's state.
    ///
    /// # Panics
    ///
    /// When that cannot be used.
    #[must_use]
    pub fn state(&self, export: usize) -> State {
        self.store(export).load().expect("a state that can be used")
    }

    /// Takes protections away from its targets, now and at each start.
    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
        if let Some(server) = &mut self.server {
            server.sabotage(sabotage);
        }
    }

    /// Has it sleep until a disk is due that says so by the network's clock, as [`Lag`](crate::Lag) does, and not look again and again.
    pub fn sleep_until_due(&mut self) {
        self.told = true;
    }

    /// Ends the process at once. Requests in flight are given up; disks and stored state stay.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Stops the process as `SIGSTOP` does, or lets it go on.
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
        self.wake.poke();
    }

    /// Forgets the stored state, as if its file had been deleted. It matters at the next start.
    pub fn forget(&mut self) {
        self.exports.iter().for_each(|(_, store)| store.clear());
    }

    /// Starts the process, or starts it anew, with disks and stored state as they are.
    pub(crate) fn start(&mut self, net: &Network) -> Result<(), String> {
        self.kill();
        self.power.set_off(false);
        self.ids.clear();
        let stored: Vec<State> =
            self.exports.iter().map(|(_, store)| store.load()).collect::<Result<_, _>>()?;
        let mut server = Server::new();
        let links: Vec<_> =
            self.wake.stations().map(|id| server.add_link(net.open_powered(id, &self.power))).collect();
        for ((export, store), stored) in self.exports.iter().zip(stored) {
            let target = Target::new(export.options.clone(), export.disk.info(), stored);
            let queue = export.disk.open_queue(export.depth).expect("a disk of a test can be opened");
            let store = store.clone();
            let id = server.add_target(target, queue, Box::new(move |state| store.save(state)), &links);
            self.ids.push(id.expect("a test gives each of its targets an address"));
        }
        server.sabotage(self.sabotage);
        self.server = Some(server);
        self.wake.poke();
        Ok(())
    }

    pub(crate) fn next(&self, net: &Network) -> Option<Duration> {
        self.server
            .as_ref()
            .filter(|_| !self.stopped && !self.power.is_off())
            .and_then(|_| self.wake.next(net))
    }

    pub(crate) fn turn(&mut self, net: &Network) {
        let Some(server) = &mut self.server else { return };
        for _ in 0..TURNS {
            net.begin_turn();
            let progress = server.turn(net.now()).expect("links and disks of tests do not break");
            if progress.is_idle() || self.power.is_off() {
                let poll = net.now() + DISK_POLL;
                // A full queue has room when something ends.
                let due = net.clock().next_due().filter(|_| self.told);
                let waits = progress.stalled || progress.in_flight > 0;
                return self.wake.slept(net, waits.then(|| due.unwrap_or(poll)));
            }
        }
        panic!("a target is not idle after {TURNS} turns");
    }
}
