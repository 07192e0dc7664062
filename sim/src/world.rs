//! Everything on one clock: [`World`].

use std::cell::Cell;
use std::time::Duration;

use crate::chance::Chance;
use crate::client::{Client, ClientId};
use crate::linux::{Linux, LinuxId};
use crate::target::{Export, TargetHost};
use crate::{Network, SegmentId, StationId, replay};

/// Steps without any time passing after which something turns for nothing.
const STEPS_AT_ONCE: u32 = 100_000;

/// Names a target process of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostId(usize);

/// Targets and initiators on a network, on one clock, all from one seed.
///
/// When a test panics while it has a world, the seed, a line that runs the test again with it, and the last frames are printed.
pub struct World {
    /// The network, to be changed at any time.
    pub net: Network,
    /// Chance for the test itself.
    pub chance: Chance,
    seed: u64,
    targets: Vec<TargetHost>,
    clients: Vec<Client>,
    linuxes: Vec<Linux>,
    steps_at_once: u32,
    reported: Cell<bool>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            net: Network::new(chance.number()),
            chance,
            seed,
            targets: Vec::new(),
            clients: Vec::new(),
            linuxes: Vec::new(),
            steps_at_once: 0,
            reported: Cell::new(false),
        }
    }

    /// Starts a process that serves `exports` on each of `segments`, with an MTU of `mtu` bytes.
    pub fn add_target(
        &mut self,
        segments: &[SegmentId],
        mtu: u32,
        exports: impl IntoIterator<Item = Export>,
    ) -> HostId {
        let stations = self.add_stations(segments, mtu);
        // Numbers of its own, so that what is stored draws none of those that the rest follows from.
        let seed = self.seed ^ (self.targets.len() as u64 + 1) << 32;
        self.targets.push(TargetHost::new(&self.net, &stations, exports.into_iter().collect(), seed));
        HostId(self.targets.len() - 1)
    }

    /// Starts an initiator with a link to each of `segments`, with an MTU of `mtu` bytes.
    pub fn add_initiator(&mut self, segments: &[SegmentId], mtu: u32) -> ClientId {
        let stations = self.add_stations(segments, mtu);
        self.clients.push(Client::new(&self.net, &stations, self.chance.number()));
        ClientId(self.clients.len() - 1)
    }

    /// Starts a machine with the Linux driver's habits, with an interface on each of `segments`.
    pub fn add_linux(&mut self, segments: &[SegmentId], mtu: u32) -> LinuxId {
        let stations = self.add_stations(segments, mtu);
        self.linuxes.push(Linux::new(&self.net, &stations));
        LinuxId(self.linuxes.len() - 1)
    }

    /// A machine with the Linux driver's habits.
    pub fn linux(&mut self, id: LinuxId) -> &mut Linux {
        &mut self.linuxes[id.0]
    }

    /// A target process.
    pub fn target(&mut self, id: HostId) -> &mut TargetHost {
        &mut self.targets[id.0]
    }

    /// An initiator process.
    pub fn client(&mut self, id: ClientId) -> &mut Client {
        &mut self.clients[id.0]
    }

    /// A target that is not turned for being looked at.
    pub(crate) fn target_unpoked(&mut self, id: HostId) -> &mut TargetHost {
        &mut self.targets[id.0]
    }

    /// An initiator that is not turned for being looked at.
    pub(crate) fn client_unpoked(&mut self, id: ClientId) -> &mut Client {
        &mut self.clients[id.0]
    }

    /// A machine that is not turned for being looked at.
    pub(crate) fn linux_unpoked(&mut self, id: LinuxId) -> &mut Linux {
        &mut self.linuxes[id.0]
    }

    /// Ends a target process at once. Its disks and its stored state stay.
    pub fn kill_target(&mut self, id: HostId) {
        self.targets[id.0].kill();
    }

    /// Starts a target process anew, ended or not, with its disks and its stored state.
    ///
    /// # Panics
    ///
    /// When the stored state cannot be used.
    pub fn restart_target(&mut self, id: HostId) {
        self.try_restart_target(id).expect("a state that can be used");
    }

    /// The same; it does not start when its stored state cannot be used.
    ///
    /// # Errors
    ///
    /// What is wrong with the state.
    pub fn try_restart_target(&mut self, id: HostId) -> Result<(), String> {
        self.targets[id.0].start(&self.net)
    }

    /// The time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.net.now()
    }

    /// Goes on to the next thing that happens, and has each process turn that has a reason to. False when nothing will ever happen.
    ///
    /// # Panics
    ///
    /// When a process turns without end.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next() else { return false };
        self.steps_at_once = if at > self.now() { 0 } else { self.steps_at_once + 1 };
        assert!(
            self.steps_at_once < STEPS_AT_ONCE,
            "no time passes any more: {}\n{}",
            self.who(),
            self.report()
        );
        self.net.advance(at);
        let now = Some(self.now());
        for target in &mut self.targets {
            if target.next(&self.net) == now {
                target.turn(&self.net);
            }
        }
        for client in &mut self.clients {
            if client.next(&self.net) == now {
                client.turn(&self.net);
            }
        }
        for linux in &mut self.linuxes {
            if linux.next(&self.net) == now {
                linux.turn(&self.net);
            }
        }
        true
    }

    /// Steps until `reached`.
    ///
    /// # Panics
    ///
    /// When that takes longer than `limit`, or nothing happens any more.
    pub fn run_until(&mut self, mut reached: impl FnMut(&mut Self) -> bool, limit: Duration) {
        let end = self.now() + limit;
        while !reached(self) {
            match self.next() {
                Some(at) if at <= end => drop(self.step()),
                Some(_) => panic!("not reached in {limit:?}\n{}", self.report()),
                None => panic!("not reached, and nothing happens any more\n{}", self.report()),
            }
        }
    }

    /// Lets time pass, with all that happens meanwhile.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.next().is_some_and(|at| at <= end) {
            self.step();
        }
        self.net.advance(end);
    }

    /// Prints nothing when there is a panic: somebody else does.
    pub(crate) fn keep_quiet(&self) {
        self.reported.set(true);
    }

    /// The last frames, the figures, and the line that runs this again: what to read when something is wrong.
    #[must_use]
    pub fn report(&self) -> String {
        self.reported.set(true);
        let (trace, stats) = (self.net.trace(), self.net.stats());
        format!("{trace}at {:?}, {stats:?}\nagain: {}", self.now(), replay(self.seed))
    }

    /// Who has a reason to turn now.
    fn who(&self) -> String {
        let now = Some(self.now());
        let is_due = |next: Option<Duration>| next <= now && next.is_some();
        let targets: Vec<_> = self.targets.iter().map(|target| is_due(target.next(&self.net))).collect();
        let clients: Vec<_> = self.clients.iter().map(|client| is_due(client.next(&self.net))).collect();
        let linuxes: Vec<_> = self.linuxes.iter().map(|linux| is_due(linux.next(&self.net))).collect();
        format!("targets {targets:?}, initiators {clients:?}, Linux {linuxes:?}")
    }

    /// When the next thing happens.
    pub(crate) fn next(&self) -> Option<Duration> {
        let targets = self.targets.iter().filter_map(|target| target.next(&self.net));
        let clients = self.clients.iter().filter_map(|client| client.next(&self.net));
        let linuxes = self.linuxes.iter().filter_map(|linux| linux.next(&self.net));
        targets.chain(clients).chain(linuxes).chain(self.net.next_arrival()).min()
    }

    fn add_stations(&mut self, segments: &[SegmentId], mtu: u32) -> Vec<StationId> {
        segments.iter().map(|segment| self.net.add_station(*segment, mtu)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.reported.get() {
            eprintln!("{}", self.report());
        }
    }
}
