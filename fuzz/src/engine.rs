//! Sessions of several initiators with a [`Server`], compared with a model of the protocol and of the disks.
//!
//! A session has one or two links that may know when frames arrive, one or two disks with layers that delay, reorder and fail, and a list of steps: requests that are
//! valid, nearly valid or any bytes, repetitions, turns of the server. Checked are:
//!
//! * every frame that must be answered is answered once, on its link, byte for byte as the model says, and nothing else is sent; buffers
//!   are dirty before a frame arrives, so a byte that nobody wrote shows;
//! * a read brings what the disk held in order of arrival, and nothing overtakes a request it shares a sector with (rules of order are
//!   those of `aoe_target`'s module `inflight`);
//! * a write that another overtook by 10 ms is dropped, and no other (rule 5, of `aoe_target`'s module `late`);
//! * a flush ends after every earlier write; an acknowledged write-through write is durable; a reservation is answered after the writes;
//! * when all is answered nothing is in flight, and disk and stored state are as in the model.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aoe_target::bdev::testing::Gate;
use aoe_target::{Address, LinkId, MacAddr, Server, State, Target, TargetId, TargetOptions};

mod book;
mod disk;
mod frame;
mod input;
mod link;
mod model;
mod page;

use book::{Bad, Book, Due, Flat, Owed};
use disk::Disk;
pub use input::{Session, script};
use input::{Setup, Stamp, Step};
use link::{Air, Arrived, Event, FuzzLink, Side};
use model::{Answer, Lately, Model, Port, Rules};

/// Turns without an answer after which the server counts as wedged: more than any layer delays.
const PATIENCE: usize = 10_000;
/// More than a server takes, so that nobody ever has more than its share: which frames are dropped then, the model does not know.
const BUFFERS: u16 = 2048;
const SHELF: u16 = 7;

/// Runs a session to its end.
///
/// # Panics
///
/// When the server does anything that the model does not.
pub fn run(session: &Session) {
    let mut world = World::new(&session.setup).expect("test disks open");
    world.turn();
    for step in &session.steps {
        world.step(step);
    }
    world.finish();
}

struct World {
    server: Server<FuzzLink>,
    air: Rc<RefCell<Air>>,
    gates: Vec<Gate>,
    ids: Vec<TargetId>,
    saved: Vec<Arc<Mutex<State>>>,
    models: Vec<Model>,
    disks: Vec<Flat>,
    book: Book,
    /// Advertisements that must have been sent.
    advertised: VecDeque<(usize, Vec<u8>)>,
    /// Requests to set the config string that failed and were sent to everybody: taken, and not answered.
    quiet_sets: u64,
    /// Every frame that was sent to the server.
    sent: Vec<Vec<u8>>,
    now: Duration,
    /// The latest time that a link has told.
    latest: Duration,
    /// Frames that were taken.
    taken: u64,
}

impl World {
    fn new(setup: &Setup) -> io::Result<Self> {
        let air = Rc::new(RefCell::new(Air::default()));
        let mut server = Server::new();
        let mut links = Vec::<LinkId>::new();
        for at in 0..setup.links {
            let timed = at == 0 || setup.timed;
            air.borrow_mut().links.push(Side::new(frame::own_mac(at), setup.mtu, timed));
            links.push(server.add_link(FuzzLink::new(&air, at)));
        }
        let mut world = Self {
            server,
            air,
            gates: Vec::new(),
            ids: Vec::new(),
            saved: Vec::new(),
            models: Vec::new(),
            disks: Vec::new(),
            book: Book::default(),
            advertised: VecDeque::new(),
            quiet_sets: 0,
            sent: Vec::new(),
            now: Duration::ZERO,
            latest: Duration::from_secs(1),
            taken: 0,
        };
        for number in 0..setup.targets {
            world.add_target(setup, 3 + number as u8, &links)?;
        }
        Ok(world)
    }

    fn add_target(&mut self, setup: &Setup, slot: u8, links: &[LinkId]) -> io::Result<()> {
        let disk = Disk::new(&setup.disk)?;
        let allow: Vec<_> = (0..setup.allow as u8).map(frame::host_mac).collect();
        let options = TargetOptions {
            buffer_count: BUFFERS,
            sector_align: setup.sector_align,
            write_cache: setup.write_cache,
            allow: allow.iter().copied().map(MacAddr).collect(),
            ..TargetOptions::new(Address::new(SHELF, slot))
        };
        let saved = Arc::new(Mutex::new(State::default()));
        let save = {
            let saved = Arc::clone(&saved);
            Box::new(move |state: &State| save(&saved, state))
        };
        self.gates.extend(disk.gates());
        let bad = Bad {
            read: setup.disk.bad_read,
            write: setup.disk.bad_write,
            flush: setup.disk.flush_fails != 0,
        };
        self.disks.push(Flat::new(disk.memory, bad));
        let target = Target::new(options, disk.info, State::default());
        let id = self.server.add_target(target, disk.queue, save, links).expect("the address is free");
        self.ids.push(id);
        self.saved.push(saved);
        let rules = Rules {
            shelf: SHELF,
            slot,
            sectors: setup.disk.sectors,
            read_only: setup.disk.read_only,
            discard: setup.disk.discard,
            discard_zeroes: setup.disk.discard_zeroes,
            big_blocks: setup.disk.big_blocks,
            sector_align: setup.sector_align,
            buffer_count: BUFFERS,
            allow,
        };
        let (config, mask, reserve) = (vec![], vec![], vec![]);
        self.models.push(Model {
            rules,
            config,
            mask,
            reserve,
            write_cache: setup.write_cache,
            switched: false,
            lately: (links.len() > 1).then(Lately::default),
        });
        Ok(())
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Request(request) => {
                let frame = frame::build(request, self.models[0].rules.sectors);
                self.send(request.link, request.stamp, frame, false);
            }
            Step::Raw { link, stamp, bytes } => self.send(*link, *stamp, bytes.clone(), false),
            Step::Repeat { link, stamp, back, same_tag } => {
                let Some(at) = self.sent.len().checked_sub(1 + back) else { return };
                let frame = self.sent[at].clone();
                self.send(*link, *stamp, frame, *same_tag);
            }
            Step::Turn(count) => (0..*count).for_each(|_| self.turn()),
            Step::Release(count) => self.gates.iter().for_each(|gate| gate.release(*count)),
            Step::Jam { link, frames } => {
                let links = &mut self.air.borrow_mut().links;
                let at = link % links.len();
                links[at].jam = *frames;
            }
            Step::Change { link, mtu } => {
                self.drain();
                self.change(*link, *mtu);
                // The server learns of it before another frame arrives.
                self.turn();
            }
        }
    }

    fn change(&mut self, link: usize, mtu: u32) {
        let links = &mut self.air.borrow_mut().links;
        let at = link % links.len();
        links[at].info.mtu = mtu;
        links[at].info.generation += 1;
    }

    /// Puts a frame on the wire, under a tag of its own or, when it repeats another, that of the other.
    fn send(&mut self, link: usize, stamp: Stamp, mut frame: Vec<u8>, same_tag: bool) {
        let time = match stamp {
            Stamp::After(ms) => Some(self.latest + Duration::from_millis(ms)),
            Stamp::Before(ms) => Some(self.latest.saturating_sub(Duration::from_millis(ms))),
            Stamp::Unknown => None,
        };
        self.latest = self.latest.max(time.unwrap_or_default());
        let air = &mut *self.air.borrow_mut();
        let at = link % air.links.len();
        let side = &mut air.links[at];
        frame.truncate(side.room());
        if let (false, Some(tag)) = (same_tag, frame.get_mut(20..24)) {
            tag.copy_from_slice(&(self.sent.len() as u32).wrapping_mul(0x9e37_79b1).to_be_bytes());
        }
        self.sent.push(frame.clone());
        side.arriving.push_back((time, frame));
    }

    fn turn(&mut self) {
        // A second, so that no limit on how often something may be asked for matters: which frames are dropped then, the model does not know.
        self.now += Duration::from_secs(1);
        let _ = self.server.turn(self.now).expect("neither links nor disks are gone");
        self.look();
    }

    /// Compares what happened in a turn with what had to.
    fn look(&mut self) {
        let events = std::mem::take(&mut self.air.borrow_mut().events);
        let (mut arrived, mut replies) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Up { link } => self.expect_advertisements(link),
                Event::Arrived(frame) => arrived.push(frame),
                Event::Answered { link, frame } => replies.push((link, frame)),
            }
        }
        in_order(arrived).iter().for_each(|frame| self.arrived(frame));
        let mut answered: Vec<_> =
            replies.into_iter().filter_map(|(link, frame)| self.match_reply(link, frame)).collect();
        // On one link replies are seen in the order of their making; on several, nothing is known but the turn.
        if self.air.borrow().links.len() > 1 {
            answered.sort_by_key(|(number, _)| *number);
        }
        for (number, reply) in answered {
            self.book.close(number, &reply, &mut self.disks);
        }
    }

    fn port(&self, link: usize) -> Port {
        let info = self.air.borrow().links[link].info;
        Port { number: link, mac: info.mac.0, mtu: info.mtu as usize }
    }

    fn expect_advertisements(&mut self, link: usize) {
        let port = self.port(link);
        for model in &self.models {
            let frames = model.audience().into_iter().map(|to| (link, model.advertisement(port, to)));
            self.advertised.extend(frames);
        }
    }

    fn arrived(&mut self, arrived: &Arrived) {
        let (link, frame) = (arrived.link, &arrived.frame[..]);
        let port = self.port(link);
        self.taken += 1;
        self.book.next = 2 * (self.taken + 1);
        for (target, model) in self.models.iter_mut().enumerate() {
            let number = 2 * self.taken + target as u64;
            let answer = model.answer(port, arrived.time, frame);
            let disk = &mut self.disks[target];
            disk.switched = model.switched;
            disk.places.insert(arrived.number, self.taken);
            let due = match answer {
                Answer::Late => continue,
                Answer::Quiet => {
                    self.quiet_sets +=
                        u64::from(frame.len() >= 32 && frame[19] == 1 && frame[29] & 0x0f == 3);
                    continue;
                }
                Answer::Reply(reply) => Due::Exactly { reply, after_writes: false },
                Answer::AfterWrites(reply) => Due::Exactly { reply, after_writes: true },
                Answer::Disk { work, good, failed } => Due::Disk { work, good, failed },
            };
            self.book.open(number, Owed { target, link, due, seen: false }, disk);
        }
    }

    /// The request that a frame answers; `None` for an advertisement.
    fn match_reply(&mut self, link: usize, reply: Vec<u8>) -> Option<(u64, Vec<u8>)> {
        if let Some(at) = self.advertised.iter().position(|(on, frame)| *on == link && *frame == reply) {
            self.advertised.remove(at);
            return None;
        }
        match self.book.find(link, &reply) {
            Some(number) => Some((number, reply)),
            None => panic!("nobody asked for this on link {link}: {}", aoe_wire::show(&reply)),
        }
    }

    /// Turns until everything is answered.
    fn drain(&mut self) {
        for gate in &self.gates {
            gate.open();
        }
        for side in &mut self.air.borrow_mut().links {
            side.jam = 0;
        }
        let mut patience = PATIENCE;
        while patience > 0 {
            let before = self.left();
            if before == 0 {
                break;
            }
            self.turn();
            patience = if self.left() < before { PATIENCE } else { patience - 1 };
        }
        self.turn();
        assert!(self.book.owed.is_empty(), "never answered: {:?}", self.book.owed.values());
        assert!(self.advertised.is_empty(), "{} advertisements are missing", self.advertised.len());
        for gate in &self.gates {
            gate.close();
        }
    }

    /// Frames that have not arrived and requests that have not been answered.
    fn left(&self) -> usize {
        let arriving: usize = self.air.borrow().links.iter().map(|side| side.arriving.len()).sum();
        // A frame that arrives may be owed two answers.
        self.book.owed.len() + 3 * arriving
    }

    fn finish(mut self) {
        self.drain();
        let progress = self.server.turn(self.now).expect("neither links nor disks are gone");
        assert_eq!((progress.in_flight, progress.sent, progress.stalled), (0, 0, false));
        for (number, model) in self.models.iter().enumerate() {
            let macs = |list: &[[u8; 6]]| list.iter().copied().map(MacAddr).collect::<Vec<_>>();
            let expected = State {
                config: model.config.clone().into(),
                mask: macs(&model.mask),
                reserve: macs(&model.reserve),
            };
            let target = self.server.target(self.ids[number]).expect("it was added");
            assert_eq!(target.state(), &expected);
            assert_eq!(*self.saved[number].lock().unwrap_or_else(PoisonError::into_inner), expected);
            let stats = target.stats();
            assert!((stats.replies..=stats.replies + self.quiet_sets).contains(&stats.requests), "{stats:?}");
            let dropped = model.lately.as_ref().map_or(0, |lately| lately.dropped);
            assert_eq!(stats.late_writes, dropped, "writes that came too late");
            let disk = &self.disks[number];
            assert!(
                disk.memory.content().now == disk.bytes,
                "disk {number} differs from the model at the end"
            );
        }
    }
}

/// The order in which a server on several links takes what it has received: of each round, what arrived first. What came by one link stays
/// in its order, and a frame without a time comes right after the one before it.
fn in_order(arrived: Vec<Arrived>) -> Vec<Arrived> {
    let mut latest = BTreeMap::<_, Duration>::new();
    let mut frames = Vec::new();
    for frame in arrived {
        let time = latest.entry((frame.round, frame.link)).or_default();
        *time = frame.time.unwrap_or_default().max(*time);
        frames.push((frame.round, *time, frame));
    }
    frames.sort_by_key(|(round, time, _)| (*round, *time));
    frames.into_iter().map(|(.., frame)| frame).collect()
}

/// Where a target's state is kept: it refuses some.
fn save(saved: &Mutex<State>, state: &State) -> io::Result<()> {
    let macs = |list: &[MacAddr]| list.iter().map(|mac| mac.0).collect::<Vec<_>>();
    if model::is_refused_by_disk(&state.config, &macs(&state.mask), &macs(&state.reserve)) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    *saved.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
    Ok(())
}
