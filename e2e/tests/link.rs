//! Conformance cases 64 and 65: the MTU, and links that come and go.

use std::thread;
use std::time::Duration;

use e2e::net::{CLIENT, TARGET};
use e2e::request::{show_mac, write};
use e2e::{Lab, Reply, S, SECTOR, Setup, T, config, mac, request};

/// How soon the target must be back once its link is.
const SOON: Duration = Duration::from_secs(5);

/// Sectors in a frame, as an advertisement or a config reply says.
fn sectors_in_a_frame(frame: &[u8]) -> u8 {
    assert_eq!(frame[14..24], [0x18, 0, 0, 7, 3, 1, 0, 0, 0, 0]);
    assert_eq!(frame.len(), 60);
    frame[28]
}

/// Waits for the advertisement that says this, and drops others.
#[track_caller]
fn await_sectors_in_a_frame(lab: &mut Lab, want: u8) {
    for _ in 0..4 {
        if sectors_in_a_frame(&lab.await_advertisement(SOON)) == want {
            return drain(lab);
        }
    }
    panic!("no advertisement of {want} sectors in a frame");
}

/// Drops what the target still has to say about a change of the link.
fn drain(lab: &mut Lab) {
    while lab.next(Duration::from_millis(150)).is_some() {}
}

/// The same over every way that frames can move.
fn over_each_link(setup: Setup, test: impl Fn(&mut Lab)) {
    for link in ["packet", "pnet"] {
        setup.clone().options(&["--link", link]).run(&test);
    }
}

#[test]
fn case_64_jumbo_frames_carry_17_sectors_and_no_more() {
    over_each_link(Setup::default().mtu(9000), |lab| {
        let reply = lab.ask(&config(0, b""));
        assert_eq!(reply.good().bytes()[28], 17);
        lab.read(40, 17);
        lab.read(40, 16);
        lab.ask(&request::read(40, 18)).failed(0x04, 18);
        lab.write(33, &[0x17; 17 * SECTOR]);
        lab.write(50, &[0x18; 16 * SECTOR]);
        lab.read(33, 17);
        lab.ask(&write(16_383, &[0x19; 2 * SECTOR])).failed(0x10, 2);
    });
}

#[test]
fn case_64_whatever_fits_the_frame_is_served_although_less_is_advertised() {
    // 1046 is the smallest MTU at which two sectors fit; (1046 - 36) / 512 is one.
    over_each_link(Setup::default().mtu(1046), |lab| {
        let reply = lab.ask(&config(0, b""));
        assert_eq!(reply.good().bytes()[28], 1);
        lab.read(40, 2);
        lab.write(42, &[0x2e; 2 * SECTOR]);
        lab.ask(&request::read(40, 3)).failed(0x04, 3);
    });
}

#[test]
fn case_64_the_smallest_mtu_carries_one_sector() {
    over_each_link(Setup::default().mtu(548), |lab| {
        assert_eq!(lab.ask(&config(0, b"")).good().bytes()[28], 1);
        lab.read(40, 1);
        lab.ask(&request::identify()).good();
        lab.ask(&request::read(40, 2)).failed(0x04, 2);
    });
}

#[test]
fn aligned_frames_are_advertised_on_request_and_others_still_served() {
    Setup::default().mtu(9000).options(&["--sector-align"]).run(|lab| {
        assert_eq!(lab.ask(&config(0, b"")).good().bytes()[28], 16);
        lab.read(40, 16);
        lab.read(40, 17);
    });
}

#[test]
fn case_65_a_changed_mtu_is_advertised_and_used() {
    over_each_link(Setup::default(), |lab| {
        for name in [CLIENT, TARGET] {
            lab.net.ip(&format!("link set {name} mtu 9000"));
        }
        await_sectors_in_a_frame(lab, 17);
        lab.read(40, 17);
        lab.write(33, &[0x17; 17 * SECTOR]);
        for name in [TARGET, CLIENT] {
            lab.net.ip(&format!("link set {name} mtu 1500"));
        }
        await_sectors_in_a_frame(lab, 2);
        lab.read(33, 2);
        lab.ask(&request::read(33, 3)).failed(0x04, 3);
    });
}

#[test]
fn case_65_a_link_that_went_down_and_up_is_served_again() {
    over_each_link(Setup::default(), |lab| {
        lab.write(7, &[7; SECTOR]);
        for pause in [0, 50, 500] {
            lab.net.ip(&format!("link set {TARGET} down"));
            thread::sleep(Duration::from_millis(pause));
            lab.target.assert_alive();
            lab.net.ip(&format!("link set {TARGET} up"));
            await_sectors_in_a_frame(lab, 2);
            lab.read(7, 1);
            lab.write(8, &[8; SECTOR]);
        }
    });
}

#[test]
fn case_65_an_interface_that_was_removed_and_made_again_is_served_again() {
    over_each_link(Setup::default(), |lab| {
        lab.write(7, &[7; SECTOR]);
        for (mtu, sectors) in [(1500, 2), (9000, 17)] {
            lab.net.ip(&format!("link del {TARGET}"));
            thread::sleep(Duration::from_millis(300));
            lab.target.assert_alive();
            // The initiator listens before the target's interface is up, or it would miss what it waits for.
            lab.net.ip(&format!(
                "link add {TARGET} mtu {mtu} address {} type veth peer name {CLIENT} mtu {mtu} address {}",
                show_mac(T),
                show_mac(S)
            ));
            lab.net.ip(&format!("link set {CLIENT} up"));
            lab.reopen();
            lab.net.ip(&format!("link set {TARGET} up"));
            await_sectors_in_a_frame(lab, sectors);
            lab.read(7, sectors);
            lab.write(8, &[8; SECTOR]);
        }
    });
}

#[test]
fn case_65_a_new_address_of_the_interface_is_advertised_and_used() {
    over_each_link(Setup::default(), |lab| {
        let moved = mac(0xb9);
        lab.net.ip(&format!("link set {TARGET} address {}", show_mac(moved)));
        let advertisement = lab.await_advertisement(SOON);
        assert_eq!(advertisement[6..12], moved);
        drain(lab);
        let request = request::read(3, 1).to(moved).bytes();
        lab.client.send(&request);
        let frame = lab.next(SOON).expect("a reply");
        let reply = Reply::checked_at(&request, &frame, moved, [0, 7, 3]);
        reply.good().with_data(lab.disk.sectors(3, 1));
        let old = request::read(3, 1).bytes();
        lab.client.send(&old);
        assert_eq!(lab.next(Duration::from_millis(50)), None, "answers to its old address");
        lab.net.ip(&format!("link set {TARGET} address {}", show_mac(T)));
        lab.await_advertisement(SOON);
        drain(lab);
    });
}
