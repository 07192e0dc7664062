//! Conformance cases 47 to 51: the other ATA commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::net::skip;
use e2e::request::{identify, read, write};
use e2e::{Lab, SECTOR, Setup, ata, on_a_wire};

/// How many times the traced target has synced its disk.
fn syncs(trace: &Path) -> usize {
    let text = fs::read_to_string(trace).expect("the trace");
    text.lines().filter(|line| line.contains("sync(") && line.contains("= 0")).count()
}

#[test]
fn case_47_a_flush_syncs_the_disk_before_it_is_answered() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skip("needs the command strace: apt-get install strace");
    }
    let dir = tempfile::tempdir().expect("a scratch directory");
    let trace = dir.path().join("trace");
    // What io_uring does cannot be traced; without it, the same disk works on threads.
    let without_ring =
        ["-e", "inject=io_uring_setup:error=EPERM", "-e", "trace=fsync,fdatasync,io_uring_setup"];
    let output = trace.display().to_string();
    let strace = [&["strace", "-D", "-f", "-o", &output][..], &without_ring].concat();
    // Without write-through, so that it is the flush that syncs.
    Setup::default().wrapper(&strace).options(&["--cache", "writeback"]).run(|lab| {
        assert_eq!(
            lab.target.stderr().matches("io_uring is forbidden").count(),
            1,
            "{}",
            lab.target.stderr()
        );
        lab.write(5, &[0x5f; SECTOR]);
        for (aflags, count, command) in
            [(0, 0, 0xe7), (0, 1, 0xe7), (0, 0, 0xea), (0, 1, 0xea), (0x40, 0, 0xe7)]
        {
            let before = syncs(&trace);
            let reply = lab.ask(&ata(aflags, 0, count, command));
            reply.good_with_count(count);
            assert!(
                syncs(&trace) > before,
                "{aflags:02x}/00/{count:02x}/{command:02x} was answered without a sync"
            );
        }
    });
}

#[test]
fn case_48_check_power_mode_says_active_and_sends_no_data_for_it() {
    on_a_wire(|lab| {
        for count in [0, 1, 255] {
            let reply = lab.ask(&ata(0, 0, count, 0xe5));
            reply.good_with_count(0xff);
            assert_eq!(reply.bytes().len(), 60);
        }
    });
}

fn write_cache(lab: &mut Lab) -> bool {
    let reply = lab.ask(&identify());
    reply.good().bytes()[36 + 2 * 85] & 0x20 != 0
}

#[test]
fn case_49_power_commands_and_some_features_are_accepted() {
    on_a_wire(|lab| {
        for command in 0xe0..=0xe3 {
            lab.ask(&ata(0, 0, 0, command)).good();
            lab.ask(&ata(0, 0, 12, command)).good_with_count(12);
        }
        for feature in [0x02, 0x82, 0xaa, 0x55] {
            lab.ask(&ata(0, feature, 0, 0xef).lba_bytes([0, 0, 0, 0xa0, 0, 0])).good();
        }
        lab.ask(&ata(0, 0x99, 0, 0xef)).failed(0x04, 0);
        lab.ask(&ata(0, 0x99, 7, 0xef)).failed(0x04, 7);
    });
}

#[test]
fn case_49_the_write_cache_is_switched_on_and_off() {
    on_a_wire(|lab| {
        for (feature, on) in [(0x02, true), (0x82, false), (0x02, true)] {
            lab.ask(&ata(0, feature, 0, 0xef)).good();
            assert_eq!(write_cache(lab), on, "word 85 bit 5 after SET FEATURES {feature:02x}");
            lab.write(3, &[feature; SECTOR]);
            lab.read(3, 1);
        }
    });
}

#[test]
fn case_50_commands_that_are_not_offered_are_aborted() {
    on_a_wire(|lab| {
        for command in [0x00, 0x08, 0x90, 0xa1, 0xc6, 0xf1, 0xb0, 0x60, 0xe6, 0x10, 0x91, 0x70, 0x2f, 0x92] {
            for count in [0, 1, 255] {
                lab.ask(&ata(0, 0, count, command)).failed(0x04, count);
                lab.ask(&ata(0x41, 0, count, command).data(&[0xdd; SECTOR])).failed(0x04, count);
            }
        }
        lab.disk.verify();
    });
}

#[test]
fn case_51_the_dma_commands_are_the_same_as_the_others() {
    on_a_wire(|lab| {
        let sectors = lab.disk.sectors(100, 2).to_vec();
        lab.ask(&ata(0, 0, 2, 0xc8).lba_bytes([100, 0, 0, 0xe0, 0, 0])).good().with_data(&sectors);
        lab.ask(&ata(0x40, 0, 2, 0x25).lba(100)).good().with_data(&sectors);
        lab.ask(&ata(0x01, 0, 1, 0xca).lba_bytes([100, 0, 0, 0xe0, 0, 0]).data(&[0xca; SECTOR])).good();
        lab.disk.expect(100, &[0xca; SECTOR]);
        lab.ask(&ata(0x41, 0, 1, 0x35).lba(101).data(&[0x35; SECTOR])).good();
        lab.disk.expect(101, &[0x35; SECTOR]);
        lab.read(100, 2);
    });
}

#[test]
fn read_verify_checks_the_range_and_sends_no_data() {
    on_a_wire(|lab| {
        for (aflags, command) in [(0, 0x40), (0x40, 0x42)] {
            lab.ask(&ata(aflags, 0, 2, command).lba(100)).good();
            lab.ask(&ata(aflags, 0, 2, command).lba(16_383)).failed(0x10, 2);
            lab.ask(&ata(aflags, 0, 0, command).lba(100)).failed(0x04, 0);
        }
    });
}

#[test]
fn no_bytes_of_an_earlier_frame_appear_in_a_later_reply() {
    on_a_wire(|lab| {
        lab.write(1, &[0x41; SECTOR]);
        // The reply of 60 bytes is longer than these requests; Reply checks that the rest is zero.
        lab.ask(&ata(0, 0, 0, 0xe7).length(36)).good();
        lab.ask(&write(1, &[0x42; SECTOR]).at(7, 3).length(36)).refused(2);
        lab.ask(&read(16_384, 1).length(36)).failed(0x10, 1);
    });
}
