//! Conformance cases 16 to 24: the config string.

use e2e::{B, Setup, config, on_a_wire};

const READ: u8 = 0;
const TEST: u8 = 1;
const PREFIX: u8 = 2;
const SET: u8 = 3;
const FORCE: u8 = 4;

#[test]
fn case_16_a_set_over_the_empty_string_stores_it() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"alpha")).good().with_string(b"alpha");
        lab.ask(&config(READ, b"")).good().with_string(b"alpha");
    });
}

#[test]
fn case_17_a_set_over_another_string_is_refused_with_the_stored_one() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"alpha")).good();
        lab.ask(&config(SET, b"alpha")).good().with_string(b"alpha");
        lab.ask(&config(SET, b"beta")).refused(4).with_string(b"alpha");
        lab.ask(&config(SET, b"")).refused(4).with_string(b"alpha");
        lab.ask(&config(SET, b"beta").to(B).at(0xffff, 0xff)).refused(4).with_string(b"alpha");
        lab.ask(&config(READ, b"")).good().with_string(b"alpha");
    });
}

#[test]
fn case_18_a_test_is_answered_only_when_the_whole_string_is_equal() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"alpha")).good();
        lab.ask(&config(TEST, b"alpha")).good().with_string(b"alpha");
        for other in [&b"alph"[..], b"alphb", b"alphaa", b"", b"alpha\0"] {
            lab.quiet(&config(TEST, other));
        }
    });
}

#[test]
fn case_19_a_prefix_test_is_answered_only_when_the_string_begins_with_it() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"alpha")).good();
        for prefix in [&b"al"[..], b"", b"alpha"] {
            lab.ask(&config(PREFIX, prefix)).good().with_string(b"alpha");
        }
        for other in [&b"alphabet"[..], b"b", b"lpha"] {
            lab.quiet(&config(PREFIX, other));
        }
    });
}

#[test]
fn case_20_a_string_of_1024_bytes_is_stored_and_returned_whole() {
    on_a_wire(|lab| {
        let string: Vec<u8> = (0..1024_u32).map(|i| (i * 7 / 4) as u8).collect();
        let force = config(FORCE, &string);
        assert_eq!(force.bytes().len(), 1056);
        lab.ask(&force).good().with_string(&string);
        let reply = lab.ask(&config(READ, b""));
        reply.good().with_string(&string);
        assert_eq!(reply.bytes().len(), 1056);
    });
}

#[test]
fn case_21_a_string_longer_than_its_frame_or_than_1024_bytes_is_refused_with_error_2() {
    on_a_wire(|lab| {
        lab.ask(&config(FORCE, b"kept")).good();
        lab.ask(&config(FORCE, &[0x7a; 28]).claiming(60)).refused(2).with_string(b"kept");
        lab.ask(&config(FORCE, &[0x7a; 28]).claiming(29)).refused(2).with_string(b"kept");
        lab.ask(&config(FORCE, &[0x7a; 1025])).refused(2).with_string(b"kept");
        lab.ask(&config(READ, b"")).good().with_string(b"kept");
    });
}

#[test]
fn case_22_a_string_may_fill_its_frame_and_an_empty_one_clears_it() {
    on_a_wire(|lab| {
        let force = config(FORCE, &[0x7a; 28]);
        assert_eq!(force.bytes().len(), 60);
        lab.ask(&force).good().with_string(&[0x7a; 28]);
        lab.ask(&config(FORCE, b"")).good().with_string(b"");
        lab.ask(&config(TEST, b"")).good().with_string(b"");
    });
}

#[test]
fn case_23_an_unknown_config_command_is_refused_and_a_forced_set_for_all_targets_ignored() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"alpha")).good();
        for ccmd in 5..=15 {
            lab.ask(&config(ccmd, b"beta")).refused(2).with_string(b"alpha");
        }
        for (shelf, slot) in [(0xffff, 0xff), (7, 0xff), (0xffff, 3)] {
            lab.quiet(&config(FORCE, b"beta").to(B).at(shelf, slot));
            lab.quiet(&config(9, b"beta").to(B).at(shelf, slot));
        }
        lab.ask(&config(READ, b"")).good().with_string(b"alpha");
    });
}

#[test]
fn case_24_the_string_survives_a_restart() {
    on_a_wire(|lab| {
        lab.ask(&config(SET, b"x")).good();
        lab.restart();
        assert_eq!(lab.opening.last().map(|frame| &frame[30..34]), Some(&[0, 1, b'x', 0][..]), "advertised");
        lab.ask(&config(READ, b"")).good().with_string(b"x");
    });
}

#[test]
fn case_24_the_string_survives_a_restart_in_a_named_directory() {
    let state = tempfile::tempdir().expect("a directory for the state");
    Setup::default().options(&["--state-dir", &state.path().display().to_string()]).run(|lab| {
        lab.ask(&config(SET, b"x")).good();
        let files = || std::fs::read_dir(state.path()).expect("the directory").count();
        assert!(files() > 0, "nothing stored in the directory named on the command line");
        lab.restart();
        lab.ask(&config(READ, b"")).good().with_string(b"x");
    });
}
