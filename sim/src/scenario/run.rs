//! Carrying a plan out, and judging it: [`run`].

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use aoe_target::Sabotage;
use aoe_wire::Address;
use bdev::Inline;

use super::plan::{Cache, Mutation, Plan, REGION};
use super::tally::Tally;
use super::user::User;
use super::wire::Wire;
use crate::{Chance, CrashDisk, Export, HostId, Lag, Way, World};

/// How long it is waited for what was asked when all faults have ended: the driver's first retransmission takes 16.5 seconds, and a lost one
/// as long again.
const PATIENCE: Duration = Duration::from_secs(400);

/// Until what is late can be told from what is forgotten.
const QUIET: Duration = Duration::from_secs(5);

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was broken, if anything.
    pub broken: Option<String>,
    /// What happened.
    pub tally: Tally,
    /// Two runs with equal digests had the same frames at the same times.
    pub digest: u64,
    /// The last frames.
    pub frames: String,
}

/// Carries a plan out, until it ends or something is broken; with a protection taken away, if one is named.
#[must_use]
pub fn run(plan: &Plan, mutation: Option<Mutation>) -> Outcome {
    let mut run = Run::new(plan, mutation);
    run.world.keep_quiet();
    // A panic of an engine is a finding like any other.
    let result = catch_unwind(AssertUnwindSafe(|| run.carry_out()));
    let broken = result.unwrap_or_else(|panic| Err(format!("panic: {}", message(&*panic)))).err();
    run.tally.scenarios = 1;
    run.tally.time = run.world.now();
    run.tally.asked = run.users.iter().map(|user| user.asked).sum();
    run.tally.requests = run.disks.iter().map(|disk| disk.wire.requests).sum();
    let struck = run.disks.iter().map(|disk| disk.disk.disk().struck()).sum();
    run.tally.count("disk requests that failed", struck);
    run.tally.count_net(run.world.net.stats());
    Outcome { broken, tally: run.tally, digest: run.world.net.digest(), frames: run.world.net.trace() }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

pub(super) struct Run<'p> {
    pub(super) plan: &'p Plan,
    pub(super) world: World,
    pub(super) hosts: Vec<HostId>,
    pub(super) disks: Vec<Disk>,
    pub(super) users: Vec<User>,
    /// What ends when: the number of a step.
    pub(super) ends: BTreeMap<(Duration, usize), usize>,
    pub(super) tally: Tally,
    /// For how long a host stays without power whose power fails while it stores.
    pub(super) dark: Vec<Duration>,
}

pub(super) struct Disk {
    pub(super) host: usize,
    /// Its number among those of its host.
    pub(super) export: usize,
    pub(super) disk: Arc<Inline<CrashDisk>>,
    pub(super) wire: Wire,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, mutation: Option<Mutation>) -> Self {
        let mut world = World::new(plan.seed);
        let mut chance = Chance::new(plan.seed ^ 0xd15c);
        let segments: Vec<_> = plan.segments.iter().map(|_| world.net.add_segment()).collect();
        let sectors = (plan.users.len() as u64 + 1) * REGION;
        let (mut hosts, mut disks, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for (host, setting) in plan.hosts.iter().enumerate() {
            let mut exports = Vec::new();
            for (number, disk) in plan.disks.iter().enumerate().filter(|(_, disk)| disk.host == host) {
                let address = Address::new(7, number as u8);
                let mut crash =
                    CrashDisk::new(sectors as usize, disk.cache != Cache::Directsync, chance.number());
                if let Some(zeroes) = disk.discards {
                    crash = crash.with_discard(zeroes);
                }
                if mutation == Some(Mutation::DurableReply) {
                    crash = crash.ignoring_fua();
                }
                let crash = Arc::new(Inline::new(crash));
                let lag = Lag::new(Arc::clone(&crash), world.net.clock(), disk.latency, chance.number());
                let mut export = Export::new(address, lag);
                export.options.write_cache = disk.cache == Cache::Writeback;
                export.depth = disk.depth;
                disks.push((number, exports.len(), address, crash));
                exports.push(export);
            }
            let links: Vec<_> = setting.links.iter().map(|link| segments[*link]).collect();
            let id = world.add_target(&links, setting.mtu, exports);
            world.target(id).sleep_until_due();
            world.target(id).sabotage(sabotage(mutation));
            for (link, station) in setting.links.iter().zip(world.target(id).stations().collect::<Vec<_>>()) {
                world.net.set_station_weather(station, Way::In, plan.segments[*link].requests);
                world.net.set_station_weather(station, Way::Out, plan.segments[*link].replies);
                world.net.watch(station);
            }
            hosts.push(id);
        }
        disks.sort_by_key(|(number, ..)| *number);
        let disks: Vec<_> = disks
            .into_iter()
            .zip(&plan.disks)
            .map(|((_, export, address, disk), setting)| {
                let host = world.target(hosts[setting.host]);
                if mutation == Some(Mutation::AtomicStateFile) {
                    host.store(export).write_in_place();
                }
                let stations: Vec<_> = host.stations().collect();
                let durable = setting.cache != Cache::Writeback;
                addresses.push((address, durable, setting.discards == Some(true)));
                Disk {
                    host: setting.host,
                    export,
                    disk,
                    wire: Wire::new(address, &stations, sectors, durable, setting.discards == Some(true)),
                }
            })
            .collect();
        let user = |(number, setting)| User::new(number, setting, &mut world, &segments, &addresses);
        let users = plan.users.iter().enumerate().map(user).collect();
        let dark = vec![Duration::ZERO; hosts.len()];
        Self { plan, world, hosts, disks, users, ends: BTreeMap::new(), tally: Tally::default(), dark }
    }

    fn carry_out(&mut self) -> Result<(), String> {
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.run_to(step.at)?;
            self.begin(number, step)?;
        }
        self.run_to(self.plan.length)?;
        self.heal()?;
        self.settle("while all goes well, some requests never end")?;
        self.users.iter_mut().for_each(User::ask_everything);
        self.settle("at the end, some reads never end")?;
        let quiet = self.world.now() + QUIET;
        self.run_to(quiet)?;
        for disk in &mut self.disks {
            disk.wire.closed(|lba| disk.disk.disk().sector(lba))?;
        }
        Ok(())
    }

    /// Runs until everything that was asked has ended.
    fn settle(&mut self, else_: &str) -> Result<(), String> {
        let end = self.world.now() + PATIENCE;
        while !self.users.iter().all(User::is_idle) {
            if self.world.now() >= end {
                return Err(else_.into());
            }
            let next = self.next().map_or(end, |next| next.min(end));
            self.run_to(next.max(self.world.now()) + Duration::from_nanos(1))?;
        }
        Ok(())
    }

    fn next(&self) -> Option<Duration> {
        let end = self.ends.keys().next().map(|(at, _)| *at);
        let users = self.users.iter().filter_map(User::next);
        users.chain(end).chain(self.world.next()).min()
    }

    /// Lets time pass, and judges what happens.
    pub(super) fn run_to(&mut self, time: Duration) -> Result<(), String> {
        loop {
            self.look()?;
            let Some(next) = self.next().filter(|next| *next < time) else { break };
            if self.world.next() == Some(next) || self.world.next().is_some_and(|other| other <= next) {
                self.world.step();
            } else {
                self.world.net.advance(next);
            }
            while let Some(entry) = self.ends.first_entry().filter(|entry| entry.key().0 <= self.world.now())
            {
                let number = entry.remove();
                self.end(number)?;
            }
        }
        self.world.net.advance(time);
        Ok(())
    }

    /// Judges what passed between processes and their interfaces.
    pub(super) fn look_at_wires(&mut self) -> Result<(), String> {
        for at in 0..self.disks.len() {
            let host = self.world.target_unpoked(self.hosts[self.disks[at].host]);
            let attempts = host.store(self.disks[at].export).take_attempts();
            self.disks[at].wire.attempted(attempts);
            if self.disks[at].disk.disk().take_gave_up() {
                self.disks[at].wire.given_up();
                self.users.iter_mut().for_each(|user| user.given_up(at));
            }
        }
        for note in self.world.net.take_notes() {
            for disk in &mut self.disks {
                disk.wire.note(&note)?;
            }
        }
        for disk in &mut self.disks {
            disk.wire.judge()?;
        }
        Ok(())
    }

    /// Looks at what processes took, sent and told since the last look.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.look_at_wires()?;
        for host in 0..self.hosts.len() {
            let process = self.world.target_unpoked(self.hosts[host]);
            if process.power().is_off() && process.is_alive() {
                self.tally.count("power cuts within storing a setting", 1);
                let number = self.plan.steps.len() + host;
                let back = self.world.now() + self.dark[host];
                self.cut(host)?;
                self.ends.insert((back, number), number);
            }
        }
        for user in &mut self.users {
            user.turn(&mut self.world)?;
        }
        Ok(())
    }
}

/// What a mutation takes away in the target itself.
fn sabotage(mutation: Option<Mutation>) -> Sabotage {
    let mut sabotage = Sabotage::default();
    match mutation {
        Some(Mutation::OverlapOrder) => sabotage.overlap_order = true,
        Some(Mutation::FlushOrder) => sabotage.flush_order = true,
        Some(Mutation::LateFrames) => sabotage.late_frames = true,
        Some(Mutation::LateMargin) => sabotage.late_margin = true,
        Some(Mutation::ChangeOrder) => sabotage.change_order = true,
        Some(Mutation::FailedFlush) => sabotage.failed_flush = true,
        Some(Mutation::MaskCheck) => sabotage.mask_check = true,
        Some(Mutation::DurableReply | Mutation::AtomicStateFile) | None => {}
    }
    sabotage
}
