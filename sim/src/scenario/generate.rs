//! From a seed to a plan: [`Plan::generate`].

use std::time::Duration;

use bdev::Extent;

use super::plan::{Cache, Deed, DiskPlan, HostPlan, Interface, Op, Plan, REGION, Segment, Step, UserPlan};
use crate::{Chance, Trouble, Weather};

const MS: Duration = Duration::from_millis(1);

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn generate(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed_0f91_a715_0b5e);
        let mut draw = Draw { chance: &mut chance };
        let segments = draw.up_to(1, 3);
        let length = draw.time(2_000, 12_000);
        let mtu = draw.pick(&[1500, 9000]);
        let hosts: Vec<HostPlan> =
            (0..draw.up_to(1, 2)).map(|_| HostPlan { links: draw.links(segments), mtu }).collect();
        let disks: Vec<DiskPlan> =
            (0..draw.up_to(hosts.len(), 3)).map(|number| draw.disk(number % hosts.len())).collect();
        let users = (0..draw.up_to(2, 4)).map(|number| draw.user(number, segments, mtu)).collect();
        let mut plan = Self {
            seed,
            segments: (0..segments).map(|_| draw.segment()).collect(),
            hosts,
            disks,
            users,
            steps: Vec::new(),
            length,
        };
        draw.requests(&mut plan);
        draw.faults(&mut plan);
        plan.steps.sort_by_key(|step| step.at);
        plan
    }
}

struct Draw<'a> {
    chance: &'a mut Chance,
}

impl Draw<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.chance.below(bound as u64) as usize
    }

    fn up_to(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most.saturating_sub(least) + 1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A time between these milliseconds.
    fn time(&mut self, least: u64, most: u64) -> Duration {
        self.chance.time(Duration::from_millis(least), Duration::from_millis(most))
    }

    /// The first segment, which all share, and perhaps others.
    fn links(&mut self, segments: usize) -> Vec<usize> {
        (0..segments).filter(|segment| *segment == 0 || self.chance.happens(800)).collect()
    }

    /// What a network does that a target cannot be asked to see through: a request is doubled or held back, not both, and not held for as
    /// long as it takes to be sent again. Replies may suffer anything.
    fn segment(&mut self) -> Segment {
        let harm = self.pick(&[0, 0, 5, 20, 50]);
        let requests = match self.below(2) {
            0 => Weather { loss: harm, duplicate: harm, ..Weather::NONE },
            _ => Weather { loss: harm, reorder: harm, held: MS / 2, ..Weather::NONE },
        };
        Segment { requests, replies: Weather { held: 50 * MS, ..Weather::rough(harm) } }
    }

    fn disk(&mut self, host: usize) -> DiskPlan {
        let us = Duration::from_micros;
        let latency = self.pick(&[
            (us(0), us(0)),
            (us(50), us(2_000)),
            (us(100), us(20_000)),
            (us(1_000), us(400_000)),
        ]);
        let cache = self.pick(&[Cache::Writethrough, Cache::Writeback, Cache::Directsync]);
        let (depth, discards) = (self.pick(&[4, 16, 64]), self.pick(&[None, Some(true), Some(false)]));
        DiskPlan { host, cache, latency, depth, discards }
    }

    fn user(&mut self, number: usize, segments: usize, mtu: u32) -> UserPlan {
        let linux =
            (number != 0 && self.chance.happens(600)).then(|| self.pick(&[0, 200, 1_000, 3_000, 3_000]));
        UserPlan { linux, links: self.links(segments), mtu }
    }

    fn requests(&mut self, plan: &mut Plan) {
        let (users, disks) = (plan.users.len(), plan.disks.len());
        for _ in 0..self.up_to(30, 250) {
            // In bunches, so that they meet.
            let (user, disk) = (self.below(users), self.below(disks));
            let mut at = self.chance.time(Duration::ZERO, plan.length);
            for _ in 0..self.up_to(1, 4) {
                let op = self.op(user, users);
                plan.steps.push(Step { at, deed: Deed::Ask { user, disk, op } });
                at += self.chance.time(Duration::ZERO, 2 * MS);
            }
        }
    }

    fn op(&mut self, user: usize, users: usize) -> Op {
        let extent = self.extent(user, users);
        match self.below(21) {
            0..9 => Op::Write(extent, false),
            9 => Op::Write(extent, true),
            10..12 => Op::Flush,
            20 => Op::Trim(extent),
            _ => Op::Read(extent),
        }
    }

    /// Sectors of a user's own, or of those that are everybody's.
    fn extent(&mut self, user: usize, users: usize) -> Extent {
        let region = if self.chance.happens(600) { user } else { users };
        let sectors = self.up_to(1, 8) as u64;
        let lba = region as u64 * REGION + self.chance.below(REGION - sectors + 1);
        Extent::new(lba, sectors as u32)
    }

    fn faults(&mut self, plan: &mut Plan) {
        let count = self.pick(&[0, 3, 8, 16]);
        for _ in 0..count {
            let at = self.chance.time(Duration::ZERO, plan.length);
            let deed = self.fault(plan);
            plan.steps.push(Step { at, deed });
            self.more(plan, at, deed);
        }
    }

    /// What makes a fault tell.
    fn more(&mut self, plan: &mut Plan, at: Duration, deed: Deed) {
        let users = plan.users.len();
        match deed {
            // What a failed sync has given up is lost with the power; a process that starts anew knows nothing of it.
            Deed::Fail(disk, Trouble { sync: true, .. }, time) => {
                let host = plan.disks[disk].host;
                let next =
                    self.pick(&[Some(Deed::Cut(host, 50 * MS)), Some(Deed::Kill(host, 50 * MS)), None]);
                plan.steps.extend(next.map(|deed| Step { at: at + time, deed }));
                let flushes = (0..6).map(|_| self.time(0, 1_500));
                let flush = |at| Step { at, deed: Deed::Ask { user: 0, disk, op: Op::Flush } };
                plan.steps.extend(flushes.map(|later| flush(at + later)).collect::<Vec<_>>());
            }
            Deed::CutInStore(disk, ..) => {
                plan.steps.push(Step { at: at + MS, deed: Deed::Config(disk, self.chance.number() as u32) });
            }
            // Changed in the midst of writes.
            Deed::Config(disk, _) | Deed::Mask(disk, _) | Deed::Reserve(disk, _) => {
                for _ in 0..self.below(4) {
                    let user = self.below(users);
                    let op = Op::Write(self.extent(user, users), false);
                    plan.steps.push(Step { at, deed: Deed::Ask { user, disk, op } });
                }
            }
            // Everybody writes the same, by links that are a few milliseconds apart.
            Deed::Unread(host, _, time) if time < 10 * MS => {
                let disk = plan.disks.iter().position(|disk| disk.host == host).unwrap_or(0);
                for user in (0..users).chain(0..users) {
                    let at = at + self.chance.time(Duration::ZERO, time);
                    let op = Op::Write(Extent::new(users as u64 * REGION, 4), false);
                    plan.steps.push(Step { at, deed: Deed::Ask { user, disk, op } });
                }
            }
            _ => {}
        }
    }

    fn fault(&mut self, plan: &Plan) -> Deed {
        let (host, disk) = (self.below(plan.hosts.len()), self.below(plan.disks.len()));
        let bits = self.below(1 << plan.users.len()) as u32;
        match self.below(18) {
            16 => Deed::WriteCache(disk, self.chance.happens(500)),
            17 => Deed::Unread(host, self.below(plan.hosts[host].links.len()), self.time(2, 9)),
            0 => Deed::Config(disk, self.chance.number() as u32),
            1 | 2 => Deed::Mask(disk, bits),
            3 => Deed::Reserve(disk, bits),
            4 => Deed::Kill(host, self.time(50, 1_500)),
            5 | 6 => Deed::Cut(host, self.time(50, 1_500)),
            7 => Deed::CutInStore(disk, self.below(8) as u32, self.time(50, 500)),
            8 => Deed::Stop(host, self.time(20, 3_000)),
            9 => Deed::Down(self.interface(plan), self.time(1, 2_000)),
            10 => {
                let mtu = self.pick(&[1500, 4000, 9000]);
                Deed::Mtu(self.interface(plan), mtu, self.time(100, 3_000))
            }
            11..13 => Deed::Unread(host, self.below(plan.hosts[host].links.len()), self.time(100, 900)),
            13 => Deed::NoRoom(disk, self.time(100, 3_000)),
            _ => Deed::Fail(disk, self.trouble(plan), self.time(10, 1_000)),
        }
    }

    fn interface(&mut self, plan: &Plan) -> Interface {
        if self.chance.happens(500) {
            let host = self.below(plan.hosts.len());
            return Interface::Host(host, self.below(plan.hosts[host].links.len()));
        }
        let user = self.below(plan.users.len());
        Interface::User(user, self.below(plan.users[user].links.len()))
    }

    fn trouble(&mut self, plan: &Plan) -> Trouble {
        let sectors = (plan.users.len() as u64 + 1) * REGION;
        let from = self.chance.below(sectors);
        match self.below(4) {
            0 | 1 => Trouble { medium: Some(Extent::new(from, 8)), ..Trouble::default() },
            2 => Trouble { full_from: Some(from), ..Trouble::default() },
            _ => Trouble { sync: true, ..Trouble::default() },
        }
    }
}
