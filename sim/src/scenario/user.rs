//! An initiator, and what it was promised: [`User`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aoe_initiator::{AttachOptions, Event, RemoteId};
use aoe_wire::Address;
use bdev::{Extent, Io, SECTOR_SIZE, Submit};

use super::plan::{Op, REGION, UserPlan};
use crate::{ClientId, History, LinuxId, SegmentId, World, content, stamp_of};

/// Requests in flight at most.
const DEPTH: usize = 6;

/// For how long nothing is asked of sectors after a request for them has failed: some of its frames may still be on their way.
const COOLING: Duration = Duration::from_secs(5);

/// Beyond all faults, and before everything counts as stuck.
const DEADLINE: Duration = Duration::from_secs(600);

pub(super) struct User {
    number: usize,
    driver: Driver,
    disks: Vec<Address>,
    /// Of each disk, the sectors that nobody else writes.
    own: Vec<Vec<History>>,
    /// Whether a reply to a write promises that it is durable.
    durable: Vec<bool>,
    /// Whether what was discarded reads as zeros.
    zeroes: Vec<bool>,
    queue: VecDeque<(usize, Op)>,
    flying: BTreeMap<u64, Flying>,
    cooling: Vec<(Duration, usize, Extent)>,
    /// Numbers requests and power cuts, those of all disks.
    clock: u64,
    pub(super) asked: u64,
}

enum Driver {
    Own(ClientId, Vec<RemoteId>),
    Linux(LinuxId),
}

struct Flying {
    disk: usize,
    op: Op,
    /// For a flush: of each sector, the write that it is to make durable.
    before: Vec<u64>,
}

impl User {
    pub(super) fn new(
        number: usize,
        plan: &UserPlan,
        world: &mut World,
        segments: &[SegmentId],
        disks: &[(Address, bool, bool)],
    ) -> Self {
        let links: Vec<_> = plan.links.iter().map(|link| segments[*link]).collect();
        let driver = match plan.linux {
            Some(replies) => {
                let id = world.add_linux(&links, plan.mtu);
                disks.iter().for_each(|(address, ..)| world.linux(id).open(*address, replies));
                Driver::Linux(id)
            }
            None => {
                let id = world.add_initiator(&links, plan.mtu);
                let options = AttachOptions { deadline: DEADLINE, ..AttachOptions::default() };
                let attach = |(address, ..): &(Address, bool, bool)| {
                    world.client(id).initiator().attach(*address, options.clone())
                };
                Driver::Own(id, disks.iter().map(attach).collect())
            }
        };
        Self {
            number,
            driver,
            disks: disks.iter().map(|(address, ..)| *address).collect(),
            own: disks.iter().map(|_| vec![History::default(); REGION as usize]).collect(),
            durable: disks.iter().map(|(_, durable, _)| *durable).collect(),
            zeroes: disks.iter().map(|(.., zeroes)| *zeroes).collect(),
            queue: VecDeque::new(),
            flying: BTreeMap::new(),
            cooling: Vec::new(),
            clock: 0,
            asked: 0,
        }
    }

    /// Its handle on a disk, for settings. Only `aoe-initiator` has one.
    pub(super) fn remote(&self, disk: usize) -> Option<(ClientId, RemoteId)> {
        match &self.driver {
            Driver::Own(id, remotes) => Some((*id, remotes[disk])),
            Driver::Linux(_) => None,
        }
    }

    pub(super) fn stations(&self, world: &mut World) -> Vec<crate::StationId> {
        match &self.driver {
            Driver::Own(id, _) => world.client(*id).stations().collect(),
            Driver::Linux(id) => world.linux(*id).stations().collect(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flying.is_empty()
    }

    /// When something may begin that has only waited for time to pass.
    pub(super) fn next(&self) -> Option<Duration> {
        self.cooling.iter().filter(|_| !self.queue.is_empty()).map(|(until, ..)| *until).min()
    }

    pub(super) fn ask(&mut self, disk: usize, op: Op) {
        self.queue.push_back((disk, op));
        self.asked += 1;
    }

    /// Reads all that it has.
    pub(super) fn ask_everything(&mut self) {
        for disk in 0..self.disks.len() {
            self.ask(disk, Op::Read(Extent::new(self.number as u64 * REGION, REGION as u32)));
        }
    }

    /// The power of a disk has failed.
    pub(super) fn cut(&mut self, disk: usize) {
        self.clock += 1;
        let clock = self.clock;
        let flying = &self.flying;
        self.own[disk]
            .iter_mut()
            .for_each(|history| history.cut(clock, |number| flying.contains_key(&number)));
    }

    /// A sync of a disk has failed.
    pub(super) fn given_up(&mut self, disk: usize) {
        self.own[disk].iter_mut().for_each(History::given_up);
    }

    /// A disk's write cache is about to be switched on: from now on nobody but the target knows what a reply promises.
    pub(super) fn expect_cache(&mut self, disk: usize) {
        self.durable[disk] = false;
    }

    /// Begins what may begin, and judges what has ended.
    pub(super) fn turn(&mut self, world: &mut World) -> Result<(), String> {
        let now = world.now();
        for (id, result) in self.ends(world) {
            self.ended(now, id, result).map_err(|wrong| format!("user {}: {wrong}", self.number))?;
        }
        self.cooling.retain(|(until, ..)| *until > now);
        while self.flying.len() < DEPTH
            && let Some((disk, op)) = self.queue.front().copied()
            && self.may_begin(disk, op)
            && self.begin(world, disk, op)
        {
            self.queue.pop_front();
        }
        Ok(())
    }

    fn may_begin(&self, disk: usize, op: Op) -> bool {
        let Some(extent) = extent(op).filter(|extent| self.is_own(*extent)) else { return true };
        let flying = self.flying.values().filter_map(|flying| Some((flying.disk, extent_of(flying)?)));
        let cooling = self.cooling.iter().map(|(_, disk, extent)| (*disk, *extent));
        !flying.chain(cooling).any(|(other, busy)| other == disk && busy.overlaps(extent))
    }

    /// Whether it could be begun.
    fn begin(&mut self, world: &mut World, disk: usize, op: Op) -> bool {
        let op = match (&self.driver, op) {
            // The driver has no such writes.
            (Driver::Linux(_), Op::Write(extent, _)) => Op::Write(extent, false),
            (_, op) => op,
        };
        let id = self.clock + 1;
        // Other users have other stamps.
        let stamp = id << 8 | self.number as u64;
        let data = |extent: Extent| -> Vec<u8> {
            (extent.lba..extent.end()).flat_map(|lba| content(stamp, lba)).collect()
        };
        match &self.driver {
            Driver::Own(client, remotes) => {
                let view = world.client_unpoked(*client).view();
                if view.remote(remotes[disk]).is_none_or(|remote| remote.disk().is_none()) {
                    return false;
                }
                let io = match op {
                    Op::Read(extent) => Io::read(extent, vec![0xee; extent.bytes()], 0),
                    Op::Write(extent, fua) => Io::new(bdev::Op::Write { fua }, extent, data(extent), 0),
                    Op::Trim(extent) => Io::new(bdev::Op::Discard, extent, Vec::new(), 0),
                    Op::Flush => Io::flush(Vec::new()),
                };
                match world.client(*client).initiator().submit(remotes[disk], io.with_tag(id)) {
                    Submit::Queued => {}
                    // A flush of a disk without cache, a TRIM of one that has none.
                    Submit::Done(_) => return true,
                    Submit::Full(io) => {
                        drop(io.abandon());
                        return false;
                    }
                }
            }
            Driver::Linux(linux) => match op {
                Op::Read(extent) => world.linux(*linux).read(self.disks[disk], id, extent),
                Op::Write(extent, _) => world.linux(*linux).write(self.disks[disk], id, extent, data(extent)),
                Op::Trim(_) | Op::Flush => return true,
            },
        }
        self.clock = id;
        match op {
            Op::Write(extent, _) => {
                self.histories(disk, extent).for_each(|(_, history)| history.write(id, stamp));
            }
            Op::Trim(extent) => self.histories(disk, extent).for_each(|(_, history)| history.write(id, 0)),
            Op::Read(_) | Op::Flush => {}
        }
        let before = match op {
            Op::Flush => self.own[disk].iter().map(History::latest).collect(),
            _ => Vec::new(),
        };
        self.flying.insert(id, Flying { disk, op, before });
        true
    }

    fn ends(&mut self, world: &mut World) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut ends = Vec::new();
        match &mut self.driver {
            Driver::Own(id, remotes) => {
                let client = world.client_unpoked(*id);
                let mut again = Vec::new();
                while let Some((_, event)) = client.event() {
                    match event {
                        Event::Done(_, completion) => {
                            let (id, good) = (completion.done.tag(), completion.done.status().is_ok());
                            ends.push((id, good.then(|| completion.done.into_buf())));
                        }
                        Event::Failed(remote, _) => again.push(remote),
                        _ => {}
                    }
                }
                for remote in again {
                    let Some(at) = remotes.iter().position(|known| *known == remote) else { continue };
                    let options = AttachOptions { deadline: DEADLINE, ..AttachOptions::default() };
                    remotes[at] = client.initiator().attach(self.disks[at], options);
                }
            }
            Driver::Linux(id) => {
                while let Some(end) = world.linux_unpoked(*id).end() {
                    ends.push((end.id, end.result.ok()));
                }
            }
        }
        ends
    }

    fn ended(&mut self, now: Duration, id: u64, result: Option<Vec<u8>>) -> Result<(), String> {
        let Flying { disk, op, before } = self.flying.remove(&id).ok_or("a request ended twice")?;
        let Some(data) = result else {
            self.cooling.extend(extent(op).map(|extent| (now + COOLING, disk, extent)));
            return Ok(());
        };
        match op {
            Op::Read(extent) => {
                let number = self.number;
                for (lba, history) in self.histories(disk, extent) {
                    let sector = &data[(lba - extent.lba) as usize * SECTOR_SIZE..][..SECTOR_SIZE];
                    let stamp =
                        stamp_of(sector, lba).ok_or(format!("sector {lba} of disk {disk} is torn"))?;
                    history.read(id, stamp).map_err(|allowed| {
                        let allowed: Vec<u64> = allowed.into_iter().map(|stamp| stamp >> 8).collect();
                        format!(
                            "sector {lba} of disk {disk} is what request {} of user {} wrote, and should be of one of {allowed:?} of user {number}, the latest first",
                            stamp >> 8, stamp & 0xff
                        )
                    })?;
                }
            }
            Op::Write(extent, fua) => {
                let durable = fua || self.durable[disk];
                self.histories(disk, extent).for_each(|(_, history)| history.acknowledged(id, durable));
            }
            Op::Trim(extent) => {
                let durable = self.durable[disk];
                if self.zeroes[disk] {
                    self.histories(disk, extent).for_each(|(_, history)| history.acknowledged(id, durable));
                }
            }
            Op::Flush => {
                for (history, write) in self.own[disk].iter_mut().zip(before) {
                    history.survived(id, write);
                }
            }
        }
        Ok(())
    }

    fn is_own(&self, extent: Extent) -> bool {
        extent.lba / REGION == self.number as u64
    }

    /// The histories of those of these sectors that are its own.
    fn histories(&mut self, disk: usize, extent: Extent) -> impl Iterator<Item = (u64, &mut History)> {
        let own = self.is_own(extent);
        let first = self.number as u64 * REGION;
        (first..)
            .zip(&mut self.own[disk])
            .filter(move |(lba, _)| own && (extent.lba..extent.end()).contains(lba))
    }
}

fn extent(op: Op) -> Option<Extent> {
    match op {
        Op::Read(extent) | Op::Write(extent, _) | Op::Trim(extent) => Some(extent),
        Op::Flush => None,
    }
}

fn extent_of(flying: &Flying) -> Option<Extent> {
    extent(flying.op)
}
