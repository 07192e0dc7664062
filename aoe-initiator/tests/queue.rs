//! Queues of a remote disk over links that have an event: who waits for the queue's event misses nothing and does not spin.
#![cfg(all(feature = "disk", target_os = "linux"))]

mod common;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use aoe_initiator::bdev::{Backend, Done, Extent, Io, IoQueue, Status, Submit};
use aoe_initiator::{Address, AttachOptions, ConnectError, Failure, RemoteDisk};
use common::{MS, Machine, OWN, S, SECTORS, SocketLink, is_readable, within};

type Queue = Box<dyn IoQueue<Vec<u8>>>;

fn connect(machine: &Machine) -> RemoteDisk<SocketLink> {
    let options = AttachOptions { deadline: 5 * S, ..AttachOptions::default() };
    RemoteDisk::connect(OWN, options, machine.opener()).expect("the target")
}

fn queue(disk: &RemoteDisk<SocketLink>) -> Queue {
    disk.open_queue(16).expect("a queue")
}

fn read(tag: u64) -> Io<Vec<u8>> {
    Io::read(Extent::new(tag, 1), vec![0xee; 512], 0).with_tag(tag)
}

fn submit(queue: &mut Queue, io: Io<Vec<u8>>) {
    assert!(matches!(queue.submit(io), Submit::Queued));
}

/// Waits for the event and reaps, and nothing else, until everything has ended or it takes too long. Returns how often it went round.
fn reap_by_event(queue: &mut Queue, done: &mut Vec<Done<Vec<u8>>>, limit: Duration) -> u32 {
    let end = Instant::now() + limit;
    let mut rounds = 0;
    while queue.in_flight() > 0 && Instant::now() < end {
        if is_readable(queue.event().expect("an event"), end - Instant::now()) {
            rounds += 1;
            queue.reap(done);
        }
    }
    rounds
}

fn statuses(done: &[Done<Vec<u8>>]) -> Vec<Status> {
    done.iter().map(Done::status).collect()
}

#[test]
fn everything_ends_for_who_only_waits_for_the_event() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    for round in 0..50 {
        for tag in 0..16 {
            submit(&mut queue, read(tag));
        }
        queue.kick().expect("a working link");
        let mut done = Vec::new();
        reap_by_event(&mut queue, &mut done, 2 * S);
        assert_eq!(statuses(&done), [Status::Ok; 16], "in round {round}");
    }
}

#[test]
fn the_event_is_readable_when_a_kick_has_taken_what_there_is_to_reap_and_not_after_that() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    // No timer of before is left.
    thread::sleep(400 * MS);
    queue.reap(&mut Vec::new());
    machine.near.slow.store(true, Ordering::Relaxed);
    submit(&mut queue, read(1));
    queue.kick().expect("a working link");
    assert!(is_readable(queue.event().expect("an event"), S), "a request to reap and a silent event");
    let mut done = Vec::new();
    queue.reap(&mut done);
    assert_eq!(statuses(&done), [Status::Ok]);
    assert!(!is_readable(queue.event().expect("an event"), Duration::ZERO), "everything was reaped");
}

#[test]
fn what_was_lost_is_sent_again_for_who_only_waits_for_the_event() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    thread::sleep(50 * MS);
    // Two replies in a row: the third sending is answered.
    machine.far.lose.store(2, Ordering::Relaxed);
    submit(&mut queue, read(1));
    queue.kick().expect("a working link");
    let mut done = Vec::new();
    let rounds = reap_by_event(&mut queue, &mut done, 3 * S);
    assert_eq!(statuses(&done), [Status::Ok], "after {rounds} rounds");
    assert_eq!(machine.far.lose.load(Ordering::Relaxed), 0);
    assert!(rounds < 20, "{rounds} rounds for two timers and a reply");
}

#[test]
fn an_idle_queue_does_not_make_its_event_readable_again_and_again() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    let mut done = Vec::new();
    submit(&mut queue, read(1));
    queue.kick().expect("a working link");
    reap_by_event(&mut queue, &mut done, S);
    assert_eq!(statuses(&done), [Status::Ok]);
    // The timer of the retransmission that was not needed goes off meanwhile.
    let (end, mut rounds) = (Instant::now() + 600 * MS, 0);
    while Instant::now() < end {
        if is_readable(queue.event().expect("an event"), 50 * MS) {
            rounds += 1;
            queue.reap(&mut done);
        }
    }
    assert!(rounds < 10, "{rounds} rounds, idle");
}

#[test]
fn a_change_of_size_is_seen_by_a_queue_that_is_idle() {
    let machine = Machine::default();
    let disk = connect(&machine);
    let mut queue = queue(&disk);
    let sectors = || Backend::<Vec<u8>>::info(&disk).sectors;
    assert_eq!(sectors(), SECTORS);
    machine.sectors.store(SECTORS * 2, Ordering::Relaxed);
    let end = Instant::now() + 2 * S;
    while sectors() == SECTORS && Instant::now() < end {
        if is_readable(queue.event().expect("an event"), 100 * MS) {
            queue.reap(&mut Vec::new());
        }
    }
    assert_eq!(sectors(), SECTORS * 2);
}

#[test]
fn a_queue_may_be_dropped_with_requests_in_flight_whose_replies_are_lost() {
    let machine = Machine::default();
    let disk = connect(&machine);
    let mut one = queue(&disk);
    machine.far.lose.store(u32::MAX, Ordering::Relaxed);
    for tag in 0..4 {
        submit(&mut one, read(tag));
    }
    one.kick().expect("a working link");
    drop(one);
    machine.far.lose.store(0, Ordering::Relaxed);
    let mut shallow: Queue = disk.open_queue(0).expect("a queue");
    submit(&mut shallow, read(1));
    let Submit::Full(io) = shallow.submit(read(2)) else { panic!("a queue for one takes two") };
    let _ = io.abandon();
    shallow.kick().expect("a working link");
    let mut done = Vec::new();
    reap_by_event(&mut shallow, &mut done, 2 * S);
    assert_eq!(statuses(&done), [Status::Ok]);
}

#[test]
fn frames_that_arrive_without_pause_do_not_hold_up_a_kick() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    machine.near.flood.store(true, Ordering::Relaxed);
    let returned = within(5 * S, move || {
        submit(&mut queue, read(1));
        queue.kick().expect("a working link");
        let mut done = Vec::new();
        for _ in 0..1000 {
            queue.reap(&mut done);
            thread::sleep(MS);
            if !done.is_empty() {
                break;
            }
        }
        statuses(&done)
    });
    machine.near.flood.store(false, Ordering::Relaxed);
    assert_eq!(returned, Some(vec![Status::Ok]));
}

#[test]
fn a_link_that_breaks_ends_nothing_while_there_is_another() {
    let (good, bad) = (Machine::default(), Machine::default());
    let (one, two) = (good.opener(), bad.opener());
    let open = move || Ok(one()?.into_iter().chain(two()?).collect());
    let disk = RemoteDisk::connect(OWN, AttachOptions::default(), open).expect("the target");
    let mut queue = queue(&disk);
    thread::sleep(50 * MS);
    bad.near.broken.store(true, Ordering::Relaxed);
    let mut done = Vec::new();
    for tag in 0..8 {
        submit(&mut queue, read(tag));
    }
    queue.kick().expect("one link works");
    reap_by_event(&mut queue, &mut done, 5 * S);
    assert_eq!(statuses(&done), [Status::Ok; 8]);
}

#[test]
fn when_the_last_link_breaks_what_is_in_flight_ends_as_aborted() {
    let machine = Machine::default();
    let mut queue = queue(&connect(&machine));
    submit(&mut queue, read(1));
    machine.near.broken.store(true, Ordering::Relaxed);
    queue.kick().expect_err("the only link is broken");
    let mut done = Vec::new();
    queue.reap(&mut done);
    assert_eq!((statuses(&done), queue.in_flight()), (vec![Status::Aborted], 0));
}

#[test]
fn a_remote_disk_is_identified_though_the_options_say_otherwise() {
    let machine = Machine::default();
    let open = machine.opener();
    let connected = within(5 * S, move || {
        let options = AttachOptions { identify: false, deadline: S, ..AttachOptions::default() };
        RemoteDisk::connect(OWN, options, open).map(|disk| Backend::<Vec<u8>>::info(&disk).sectors)
    });
    assert!(matches!(connected, Some(Ok(SECTORS))), "{connected:?}");
}

#[test]
fn a_target_that_does_not_say_what_its_disk_is_cannot_be_used() {
    let machine = Machine::default();
    machine.far.lose.store(u32::MAX, Ordering::Relaxed);
    let options = AttachOptions { deadline: 300 * MS, ..AttachOptions::default() };
    let began = Instant::now();
    let error = RemoteDisk::connect(OWN, options.clone(), machine.opener()).expect_err("it is silent");
    assert!(matches!(error, ConnectError::Target { source: Failure::Timeout { .. }, .. }), "{error:?}");
    assert!((300 * MS..2 * S).contains(&began.elapsed()), "{:?}", began.elapsed());

    let began = Instant::now();
    let error = RemoteDisk::connect(Address::new(9, 9), options, machine.opener()).expect_err("nobody");
    assert!(matches!(error, ConnectError::Target { source: Failure::NotFound, .. }), "{error:?}");
    assert!((300 * MS..2 * S).contains(&began.elapsed()), "{:?}", began.elapsed());
}
#[test]
fn a_link_that_broke_with_frames_in_it_does_not_keep_the_event_readable() {
    let (good, bad) = (Machine::default(), Machine::default());
    let (one, two) = (good.opener(), bad.opener());
    let open = move || Ok(one()?.into_iter().chain(two()?).collect());
    let disk = RemoteDisk::connect(OWN, AttachOptions::default(), open).expect("the target");
    let mut queue = queue(&disk);
    thread::sleep(50 * MS);
    queue.reap(&mut Vec::new());
    bad.near.broken.store(true, Ordering::Relaxed);
    // Says so by a frame that nobody will receive.
    bad.sectors.store(SECTORS * 2, Ordering::Relaxed);
    thread::sleep(50 * MS);
    let (end, mut rounds) = (Instant::now() + 300 * MS, 0);
    while Instant::now() < end {
        if is_readable(queue.event().expect("an event"), 50 * MS) {
            rounds += 1;
            queue.reap(&mut Vec::new());
        }
    }
    assert!(rounds < 20, "{rounds} rounds in 300 ms, idle");
}
