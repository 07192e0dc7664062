//! Conformance cases 1 to 15: the common header, and who gets an answer.

use e2e::request::read;
use e2e::{B, Request, S, config, mac, mask, on_a_wire, reserve};

const PING: u8 = 0;

fn ping() -> Request {
    config(PING, &[])
}

#[test]
fn case_01_a_starting_target_advertises_itself_once_to_everybody() {
    on_a_wire(|lab| {
        let advertisements: Vec<_> = lab.opening.iter().filter(|frame| frame[14] & 8 != 0).collect();
        let [advertisement] = advertisements[..] else { panic!("not one but these: {advertisements:02x?}") };
        assert_eq!(advertisement.len(), 60);
        assert_eq!(advertisement[..6], B);
        assert_eq!(advertisement[6..12], e2e::T);
        assert_eq!(advertisement[12..24], [0x88, 0xa2, 0x18, 0, 0, 7, 3, 1, 0, 0, 0, 0]);
        assert!(u16::from_be_bytes([advertisement[24], advertisement[25]]) >= 2, "buffer count");
        assert_eq!(advertisement[28..32], [2, 0x10, 0, 0], "sector count, version and ccmd, length");
        assert_eq!(advertisement[32..], [0; 28]);
    });
}

#[test]
fn case_02_a_32_byte_query_to_all_targets_gets_a_60_byte_reply_to_the_sender_alone() {
    on_a_wire(|lab| {
        let reply = lab.ask(&ping().to(B).at(0xffff, 0xff).tagged(0).length(32));
        reply.good().with_string(b"");
        assert_eq!(reply.bytes().len(), 60);
        assert_eq!(reply.bytes()[28], 2, "sectors in a frame");
    });
}

#[test]
fn case_03_shelf_and_slot_are_wildcards_each_by_itself() {
    on_a_wire(|lab| {
        for (shelf, slot) in [(7, 0xff), (0xffff, 3)] {
            lab.ask(&ping().to(B).at(shelf, slot).tagged(0).length(32)).good();
        }
    });
}

#[test]
fn case_04_a_query_to_another_address_is_not_answered() {
    on_a_wire(|lab| {
        for (shelf, slot) in [(7, 4), (8, 3), (8, 0xff), (0xffff, 4)] {
            lab.quiet(&ping().to(B).at(shelf, slot));
            lab.quiet(&ping().at(shelf, slot));
        }
    });
}

#[test]
fn case_05_a_broadcast_frame_to_the_own_address_is_answered() {
    on_a_wire(|lab| {
        lab.ask(&ping().to(B)).good();
    });
}

#[test]
fn case_06_the_length_field_and_string_of_a_read_are_ignored() {
    on_a_wire(|lab| {
        let aoeping = config(PING, &[0xed; 1024]);
        assert_eq!(aoeping.bytes().len(), 1056);
        lab.ask(&aoeping).good().with_string(b"");
        lab.ask(&ping().claiming(0xffff)).good().with_string(b"");
    });
}

#[test]
fn case_07_a_response_is_not_answered() {
    on_a_wire(|lab| {
        for flags in [0x18, 0x1c, 0x08, 0x28] {
            lab.quiet(&ping().version_flags(flags));
            lab.quiet(&read(0, 1).version_flags(flags));
        }
    });
}

#[test]
fn case_08_another_version_is_refused_with_error_5_in_version_1() {
    on_a_wire(|lab| {
        for version in [0x20, 0x00, 0xf0] {
            lab.ask(&ping().version_flags(version)).refused(5);
            lab.ask(&read(0, 1).version_flags(version)).refused(5);
        }
    });
}

#[test]
fn case_09_another_version_to_all_targets_is_not_answered() {
    on_a_wire(|lab| {
        for version in [0x20, 0x00] {
            lab.quiet(&ping().to(B).at(0xffff, 0xff).version_flags(version));
        }
    });
}

#[test]
fn case_10_reserved_flags_and_the_error_byte_of_a_request_do_not_survive_into_the_reply() {
    on_a_wire(|lab| {
        lab.ask(&ping().version_flags(0x13)).good();
        lab.ask(&ping().version_flags(0x14).error(9)).good();
        let sectors = lab.disk.sectors(0, 1).to_vec();
        lab.ask(&read(0, 1).version_flags(0x14).error(9)).good().with_data(&sectors);
    });
}

#[test]
fn case_11_an_unknown_command_is_refused_with_error_1_and_nothing_after_the_tag() {
    on_a_wire(|lab| {
        for command in [4, 0x42, 0xf0, 0xff] {
            let unknown = Request::new(command, vec![0xab; 100]);
            let reply = lab.ask(&unknown);
            reply.refused(1);
            assert_eq!(reply.bytes()[24..], [0; 36]);
            lab.quiet(&unknown.at(0xffff, 0xff));
        }
    });
}

#[test]
fn case_12_frames_too_short_for_their_header_or_argument_are_not_answered() {
    on_a_wire(|lab| {
        for length in [14, 15, 18, 20, 23] {
            lab.quiet(&ping().length(length));
        }
        lab.quiet(&read(0, 1).length(35));
        lab.quiet(&ping().length(31));
        lab.quiet(&mask(0, &[]).length(27));
        lab.quiet(&reserve(0, &[]).length(25));
        // One byte more is enough.
        lab.read(0, 1);
        lab.ask(&ping().length(32)).good();
        lab.ask(&mask(0, &[]).length(28)).good();
        lab.ask(&reserve(0, &[]).length(26)).good();
    });
}

#[test]
fn case_13_any_tag_is_returned_as_it_came() {
    on_a_wire(|lab| {
        for tag in [0, 0xffff_ffff, 0x8000_0001, 0x0a0b_0c0d] {
            lab.ask(&ping().tagged(tag)).good();
            lab.ask(&read(1, 1).tagged(tag)).good();
        }
    });
}

#[test]
fn case_14_a_source_that_is_a_group_or_nobody_is_not_answered() {
    on_a_wire(|lab| {
        for source in [B, [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
            lab.quiet(&ping().from(source));
            lab.quiet(&ping().from(source).to(B).at(0xffff, 0xff));
            lab.quiet(&read(0, 1).from(source));
        }
        lab.ask(&ping().from(S)).good();
    });
}

#[test]
fn case_15_a_frame_for_another_station_is_not_answered_although_the_interface_takes_it_in() {
    on_a_wire(|lab| {
        lab.net.ip("link set tgt0 promisc on");
        for station in [mac(0xb3), [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
            lab.quiet(&ping().to(station));
            lab.quiet(&read(0, 1).to(station));
        }
    });
}
