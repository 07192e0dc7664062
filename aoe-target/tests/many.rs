//! Many targets in one server: who is found, who is left alone, what is waited for.

mod common;

use std::array;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::bdev::IoQueue;
use aoe_target::{
    Address, DeviceInfo, Done, Io, Link, MAX_REQUESTS, MacAddr, Server, State, Status, Submit, Target,
    TargetOptions,
};
use bytes::BytesMut;
use common::{HOST, TARGET, request_to, tag};

const TARGETS: u16 = 256;

/// Counts how often a disk was looked at.
#[derive(Clone, Default)]
struct Looks(Arc<AtomicU32>);

impl Looks {
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A disk that ends each request when it is next looked at, if it may.
struct SlowQueue {
    looks: Looks,
    event: UnixStream,
    holds: bool,
    waiting: Vec<Io<BytesMut>>,
}

impl IoQueue<BytesMut> for SlowQueue {
    fn submit(&mut self, io: Io<BytesMut>) -> Submit<BytesMut> {
        self.waiting.push(io);
        Submit::Queued
    }

    fn reap(&mut self, done: &mut Vec<Done<BytesMut>>) {
        self.looks.0.fetch_add(1, Ordering::Relaxed);
        if !self.holds {
            done.extend(self.waiting.drain(..).map(|io| io.done(Status::Ok)));
        }
    }

    fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.event.as_fd())
    }
}

impl Drop for SlowQueue {
    fn drop(&mut self) {
        self.waiting.drain(..).for_each(|io| drop(io.abandon()));
    }
}

struct Many {
    server: Server<MemLink>,
    host: MemLink,
    looks: Vec<Looks>,
    now: Duration,
}

impl Many {
    /// Targets 7.0 to 7.254, and 8.0 on, on one link. Their disks hold what they get if `holds`.
    fn new(holds: bool) -> Self {
        let (ours, host) = MemLink::pair(TARGET, HOST, 1500);
        let mut server = Server::new();
        let link = server.add_link(ours);
        let mut many = Self { server, host, looks: Vec::new(), now: Duration::ZERO };
        for number in 0..TARGETS {
            let disk = DeviceInfo { sectors: 64, ..DeviceInfo::default() };
            let target = Target::new(TargetOptions::new(address(number)), disk, State::default());
            let looks = Looks::default();
            let (event, _) = UnixStream::pair().unwrap();
            let queue = SlowQueue { looks: looks.clone(), event, holds, waiting: Vec::new() };
            many.looks.push(looks);
            many.server.add_target(target, Box::new(queue), Box::new(|_| Ok(())), &[link]).unwrap();
        }
        many.turn();
        assert_eq!(many.received().len(), usize::from(TARGETS), "each is advertised");
        many.looked();
        many
    }

    fn turn(&mut self) {
        self.now += Duration::from_millis(1);
        let _ = self.server.turn(self.now).unwrap();
    }

    fn read(&mut self, number: u16, tag: u32) {
        let Address { major, minor } = address(number);
        let [high, low] = major.to_be_bytes();
        let registers = [0x40, 0, 1, 0x24, 0, 0, 0, 0, 0, 0, 0, 0];
        self.send(&request_to(TARGET, HOST, [high, low, minor], 0, tag, &registers));
    }

    fn send(&mut self, frame: &[u8]) {
        self.host.send(&mut [BytesMut::from(frame)].into()).unwrap();
    }

    fn received(&mut self) -> Vec<BytesMut> {
        let mut rx = Vec::new();
        // A few bursts of 64.
        for _ in 0..8 {
            self.host.recv(&mut rx).unwrap();
        }
        rx
    }

    /// How often each disk was looked at since the last call, where that is not 0.
    fn looked(&self) -> Vec<(usize, u32)> {
        let looks = self.looks.iter().map(Looks::take).enumerate();
        looks.filter(|(_, looks)| *looks != 0).collect()
    }
}

fn address(number: u16) -> Address {
    Address::new(7 + number / 255, u8::try_from(number % 255).unwrap())
}

#[test]
fn each_of_256_targets_gets_its_own_requests_and_all_answer_a_wildcard() {
    let mut many = Many::new(false);
    for number in (0..TARGETS).rev() {
        many.read(number, number.into());
        many.turn();
        many.turn();
        let replies = many.received();
        assert_eq!(replies.len(), 1, "{number}");
        let Address { major, minor } = address(number);
        assert_eq!((&replies[0][16..18], replies[0][18]), (&major.to_be_bytes()[..], minor));
        assert_eq!(tag(&replies[0]), number.into());
    }
    many.send(&request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], 1, 0, &[0; 8]));
    many.turn();
    let answered: HashSet<_> = many.received().iter().map(|reply| reply[16..19].to_vec()).collect();
    assert_eq!(answered.len(), usize::from(TARGETS));
    assert_eq!(many.server.stats().wildcards_dropped, 0);
}

#[test]
fn a_turn_looks_at_the_disks_that_have_requests_and_at_no_other() {
    let mut many = Many::new(false);
    for _ in 0..100 {
        many.turn();
    }
    assert_eq!(many.looked(), []);
    many.read(200, 1);
    many.read(3, 2);
    many.turn();
    assert_eq!(many.looked(), [(3, 1), (200, 1)]);
    many.turn();
    assert_eq!((many.looked(), many.received().len()), (vec![], 2));
}

#[test]
fn a_disk_at_rest_is_looked_at_once_a_second() {
    let mut many = Many::new(false);
    many.now += Duration::from_secs(1);
    many.turn();
    assert_eq!(many.looked(), array::from_fn::<_, { TARGETS as usize }, _>(|number| (number, 1)));
    many.turn();
    assert_eq!(many.looked(), []);
}

#[test]
fn only_disks_with_requests_in_flight_are_waited_for() {
    let mut many = Many::new(true);
    let events = |many: &Many| many.server.events().count();
    assert_eq!(events(&many), 0, "a link in memory has no event");
    for (tag, number) in [(1, 9), (2, 9), (3, 100)] {
        many.read(number, tag);
    }
    many.turn();
    assert_eq!((events(&many), many.received().len()), (2, 0));
    assert_eq!(many.server.turn(many.now).unwrap().in_flight, 3);
}

#[test]
fn the_bound_on_requests_is_over_all_targets() {
    let mut many = Many::new(true);
    let sent = u32::try_from(MAX_REQUESTS).unwrap() + 500;
    for tag in 0..sent {
        many.read(u16::try_from(tag % 256).unwrap(), tag);
        many.turn();
    }
    let in_flight = many.server.turn(many.now).unwrap().in_flight;
    assert!((MAX_REQUESTS..MAX_REQUESTS + 64).contains(&in_flight), "{in_flight}");
}
