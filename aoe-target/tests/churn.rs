//! Everything at once: targets, links, queues and settings that come and go among requests, against a model of who is answered.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Address, Backend, LinkId, TargetId, TargetOptions};
use bytes::BytesMut;
use common::fleet::Fleet;
use common::{HOST, ata, read, request, tag, write};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Add { slot: u8, links: u8 },
    Remove(u8),
    SetLinks { target: u8, links: u8 },
    AddLink,
    RemoveLink(u8),
    Lose(u8),
    Open(u8),
    Edit(u8),
    SetOptions(u8),
    Ask { link: u8, slot: u8, what: What, sector: u8 },
    Release(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Read,
    Write,
    Flush,
    Config,
}

fn act() -> impl Strategy<Value = Act> {
    let (any_target, slot, link) = (0..6u8, 0..3u8, 0..5u8);
    let what = prop_oneof![3 => Just(What::Read), 4 => Just(What::Write), 1 => Just(What::Flush), 1 => Just(What::Config)];
    prop_oneof![
        2 => (slot.clone(), 1..32u8).prop_map(|(slot, links)| Act::Add { slot, links }),
        1 => any_target.clone().prop_map(Act::Remove),
        1 => (any_target.clone(), 0..32u8).prop_map(|(target, links)| Act::SetLinks { target, links }),
        1 => Just(Act::AddLink),
        1 => link.clone().prop_map(Act::RemoveLink),
        1 => any_target.clone().prop_map(Act::Lose),
        1 => any_target.clone().prop_map(Act::Open),
        1 => any_target.clone().prop_map(Act::Edit),
        1 => any_target.prop_map(Act::SetOptions),
        20 => (link, slot, what, 0..3u8).prop_map(|(link, slot, what, sector)| Act::Ask { link, slot, what, sector }),
        3 => (1..4u8).prop_map(Act::Release),
    ]
}

/// A target of the model. Requests are in the order of their arrival.
struct Model {
    id: TargetId,
    slot: u8,
    links: Vec<usize>,
    here: bool,
    disk: Arc<Delay<Inline<MemDisk>>>,
    asked: Vec<Asked>,
}

struct Asked {
    tag: u32,
    link: usize,
    what: What,
    sector: u8,
    /// `None` when the link is gone, and with it the reply.
    reply: Option<BytesMut>,
}

impl Asked {
    fn is_good(&self) -> Option<bool> {
        self.reply
            .as_ref()
            .map(|reply| reply[14] & 4 == 0 && (self.what == What::Config || reply[27] == 0x40))
    }
}

struct Churn {
    fleet: Fleet,
    gates: Vec<Gate>,
    here: Vec<bool>,
    targets: Vec<Model>,
    next_tag: u32,
}

impl Churn {
    fn new() -> Self {
        Self { fleet: Fleet::new(2), gates: vec![], here: vec![true; 2], targets: vec![], next_tag: 1 }
    }

    /// The links that are here among those whose bit is set, and some that are not.
    fn links(&self, bits: u8) -> Vec<usize> {
        (0..self.here.len()).filter(|number| bits >> (number % 5) & 1 == 1).collect()
    }

    fn ids(&self, links: &[usize]) -> Vec<LinkId> {
        links.iter().map(|number| self.fleet.links[*number]).collect()
    }

    /// The target that answers for a slot on a link.
    fn serving(&self, slot: u8, link: usize) -> Option<usize> {
        let serves = |target: &Model| target.here && target.slot == slot && target.links.contains(&link);
        self.targets.iter().position(serves).filter(|_| self.here[link])
    }

    fn is_taken(&self, slot: u8, links: &[usize], but: Option<usize>) -> bool {
        links.iter().filter_map(|link| self.serving(slot, *link)).any(|other| Some(other) != but)
    }

    fn target(&self, number: u8) -> Option<usize> {
        (!self.targets.is_empty()).then(|| usize::from(number) % self.targets.len())
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Add { slot, links } => {
                let links = self.links(links);
                let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(64)));
                let added = self.fleet.add(slot, &disk, &links);
                assert_eq!(added.is_err(), self.is_taken(slot, &links, None));
                if let Ok(id) = added {
                    assert!(self.targets.iter().all(|other| other.id != id), "a name is given once");
                    let links = links.into_iter().filter(|link| self.here[*link]).collect();
                    let disk = Arc::new(disk);
                    self.targets.push(Model { id, slot, links, here: true, disk, asked: vec![] });
                    self.gates.push(gate);
                }
            }
            Act::Remove(target) => {
                let Some(target) = self.target(target) else { return };
                self.fleet.server.remove_target(self.targets[target].id);
                self.targets[target].here = false;
            }
            Act::SetLinks { target, links } => {
                let Some(target) = self.target(target) else { return };
                let links = self.links(links);
                let Model { id, slot, here, .. } = self.targets[target];
                let result = self.fleet.server.set_links(id, &self.ids(&links));
                assert_eq!(result.is_ok(), here && !self.is_taken(slot, &links, Some(target)));
                if result.is_ok() {
                    self.targets[target].links = links.into_iter().filter(|link| self.here[*link]).collect();
                }
            }
            Act::AddLink => {
                self.fleet.add_link();
                self.here.push(true);
            }
            Act::RemoveLink(link) => {
                let link = usize::from(link) % self.here.len();
                self.receive();
                let removed = self.fleet.server.remove_link(self.fleet.links[link]);
                assert_eq!(removed.is_some(), std::mem::replace(&mut self.here[link], false));
            }
            Act::Lose(target) => {
                let Some(target) = self.target(target) else { return };
                self.fleet.server.set_queue(self.targets[target].id, None);
            }
            Act::Open(target) => {
                let Some(target) = self.target(target) else { return };
                let Model { id, disk, .. } = &self.targets[target];
                let opened = (disk.open_queue(8).unwrap(), Backend::<BytesMut>::info(disk));
                self.fleet.server.set_queue(*id, Some(opened));
            }
            Act::Edit(target) => {
                let Some(target) = self.target(target) else { return };
                let edit = Box::new(|state: &mut aoe_target::State| state.config = "edited".into());
                self.fleet.server.edit_state(self.targets[target].id, edit, Box::new(|_| ()));
            }
            Act::SetOptions(target) => {
                let Some(target) = self.target(target) else { return };
                let Model { id, slot, .. } = self.targets[target];
                let options = TargetOptions { buffer_count: 99, ..TargetOptions::new(Address::new(7, slot)) };
                self.fleet.server.set_options(id, options);
            }
            Act::Ask { link, slot, what, sector } => self.ask(usize::from(link), slot, what, sector),
            Act::Release(count) => self.gates.iter().for_each(|gate| gate.release(count.into())),
        }
        self.fleet.turn();
        self.receive();
    }

    fn ask(&mut self, link: usize, slot: u8, what: What, sector: u8) {
        let (link, tag) = (link % self.here.len(), self.next_tag);
        self.next_tag += 1;
        let frame = match what {
            What::Read => read(tag, sector.into(), 1),
            What::Write => write(tag, sector.into(), &tag.to_be_bytes().repeat(128)),
            What::Flush => ata(tag, [0, 0, 0, 0xea], 0, &[]),
            What::Config => request(HOST, 1, tag, &[0, 0, 0, 0, 0, 4, 0, 1, sector]),
        };
        self.fleet.send(link, slot, &frame);
        if let Some(target) = self.serving(slot, link) {
            self.targets[target].asked.push(Asked { tag, link, what, sector, reply: None });
        }
    }

    /// Takes up replies: each answers a request that was taken, at the link that it came by, once.
    fn receive(&mut self) {
        for link in 0..self.here.len() {
            for reply in self.fleet.received(link).into_iter().filter(|reply| tag(reply) != 0) {
                let mut all = self.targets.iter_mut().flat_map(|target| &mut target.asked);
                let asked =
                    all.find(|asked| asked.tag == tag(&reply)).expect("nobody answers what was not taken");
                assert_eq!(asked.link, link);
                assert!(asked.reply.replace(reply).is_none(), "{} is answered twice", asked.tag);
            }
        }
    }

    fn finish(mut self) {
        self.gates.iter().for_each(Gate::open);
        self.fleet.turns(self.next_tag as usize + 20);
        self.receive();
        assert_eq!(self.fleet.turn(), 0);
        for target in &self.targets {
            assert_eq!(self.fleet.server.has_target(target.id), target.here);
            let lost = target.asked.iter().find(|asked| asked.reply.is_none() && self.here[asked.link]);
            assert!(lost.is_none(), "{} was not answered", lost.map_or(0, |asked| asked.tag));
            reads_see_the_writes_before_them(&target.asked);
        }
        for (link, out) in self.fleet.out().into_iter().enumerate() {
            assert!(out == 0 || (!self.here[link] && out > 0), "link {link} misses {out} frames");
        }
    }
}

fn reads_see_the_writes_before_them(asked: &[Asked]) {
    let mut may_hold = BTreeMap::<u8, Vec<u32>>::new();
    for asked in asked {
        let held = may_hold.entry(asked.sector).or_insert_with(|| vec![0]);
        match (asked.what, asked.is_good()) {
            (What::Write, Some(true)) => *held = vec![asked.tag],
            (What::Write, None) => held.push(asked.tag),
            (What::Read, Some(true)) => {
                let data = asked.reply.as_ref().map_or(&[][..], |reply| &reply[36..40]);
                let data = u32::from_be_bytes(data.try_into().unwrap());
                assert!(held.contains(&data), "read {} holds {data} and not one of {held:?}", asked.tag);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_and_goes_what_stays_is_answered_once_and_in_order(acts in prop::collection::vec(act(), 1..120)) {
        let mut churn = Churn::new();
        churn.act(Act::Add { slot: 0, links: 31 });
        acts.into_iter().for_each(|act| churn.act(act));
        churn.finish();
    }
}
