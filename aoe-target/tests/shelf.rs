//! Several targets and links: addressing, advertisements, stored state.

mod common;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::bdev::{Inline, MemDisk};
use aoe_target::{AddError, Address, Backend, Link, LinkInfo, MacAddr, Server, State, Target, TargetOptions};
use bytes::BytesMut;
use common::{HOST, OTHER, OWN, TARGET, World, read, registers, request, request_to, tag};

fn disk() -> Inline<MemDisk> {
    Inline::new(MemDisk::new(64))
}

fn target(address: Address, state: State) -> Target {
    Target::new(TargetOptions::new(address), Backend::<BytesMut>::info(&disk()), state)
}

/// Three targets on one link: 7.0, 7.3 and 9.3.
fn shelf() -> (Server<MemLink>, MemLink) {
    let (ours, theirs) = MemLink::pair(TARGET, HOST, 1500);
    let mut server = Server::new();
    let link = server.add_link(ours);
    for (major, minor) in [(7, 0), (7, 3), (9, 3)] {
        let target = target(Address::new(major, minor), State::default());
        server.add_target(target, disk().open_queue(4).unwrap(), Box::new(|_| Ok(())), &[link]).unwrap();
    }
    (server, theirs)
}

fn exchange(server: &mut Server<MemLink>, host: &mut MemLink, frame: &[u8]) -> Vec<[u8; 3]> {
    host.send(&mut VecDeque::from([BytesMut::from(frame)])).unwrap();
    let _ = server.turn(Duration::from_secs(1)).unwrap();
    let mut rx = Vec::new();
    host.recv(&mut rx).unwrap();
    rx.iter().map(|reply| reply[16..19].try_into().unwrap()).collect()
}

#[test]
fn each_half_of_a_wildcard_matches_by_itself_and_every_target_answers_with_its_own_address() {
    let (mut server, mut host) = shelf();
    let query = |address| request_to(MacAddr::BROADCAST, HOST, address, 1, 0, &[0; 8]);
    let advertised = exchange(&mut server, &mut host, &query([0xff, 0xff, 0xff]));
    assert_eq!(advertised.len(), 6, "three advertisements and three replies");
    let mut ask = |address| exchange(&mut server, &mut host, &query(address));
    assert_eq!(ask([0, 7, 0xff]), [[0, 7, 0], [0, 7, 3]]);
    assert_eq!(ask([0xff, 0xff, 3]), [[0, 7, 3], [0, 9, 3]]);
    assert_eq!(ask([0, 9, 3]), [[0, 9, 3]]);
    assert_eq!(ask([0, 8, 0xff]), Vec::<[u8; 3]>::new());
}

#[test]
fn one_address_cannot_be_served_twice_on_one_link_nor_be_a_wildcard() {
    let (mut server, _host) = shelf();
    let (other, _) = MemLink::pair(OTHER, HOST, 1500);
    let second = server.add_link(other);
    let first = {
        let queue = disk().open_queue(4).unwrap();
        server.add_target(target(OWN, State::default()), queue, Box::new(|_| Ok(())), &[second]).unwrap();
        let queue = disk().open_queue(4).unwrap();
        server.add_target(target(OWN, State::default()), queue, Box::new(|_| Ok(())), &[second])
    };
    assert_eq!(first, Err(AddError::AddressInUse(OWN)));
    let (third, _) = MemLink::pair(OTHER, HOST, 1500);
    let both = [server.add_link(third), second];
    let queue = disk().open_queue(4).unwrap();
    let taken = server.add_target(target(OWN, State::default()), queue, Box::new(|_| Ok(())), &both);
    assert_eq!(taken, Err(AddError::AddressInUse(OWN)), "on one of several links is enough");
    let queue = disk().open_queue(4).unwrap();
    let wild = Address::new(7, 0xff);
    let result = server.add_target(target(wild, State::default()), queue, Box::new(|_| Ok(())), &[second]);
    assert_eq!(result, Err(AddError::Wildcard(wild)));
}

#[test]
fn targets_are_advertised_when_a_link_comes_up_or_changes_and_only_to_those_let_in() {
    let (ours, mut theirs) = MemLink::pair(TARGET, HOST, 1500);
    let mut server = Server::new();
    let link = server.add_link(ours);
    let state = State { mask: vec![HOST, OTHER], ..State::default() };
    let disk = disk();
    server
        .add_target(target(OWN, state), disk.open_queue(4).unwrap(), Box::new(|_| Ok(())), &[link])
        .unwrap();
    let mut turn = |server: &mut Server<MemLink>| {
        let _ = server.turn(Duration::ZERO).unwrap();
        let mut rx = Vec::new();
        theirs.recv(&mut rx).unwrap();
        rx
    };
    let first = turn(&mut server);
    assert_eq!(first.iter().map(|frame| frame[..6].to_vec()).collect::<Vec<_>>(), [HOST.0, OTHER.0]);
    assert_eq!(first[0].len(), 60);
    assert_eq!(first[0][14..24], [0x18, 0, 0, 7, 3, 1, 0, 0, 0, 0]);
    assert_eq!(first[0][24..32], [0, 16, 0, 1, 2, 0x10, 0, 0]);
    assert!(turn(&mut server).is_empty(), "once is enough");
}

/// A link that takes note of a change when it is asked for frames, as one over a socket does.
struct Attentive {
    link: MemLink,
    info: LinkInfo,
}

impl Link for Attentive {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        self.info
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        self.link.alloc()
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        self.info = self.link.info();
        self.link.recv(rx)
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        self.link.send(tx)
    }
}

#[test]
fn a_change_is_advertised_and_obeyed_in_the_turn_in_which_the_link_tells_of_it() {
    let (ours, mut theirs) = MemLink::pair(TARGET, HOST, 9000);
    let info = LinkInfo { mtu: 1500, ..ours.info() };
    let mut server = Server::new();
    let link = server.add_link(Attentive { link: ours, info });
    let disk = disk();
    server
        .add_target(target(OWN, State::default()), disk.open_queue(4).unwrap(), Box::new(|_| Ok(())), &[link])
        .unwrap();
    theirs.send(&mut VecDeque::from([BytesMut::from(&read(7, 0, 17)[..])])).unwrap();
    let _ = server.turn(Duration::ZERO).unwrap();
    let mut rx = Vec::new();
    theirs.recv(&mut rx).unwrap();
    assert_eq!(rx.len(), 2);
    assert_eq!(rx[0][28], 17, "the advertisement has the new MTU's sectors");
    assert_eq!(rx[1].len(), 36 + 17 * 512, "so has the reply");
}

#[test]
fn a_new_mtu_is_advertised_with_the_sectors_it_carries() {
    let disk = disk();
    let mut world =
        World::new(&disk, 1, 9000, TargetOptions { sector_align: true, ..TargetOptions::new(OWN) });
    let config = |world: &mut World| world.ask_one(&request(HOST, 1, 1, &[0; 8]))[28];
    assert_eq!(config(&mut world), 16, "17 would fit; 16 is a multiple of 8");
    let reply = world.ask_one(&read(2, 0, 17));
    assert_eq!(reply.len(), 36 + 17 * 512, "what fits is served whatever was advertised");
    assert_eq!(registers(&world.ask_one(&read(3, 0, 18))), [0x40, 4, 18, 0x41]);
}

#[test]
fn a_change_that_cannot_be_stored_is_refused_and_does_not_happen() {
    let (ours, mut theirs) = MemLink::pair(TARGET, HOST, 1500);
    let mut server = Server::new();
    let link = server.add_link(ours);
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let disk = disk();
    let id = server
        .add_target(
            target(OWN, State::default()),
            disk.open_queue(4).unwrap(),
            Box::new(move |_| Err(full())),
            &[link],
        )
        .unwrap();
    let mut set = vec![0, 0, 0, 0, 0, 3, 0, 1];
    set.push(b'x');
    theirs.send(&mut VecDeque::from([BytesMut::from(&request(HOST, 1, 9, &set)[..])])).unwrap();
    let _ = server.turn(Duration::ZERO).unwrap();
    let mut rx = Vec::new();
    theirs.recv(&mut rx).unwrap();
    let reply = rx.iter().find(|reply| tag(reply) == 9).unwrap();
    assert_eq!(reply[14..16], [0x1c, 2]);
    assert_eq!(server.target(id).unwrap().state(), &State::default());
}

#[test]
fn another_station_that_answers_for_our_address_is_noticed() {
    let disk = disk();
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let mut claim = request_to(TARGET, OTHER, [0, 7, 3], 1, 0, &[0; 8]);
    claim[14] = 0x18;
    assert!(world.ask(&claim).is_empty());
    assert_eq!(world.server.take_conflict(), Some((OWN, OTHER)));
    assert_eq!(world.server.take_conflict(), None);
}

#[test]
fn what_our_links_hear_from_each_other_on_one_segment_is_no_conflict() {
    let disk = disk();
    let mut world = World::new(&disk, 2, 1500, TargetOptions::new(OWN));
    let second = world.server.link(world.links[1]).unwrap().info().mac;
    let mut advertisement = request_to(MacAddr::BROADCAST, second, [0, 7, 3], 1, 0, &[0; 8]);
    advertisement[14] = 0x18;
    assert!(world.ask(&advertisement).is_empty());
    assert_eq!(world.server.take_conflict(), None);
}

#[test]
fn our_own_replies_are_no_conflict() {
    let disk = disk();
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let mut own = request_to(TARGET, TARGET, [0, 7, 3], 1, 0, &[0; 8]);
    own[14] = 0x18;
    world.ask(&own);
    let mut other = request_to(TARGET, OTHER, [0, 7, 4], 1, 0, &[0; 8]);
    other[14] = 0x18;
    world.ask(&other);
    assert_eq!(world.server.take_conflict(), None);
}

#[test]
fn a_failed_set_that_everybody_was_asked_for_is_quiet_but_for_a_string_that_is_there() {
    let disk = disk();
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let set = |len: u8, text: &[u8]| {
        let mut arg = vec![0, 0, 0, 0, 0, 3, 0, len];
        arg.extend(text);
        request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], 1, 0, &arg)
    };
    assert!(world.ask(&set(9, b"short")).is_empty(), "more announced than sent");
    assert_eq!(world.ask_one(&set(5, b"alpha"))[14..16], [0x18, 0]);
    assert_eq!(world.ask_one(&set(4, b"beta"))[14..16], [0x1c, 4]);
}

#[test]
fn who_is_masked_out_is_not_told_even_when_on_the_list_of_the_start() {
    let state = State { mask: vec![OTHER, MacAddr([2, 0, 0, 0, 0, 0x77])], ..State::default() };
    let options = TargetOptions { allow: vec![HOST, OTHER], ..TargetOptions::new(OWN) };
    let target = Target::new(options, Backend::<BytesMut>::info(&disk()), state);
    assert_eq!(target.audience().collect::<Vec<_>>(), [OTHER]);
}

#[test]
fn a_disk_of_another_size_is_advertised_and_served() {
    let disk = disk();
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let info = Backend::<BytesMut>::info(&disk);
    assert_eq!(registers(&world.ask_one(&read(1, 32, 1))), [0x40, 0, 0, 0x40]);
    let smaller = aoe_target::DeviceInfo { sectors: 32, ..info };
    world.server.set_disk(world.target, smaller);
    let _ = world.turn();
    let advertised = world.received(0);
    assert_eq!((advertised.len(), advertised[0][14]), (1, 0x18));
    assert_eq!(registers(&world.ask_one(&read(2, 32, 1))), [0x40, 0x10, 1, 0x41]);
    world.server.set_disk(world.target, smaller);
    let _ = world.turn();
    assert!(world.received(0).is_empty(), "nothing new");
}

#[test]
fn wildcard_requests_that_get_no_answer_do_not_use_up_those_of_others() {
    let disk = disk();
    let options = TargetOptions { allow: vec![HOST], ..TargetOptions::new(OWN) };
    let mut world = World::new(&disk, 1, 1500, options);
    let query = |src, address| request_to(MacAddr::BROADCAST, src, address, 1, 0, &[0; 8]);
    for _ in 0..100 {
        for _ in 0..50 {
            world.send(0, &query(OTHER, [0xff, 0xff, 0xff]));
            world.send(0, &query(HOST, [0xff, 0xff, 9]));
        }
        assert!(world.ask(&query(HOST, [0, 8, 0xff])).is_empty());
    }
    assert_eq!(world.ask(&query(HOST, [0xff, 0xff, 0xff])).len(), 1);
}

#[test]
fn a_flood_of_wildcard_requests_is_answered_at_a_bounded_rate_and_delays_nobody_else() {
    let disk = disk();
    let mut world = World::new(&disk, 1, 1500, TargetOptions::new(OWN));
    let query = request_to(MacAddr::BROADCAST, HOST, [0xff, 0xff, 0xff], 1, 0, &[0; 8]);
    let mut answered = 0;
    for _ in 0..300 {
        for _ in 0..20 {
            world.send(0, &query);
        }
        answered += world.ask(&read(1, 0, 1)).len() - 1;
    }
    // 300 times 4 turns of a millisecond each, and a second's worth at once.
    assert!((2_000..5_000).contains(&answered), "{answered} of 6000 answered");
    assert!(world.server.stats().wildcards_dropped > 0);
}
