//! Conformance cases 52 to 56: the MAC mask list, and the list given at the start.

use e2e::lab::PATIENCE;
use e2e::request::show_mac;
use e2e::{B, Lab, Mac, S, SECTOR, Setup, config, mac, mask, on_a_wire, request};

const READ: u8 = 0;
const EDIT: u8 = 1;
const NOP: u8 = 0;
const ADD: u8 = 1;
const DELETE: u8 = 2;

fn assert_list(lab: &mut Lab, macs: &[Mac]) {
    lab.ask(&mask(READ, &[])).good().with_list(macs);
}

#[test]
fn case_52_only_the_members_of_the_list_are_answered() {
    on_a_wire(|lab| {
        let members = [S, mac(0x0b), mac(0x0c)];
        for n in 1..=3 {
            lab.ask(&mask(EDIT, &[(ADD, members[n - 1])])).good().with_list(&members[..n]);
        }
        assert_list(lab, &members);
        for member in members {
            lab.ask(&config(0, b"").from(member)).good();
            lab.ask(&request::read(0, 1).from(member)).good();
        }
        for stranger in [mac(0x0d), [0; 6]] {
            lab.quiet(&config(0, b"").from(stranger));
            lab.quiet(&config(0, b"").from(stranger).to(B).at(0xffff, 0xff));
            lab.quiet(&request::read(0, 1).from(stranger));
            lab.quiet(&request::write(0, &[1; SECTOR]).from(stranger));
            lab.quiet(&mask(READ, &[]).from(stranger));
            lab.quiet(&mask(EDIT, &[(ADD, stranger)]).from(stranger));
        }
        assert_list(lab, &members);
    });
}

#[test]
fn case_53_the_directives_of_one_frame_are_carried_out_in_order() {
    on_a_wire(|lab| {
        let edit = mask(
            EDIT,
            &[(ADD, S), (NOP, [0; 6]), (ADD, mac(0x0b)), (DELETE, mac(0x0b)), (DELETE, mac(0x0e))],
        );
        lab.ask(&edit).good().with_list(&[S]);
        assert_list(lab, &[S]);
        lab.ask(&mask(EDIT, &[(ADD, S)])).good().with_list(&[S]);
    });
}

#[test]
fn case_54_a_bad_directive_ends_the_edit_and_is_named() {
    on_a_wire(|lab| {
        let reply = lab.ask(&mask(EDIT, &[(NOP, S), (7, mac(0x0b)), (ADD, mac(0x0c))]));
        assert_eq!(reply.good().bytes()[24..28], [0, 1, 2, 1], "merror 2, index 1");
        assert_list(lab, &[]);
        let reply = lab.ask(&mask(EDIT, &[(ADD, S), (7, mac(0x0b)), (ADD, mac(0x0c))]));
        assert_eq!(reply.good().bytes()[24..28], [0, 1, 2, 1]);
        assert_list(lab, &[S]);
    });
}

#[test]
fn case_54_a_group_or_zero_address_is_not_admitted() {
    on_a_wire(|lab| {
        for bad in [B, [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
            let reply = lab.ask(&mask(EDIT, &[(NOP, S), (NOP, S), (ADD, bad)]));
            assert_eq!(reply.good().bytes()[24..28], [0, 1, 1, 2], "merror 1, index 2");
            assert_list(lab, &[]);
        }
    });
}

#[test]
fn case_55_more_directives_than_the_frame_holds_or_an_unknown_command_are_refused() {
    on_a_wire(|lab| {
        lab.ask(&mask(EDIT, &[(ADD, S)]).claiming(255)).refused(2);
        lab.ask(&mask(EDIT, &[(ADD, S)]).claiming(5)).refused(2);
        for mcmd in [2, 3, 255] {
            lab.ask(&mask(mcmd, &[(ADD, S)])).refused(2);
        }
        assert_list(lab, &[]);
    });
}

#[test]
fn case_56_removing_the_only_member_opens_the_target_to_everybody() {
    on_a_wire(|lab| {
        lab.ask(&mask(EDIT, &[(ADD, S)])).good().with_list(&[S]);
        lab.quiet(&config(0, b"").from(mac(0x0d)));
        lab.ask(&mask(EDIT, &[(DELETE, S)])).good().with_list(&[]);
        lab.ask(&config(0, b"").from(mac(0x0d))).good();
    });
}

#[test]
fn an_edit_for_all_targets_is_ignored_and_a_read_answered() {
    on_a_wire(|lab| {
        lab.quiet(&mask(EDIT, &[(ADD, S)]).to(B).at(0xffff, 0xff));
        lab.ask(&mask(READ, &[]).to(B).at(0xffff, 0xff)).good().with_list(&[]);
    });
}

#[test]
fn a_list_takes_as_many_members_as_a_frame_can_report() {
    // (MTU - 14) / 8
    const ROOM: usize = 185;
    let member = |n: usize| if n == 0 { S } else { [2, 0, 0, 1, (n >> 8) as u8, n as u8] };
    on_a_wire(|lab| {
        let members: Vec<_> = (0..ROOM).map(member).collect();
        let add: Vec<_> = members.iter().map(|mac| (ADD, *mac)).collect();
        lab.ask(&mask(EDIT, &add)).good().with_list(&members);
        let reply = lab.ask(&mask(EDIT, &[(ADD, S), (ADD, member(ROOM))]));
        assert_eq!(reply.good().bytes()[24..28], [0, 1, 3, 1], "merror 3, index 1");
        assert_list(lab, &members);
    });
}

/// The receivers of the advertisements at the start: with a list, one copy for each member instead of one for everybody.
fn told(lab: &mut Lab) -> [Vec<u8>; 2] {
    let first = lab.opening.last().expect("an advertisement").clone();
    let second = lab.await_advertisement(PATIENCE);
    let mut told = [first, second].map(|frame| frame[..6].to_vec());
    told.sort();
    told
}

#[test]
fn the_list_survives_a_restart() {
    on_a_wire(|lab| {
        lab.ask(&mask(EDIT, &[(ADD, S), (ADD, mac(0x0b))])).good();
        lab.restart();
        assert_eq!(told(lab), [mac(0x0b), S]);
        assert_list(lab, &[S, mac(0x0b)]);
        lab.quiet(&config(0, b"").from(mac(0x0d)));
    });
}

#[test]
fn the_list_given_at_the_start_admits_only_its_members_and_cannot_be_edited_away() {
    let list = format!("{},{}", show_mac(S), show_mac(mac(0x0b)));
    Setup::default().options(&["-m", &list]).run(|lab| {
        assert_eq!(told(lab), [mac(0x0b), S]);
        lab.ask(&config(0, b"").from(mac(0x0b))).good();
        lab.quiet(&config(0, b"").from(mac(0x0d)));
        lab.ask(&mask(EDIT, &[(ADD, S), (ADD, mac(0x0d))])).good();
        lab.quiet(&config(0, b"").from(mac(0x0d)));
        lab.quiet(&request::read(0, 1).from(mac(0x0d)));
    });
}
