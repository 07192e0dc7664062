//! Whose frames are whose: each goes home to the link that gave it out, and no link is waited for while there is no room.

mod common;

use std::os::fd::AsRawFd;
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::bdev::testing::Delay;
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{Address, Backend, Link, MAX_REQUESTS, MacAddr, Server, State, Target, TargetOptions};
use bytes::BytesMut;
use common::lending::{Lending, Pool};
use common::{HOST, OWN, World, read, request_to};

/// Targets 7.0, 7.1 and 7.2 on each of two links.
struct Shelf {
    server: Server<Lending>,
    hosts: Vec<MemLink>,
    pools: Vec<Pool>,
}

impl Shelf {
    fn new() -> Self {
        let mut server = Server::new();
        let (mut hosts, mut pools, mut links) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..2 {
            let (ours, host) = MemLink::pair(MacAddr([2, 0, 0, number, 7, 3]), HOST, 1500);
            let link = Lending::new(ours);
            pools.push(link.pool.clone());
            links.push(server.add_link(link));
            hosts.push(host);
        }
        let disk = Inline::new(MemDisk::new(64));
        for slot in 0..3 {
            let options = TargetOptions::new(Address::new(7, slot));
            let target = Target::new(options, Backend::<BytesMut>::info(&disk), State::default());
            server.add_target(target, disk.open_queue(4).unwrap(), Box::new(|_| Ok(())), &links).unwrap();
        }
        let mut shelf = Self { server, hosts, pools };
        assert_eq!([shelf.turn(0), shelf.turn(1)], [3, 3], "advertisements");
        shelf
    }

    /// How many frames arrive at a host.
    fn turn(&mut self, host: usize) -> usize {
        let _ = self.server.turn(Duration::from_secs(1)).unwrap();
        let mut rx = Vec::new();
        self.hosts[host].recv(&mut rx).unwrap();
        rx.len()
    }

    /// How many answer a config request of this command and string to all.
    fn ask(&mut self, host: usize, command: u8, text: &[u8]) -> usize {
        let mut rest = vec![0, 0, 0, 0, 0, command];
        rest.extend((text.len() as u16).to_be_bytes());
        rest.extend(text);
        let frame = request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], 1, 0, &rest);
        self.hosts[host].send(&mut [BytesMut::from(&frame[..])].into()).unwrap();
        self.turn(host)
    }

    fn out(&self) -> Vec<isize> {
        self.pools.iter().map(|pool| pool.out.get()).collect()
    }
}

const READ: u8 = 0;
const TEST: u8 = 1;

#[test]
fn copies_of_a_wildcard_are_of_the_link_that_it_came_by_and_go_home_there() {
    let mut shelf = Shelf::new();
    for host in [1, 0, 1] {
        assert_eq!(shelf.ask(host, READ, &[]), 3);
        assert_eq!(shelf.out(), [0, 0], "answered on link {host}");
        assert_eq!(shelf.ask(host, TEST, b"a string that none has"), 0);
        assert_eq!(shelf.out(), [0, 0], "left unanswered on link {host}");
    }
}

#[test]
fn where_a_link_has_no_frame_for_a_copy_another_links_is_not_taken_and_the_last_target_answers() {
    let mut shelf = Shelf::new();
    // The request itself takes the only one.
    shelf.pools[1].most.set(1);
    assert_eq!(shelf.ask(1, READ, &[]), 1);
    assert_eq!((shelf.out(), shelf.server.stats().no_frame), (vec![0, 0], 2));
    shelf.pools[1].most.set(2);
    assert_eq!(shelf.ask(1, READ, &[]), 2);
    assert_eq!((shelf.out(), shelf.server.stats().no_frame), (vec![0, 0], 3));
}

#[test]
fn a_frame_that_is_too_small_for_a_copy_goes_home_unused() {
    let mut shelf = Shelf::new();
    shelf.pools[1].room.set(60);
    assert_eq!(shelf.ask(1, TEST, &[7; 1024]), 0);
    assert_eq!((shelf.out(), shelf.server.stats().no_frame), (vec![0, 0], 2));
}

#[test]
fn links_are_waited_for_unless_there_is_no_room_for_what_they_have() {
    let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(64)));
    let options = TargetOptions { buffer_count: u16::MAX, ..TargetOptions::new(OWN) };
    let mut world = World::over(Lending::new, &disk, 2, 1500, options);
    let links: Vec<_> =
        world.links.iter().map(|id| world.server.link(*id).unwrap().event.as_raw_fd()).collect();
    let waits = |world: &World<Lending>| {
        let events: Vec<_> = world.server.events().map(|event| event.as_raw_fd()).collect();
        links.iter().filter(|link| events.contains(link)).count()
    };
    assert_eq!(waits(&world), 2);
    let mut tag = 0;
    while world.turn().in_flight < MAX_REQUESTS {
        assert_eq!(waits(&world), 2, "{tag} requests");
        assert!(tag < 4000, "there is no bound");
        for _ in 0..32 {
            tag += 1;
            world.send(tag as usize % 2, &read(tag, 0, 1));
        }
    }
    assert_eq!(waits(&world), 0);
    gate.open();
    for _ in 0..1000 {
        let _ = world.turn();
    }
    assert_eq!(waits(&world), 2, "all are answered");
    world.server.stop();
    assert_eq!(waits(&world), 0, "no more are taken");
}
