//! Conformance case 57: reservations.

use e2e::request::{flush, identify, read, write};
use e2e::{B, Lab, Mac, S, SECTOR, config, mac, on_a_wire, reserve};

const READ: u8 = 0;
const SET: u8 = 1;
const FORCE: u8 = 2;

const STRANGER: Mac = mac(0x0c);

fn assert_holders(lab: &mut Lab, holders: &[Mac]) {
    lab.ask(&reserve(READ, &[]).from(mac(0x0d))).good().with_list(holders);
}

#[test]
fn case_57_only_holders_use_the_disk_while_it_is_reserved() {
    on_a_wire(|lab| {
        lab.ask(&reserve(SET, &[S])).good().with_list(&[S]);
        lab.ask(&read(0, 1).from(STRANGER)).refused(6);
        let refusal = lab.ask(&write(0, &[1; SECTOR]).from(STRANGER));
        assert_eq!(refusal.refused(6).bytes()[36..], [0; 24]);
        lab.ask(&flush().from(STRANGER)).refused(6);
        lab.disk.verify();
        lab.ask(&identify().from(STRANGER)).good();
        lab.ask(&config(0, b"").from(STRANGER)).good();
        lab.read(0, 1);
        lab.write(0, &[2; SECTOR]);

        lab.ask(&reserve(SET, &[STRANGER]).from(STRANGER)).refused(6).with_list(&[S]);
        lab.ask(&reserve(SET, &[]).from(STRANGER)).refused(6).with_list(&[S]);
        lab.ask(&reserve(FORCE, &[STRANGER]).from(STRANGER)).good().with_list(&[STRANGER]);
        lab.ask(&read(0, 1)).refused(6);
        lab.ask(&reserve(SET, &[]).from(STRANGER)).good().with_list(&[]);
        lab.read(0, 1);

        lab.ask(&reserve(SET, &[S]).claiming(6)).refused(2).with_list(&[]);
        lab.ask(&reserve(3, &[S])).refused(2).with_list(&[]);
        assert_holders(lab, &[]);
    });
}

#[test]
fn case_57_all_of_several_holders_use_the_disk_and_may_release_it() {
    on_a_wire(|lab| {
        let holders = [mac(0x0e), STRANGER, S];
        lab.ask(&reserve(FORCE, &holders)).good().with_list(&holders);
        for holder in holders {
            lab.ask(&read(0, 1).from(holder)).good();
        }
        lab.ask(&read(0, 1).from(mac(0x0d))).refused(6);
        lab.ask(&reserve(SET, &[STRANGER]).from(mac(0x0e))).good().with_list(&[STRANGER]);
        lab.ask(&read(0, 1)).refused(6);
        lab.ask(&reserve(SET, &[]).from(STRANGER)).good().with_list(&[]);
        lab.ask(&read(0, 1)).good();
    });
}

#[test]
fn case_57_nobody_and_groups_hold_nothing() {
    on_a_wire(|lab| {
        for rcmd in [SET, FORCE] {
            lab.ask(&reserve(rcmd, &[S, [0; 6]])).refused(2);
            lab.ask(&reserve(rcmd, &[B])).refused(2);
            // Five entries in a frame whose padding would supply four of them.
            lab.ask(&reserve(rcmd, &[S]).claiming(5)).refused(2);
        }
        assert_holders(lab, &[]);
    });
}

#[test]
fn a_reservation_for_all_targets_is_ignored_and_a_read_answered() {
    on_a_wire(|lab| {
        for rcmd in [SET, FORCE] {
            lab.quiet(&reserve(rcmd, &[STRANGER]).to(B).at(0xffff, 0xff));
        }
        lab.ask(&reserve(READ, &[]).to(B).at(0xffff, 0xff)).good().with_list(&[]);
    });
}

#[test]
fn the_list_in_a_read_is_ignored() {
    on_a_wire(|lab| {
        lab.ask(&reserve(READ, &[STRANGER]).claiming(255)).good().with_list(&[]);
    });
}

#[test]
fn a_reservation_survives_a_restart() {
    on_a_wire(|lab| {
        lab.ask(&reserve(SET, &[S, mac(0x0e)])).good();
        lab.restart();
        lab.ask(&read(0, 1).from(STRANGER)).refused(6);
        assert_holders(lab, &[S, mac(0x0e)]);
        lab.read(0, 1);
    });
}
