//! Any sequence of reads and writes, in any weather: what was acknowledged last is what is read.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use aoe_initiator::AttachOptions;
use bdev::{Extent, SECTOR_SIZE, Status};
use common::{Lab, MS, OWN, S, pattern};
use proptest::prelude::*;
use sim::{Export, Lag, Way, Weather, seeds};

/// Sectors that are used, few, so that requests meet.
const USED: u64 = 60;

/// Requests in flight together.
const DEPTH: usize = 8;

/// What each sector may hold: stamps of writes, of which one is what is there. More than one after a write that failed.
struct Oracle {
    sectors: Vec<Vec<u64>>,
    /// Requests in flight: their extent, and the stamp of a write.
    flying: BTreeMap<u64, (Extent, Option<u64>)>,
}

impl Oracle {
    fn new() -> Self {
        Self { sectors: vec![vec![0]; USED as usize], flying: BTreeMap::new() }
    }

    fn is_free(&self, extent: Extent) -> bool {
        !self.flying.values().any(|(other, _)| other.overlaps(extent))
    }

    fn range(extent: Extent) -> std::ops::Range<usize> {
        extent.lba as usize..extent.end() as usize
    }

    /// Judges the end of a request; says what is wrong.
    fn ended(&mut self, tag: u64, status: Status, data: &[u8]) -> Result<(), String> {
        let (extent, stamp) = self.flying.remove(&tag).ok_or(format!("request {tag} ended twice"))?;
        let sectors = &mut self.sectors[Self::range(extent)];
        match (stamp, status) {
            (Some(stamp), Status::Ok) => sectors.iter_mut().for_each(|held| *held = vec![stamp]),
            (Some(stamp), _) => sectors.iter_mut().for_each(|held| held.push(stamp)),
            (None, Status::Ok) => {
                for ((lba, held), sector) in (extent.lba..).zip(sectors).zip(data.chunks(SECTOR_SIZE)) {
                    let found = held.iter().copied().find(|stamp| content(*stamp, lba) == sector);
                    let found = found.ok_or(format!("sector {lba} is not what was written: {held:?}"))?;
                    *held = vec![found];
                }
            }
            (None, _) => {}
        }
        Ok(())
    }
}

fn content(stamp: u64, lba: u64) -> Vec<u8> {
    if stamp == 0 { vec![0; SECTOR_SIZE] } else { pattern(stamp, lba, 1) }
}

/// What is done to the world between requests.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    weather: u16,
    mtu: u32,
    segments: usize,
    restarts: bool,
    flaps: bool,
    shrinks: bool,
    slow_disk: bool,
    in_order: bool,
}

/// Runs `count` requests and returns the digest of all that happened.
fn history(seed: u64, plan: Plan, count: u64) -> Result<u64, String> {
    let options = AttachOptions { in_order: plan.in_order, ..AttachOptions::default() };
    let mut lab = Lab::with(seed, plan.mtu, plan.segments, options, |world, disk| match plan.slow_disk {
        true => Export::new(OWN, Lag::new(disk, world.net.clock(), (MS / 20, 5 * MS), seed)),
        false => Export::new(OWN, disk),
    });
    weather(&mut lab, seed, plan.weather);
    let mut oracle = Oracle::new();
    let (mut next, mut ends) = (1, 0);
    while ends < count {
        while next <= count && oracle.flying.len() < DEPTH {
            let sectors = 1 + lab.world.chance.below(8);
            let extent = Extent::new(lab.world.chance.below(USED - sectors + 1), sectors as u32);
            if !oracle.is_free(extent) {
                break;
            }
            let write = lab.world.chance.happens(500);
            oracle.flying.insert(next, (extent, write.then_some(next)));
            match write {
                true => lab.submit_write(next, extent.lba, pattern(next, extent.lba, extent.sectors)),
                false => lab.submit_read(next, extent),
            }
            next += 1;
        }
        disturb(&mut lab, plan);
        let end = lab.done(40 * S).done;
        oracle.ended(end.tag(), end.status(), end.data().unwrap_or_default())?;
        ends += 1;
    }
    let disk = lab.disk.disk().content();
    for (lba, held) in (0..).zip(&oracle.sectors) {
        let sector = &disk[lba as usize * SECTOR_SIZE..][..SECTOR_SIZE];
        if !held.iter().any(|stamp| content(*stamp, lba) == sector) {
            return Err(format!("sector {lba} on the disk is none of {held:?}"));
        }
    }
    Ok(lab.world.net.digest())
}

/// The roughest weather in which AoE can keep its word. A request that arrives after the reply to a later sending of it undoes what was
/// written since, and neither end can tell: so a request is doubled or held back, not both, and not held for as long as it takes to be
/// sent again. Replies may suffer anything.
fn weather(lab: &mut Lab, seed: u64, per_mille: u16) {
    let requests = match seed % 2 {
        0 => Weather { loss: per_mille, duplicate: per_mille, ..Weather::NONE },
        _ => Weather { loss: per_mille, reorder: per_mille, held: MS / 2, ..Weather::NONE },
    };
    let replies = Weather { held: 50 * MS, ..Weather::rough(per_mille) };
    for segment in 0..lab.segments.len() {
        let [target, _] = lab.stations(segment);
        lab.world.net.set_station_weather(target, Way::In, requests);
        lab.world.net.set_station_weather(target, Way::Out, replies);
    }
}

/// Now and then a target restarts, a cable is pulled, an MTU changes.
fn disturb(lab: &mut Lab, plan: Plan) {
    let pause = |lab: &mut Lab, most: Duration| {
        let time = lab.world.chance.time(MS, most);
        lab.world.run_for(time);
    };
    if plan.restarts && lab.world.chance.happens(10) {
        lab.world.kill_target(lab.target);
        pause(lab, 2 * S);
        lab.world.restart_target(lab.target);
    }
    if plan.flaps && lab.world.chance.happens(10) {
        let segment = lab.world.chance.below(plan.segments as u64) as usize;
        let end = lab.world.chance.below(2) as usize;
        let station = lab.stations(segment)[end];
        lab.world.net.set_up(station, false);
        pause(lab, 2 * S);
        lab.world.net.set_up(station, true);
    }
    if plan.shrinks && lab.world.chance.happens(10) {
        let mtu = [1500, plan.mtu][lab.world.chance.below(2) as usize];
        let end = lab.world.chance.below(2) as usize;
        for segment in 0..plan.segments {
            let station = lab.stations(segment)[end];
            lab.world.net.set_mtu(station, mtu);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    let plan =
        Plan { weather: 100, mtu: 9000, segments: 2, restarts: true, slow_disk: true, ..Plan::default() };
    for seed in seeds(3) {
        let [one, two] = [0; 2].map(|_| history(seed, plan, 100).unwrap());
        assert_eq!(one, two);
    }
    assert_ne!(history(1, plan, 100), history(2, plan, 100));
}

#[test]
fn reads_return_what_was_last_acknowledged() {
    for seed in seeds(16) {
        for weather in [0, 10, 200] {
            let plan = Plan { weather, mtu: 1500, segments: 1, slow_disk: seed % 2 == 0, ..Plan::default() };
            history(seed, plan, 150).unwrap();
        }
    }
}

#[test]
fn reads_return_what_was_last_acknowledged_although_everything_breaks() {
    for seed in seeds(15) {
        let plan = Plan {
            weather: 30,
            mtu: 9000,
            segments: 2,
            restarts: true,
            flaps: true,
            shrinks: true,
            slow_disk: seed % 2 == 0,
            in_order: seed % 3 == 0,
        };
        history(seed, plan, 150).unwrap();
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    let mtu = prop::sample::select(vec![1500, 4000, 9000]);
    (0_u16..150, mtu, 1_usize..4, any::<[bool; 5]>()).prop_map(
        |(weather, mtu, segments, [restarts, flaps, shrinks, slow_disk, in_order])| Plan {
            weather,
            mtu,
            segments,
            restarts,
            flaps,
            shrinks,
            slow_disk,
            in_order,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_world_keeps_what_was_acknowledged(seed: u64, plan in plans(), count in 1_u64..80) {
        prop_assert_eq!(history(seed, plan, count).map(drop), Ok(()));
    }
}
