//! Waiting for an initiator: never too long, and never in vain again and again.
#![cfg(all(feature = "disk", target_os = "linux"))]

mod common;

use std::time::{Duration, Instant};

use aoe_initiator::bdev::{Extent, Io, Submit};
use aoe_initiator::{Address, AttachOptions, Control, Driver, Event, Initiator, RemoteId};
use common::{MS, Machine, OWN, S, SocketLink, is_readable, pair};

type TestDriver = Driver<SocketLink, Vec<u8>>;

fn settle(driver: &mut TestDriver) {
    while !driver.turn().expect("a working link").is_idle() {}
}

/// A driver with the target of a machine attached, idle.
fn ready(machine: &Machine) -> (TestDriver, RemoteId) {
    let mut driver = TestDriver::new([machine.open()]).expect("a driver");
    let id = driver.attach(OWN, AttachOptions::default());
    let end = Instant::now() + 5 * S;
    let mut is_ready = false;
    while !is_ready && Instant::now() < end {
        let idle = driver.turn().expect("a working link").is_idle();
        while let Some(event) = driver.poll() {
            is_ready |= matches!(event, Event::Ready(_));
        }
        if idle {
            driver.wait(100 * MS).expect("a wait");
        }
    }
    assert!(is_ready, "the target was not found");
    settle(&mut driver);
    while driver.poll().is_some() {}
    (driver, id)
}

/// How often a loop that turns and waits goes round in a time.
fn rounds(driver: &mut TestDriver, time: Duration) -> u32 {
    let (end, mut rounds) = (Instant::now() + time, 0);
    while Instant::now() < end {
        driver.wait(100 * MS).expect("a wait");
        let _ = driver.turn().expect("a working link");
        rounds += 1;
    }
    rounds
}

#[test]
fn deadlines_may_be_for_ever() {
    let [near, _far] = pair();
    let mut initiator = Initiator::<_, Vec<u8>>::new(1);
    initiator.add_link(near);
    let options = AttachOptions { deadline: Duration::MAX, ..AttachOptions::default() };
    let id = initiator.attach(OWN, options);
    initiator.control(id, Control::query(), Some(Duration::MAX));
    let _ = initiator.turn(MS).expect("a working link");
    assert!(initiator.deadline().is_some_and(|at| at < S), "it looks for the target");
}

#[test]
fn a_wait_may_be_for_as_long_as_it_takes() {
    let [near, far] = pair();
    let mut driver = TestDriver::new([near]).expect("a driver");
    far.socket.send(&[0; 60]).expect("room");
    driver.wait(Duration::MAX).expect("a wait");
}

#[test]
fn frames_of_a_link_that_was_added_later_are_noticed() {
    let [near, far] = pair();
    let mut driver = TestDriver::new([]).expect("a driver");
    driver.add_link(near);
    far.socket.send(&[0; 60]).expect("room");
    let began = Instant::now();
    driver.wait(2 * S).expect("a wait");
    assert!(began.elapsed() < S, "slept {:?} over a frame", began.elapsed());
}

#[test]
fn a_wait_does_not_sleep_over_a_request_that_can_begin() {
    let machine = Machine::default();
    let (mut driver, id) = ready(&machine);
    let io = Io::read(Extent::new(0, 1), vec![0; 512], 0);
    assert!(matches!(driver.submit(id, io), Submit::Queued));
    let began = Instant::now();
    driver.wait(2 * S).expect("a wait");
    assert!(began.elapsed() < S, "slept {:?}", began.elapsed());
}

#[test]
fn a_wait_ends_when_something_is_due() {
    let [near, _far] = pair();
    let mut driver = TestDriver::new([near]).expect("a driver");
    driver.attach(OWN, AttachOptions::default());
    settle(&mut driver);
    let due = driver.deadline().expect("the next query");
    driver.wait(10 * S).expect("a wait");
    let over = driver.now().saturating_sub(due);
    assert!(driver.now() + 2 * MS >= due && over < 500 * MS, "{:?} instead of {due:?}", driver.now());
}

#[test]
fn a_driver_that_was_armed_once_can_be_waited_for_without_spinning() {
    let [near, _far] = pair();
    let mut driver = TestDriver::new([near]).expect("a driver");
    driver.attach(Address::new(9, 9), AttachOptions::default());
    settle(&mut driver);
    driver.arm().expect("a timer");
    let rounds = rounds(&mut driver, 600 * MS);
    assert!(rounds < 50, "{rounds} rounds in 600 ms");
}

#[test]
fn a_driver_with_nothing_to_do_is_silent_after_its_timer_has_gone_off() {
    let [near, _far] = pair();
    let mut driver = TestDriver::new([near]).expect("a driver");
    let options = AttachOptions { deadline: 50 * MS, ..AttachOptions::default() };
    driver.attach(Address::new(9, 9), options);
    settle(&mut driver);
    driver.arm().expect("a timer");
    std::thread::sleep(300 * MS);
    settle(&mut driver);
    while driver.poll().is_some() {}
    driver.arm().expect("a timer");
    assert!(!is_readable(driver.event().expect("an event"), 100 * MS));
    let rounds = rounds(&mut driver, 300 * MS);
    assert!(rounds < 10, "{rounds} rounds in 300 ms, deadline {:?}", driver.deadline());
}

#[test]
fn arming_at_the_very_moment_when_the_timer_goes_off_leaves_nothing_readable() {
    let [near, _far] = pair();
    let mut driver = TestDriver::new([near]).expect("a driver");
    for _ in 0..5 {
        let id = driver.attach(OWN, AttachOptions::default());
        settle(&mut driver);
        let due = driver.deadline().expect("the next query");
        driver.arm().expect("a timer");
        driver.detach(id);
        while driver.poll().is_some() {}
        assert_eq!(driver.deadline(), None);
        while driver.now() < due + 5 * MS {
            match driver.now() + 5 * MS > due {
                true => driver.arm().expect("a timer"),
                false => std::thread::sleep(MS),
            }
        }
        let (end, mut rounds) = (Instant::now() + 50 * MS, 0);
        while Instant::now() < end {
            if is_readable(driver.event().expect("an event"), 50 * MS) {
                rounds += 1;
                settle(&mut driver);
                driver.arm().expect("a timer");
            }
        }
        assert!(rounds < 10, "{rounds} rounds in 50 ms, idle");
    }
}
