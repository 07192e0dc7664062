//! Conformance cases 29 to 46: reads and writes.

use e2e::disk::SECTORS;
use e2e::request::{flush, identify, read, write};
use e2e::{B, Lab, Request, SECTOR, Setup, ata, on_a_wire};

/// Sectors that occur nowhere on the disk.
fn fresh(count: usize) -> Vec<u8> {
    (0..count * SECTOR).map(|i| b"CONFORMANCE!"[i % 12].wrapping_add((i / SECTOR) as u8)).collect()
}

#[test]
fn case_29_a_sector_is_read_by_48_and_by_28_bit_commands() {
    on_a_wire(|lab| {
        let sector = lab.disk.sectors(0, 1).to_vec();
        lab.ask(&read(0, 1)).good().with_data(&sector);
        lab.ask(&ata(0, 0, 1, 0x20).lba_bytes([0, 0, 0, 0xe0, 0, 0])).good().with_data(&sector);
    });
}

#[test]
fn case_30_the_last_two_sectors_are_read() {
    on_a_wire(|lab| {
        let reply = lab.ask(&read(SECTORS - 2, 2));
        reply.good().with_data(lab.disk.sectors(SECTORS - 2, 2));
        assert_eq!(reply.bytes().len(), 1060);
    });
}

#[test]
fn case_31_a_read_beyond_the_end_fails_with_idnf_and_no_data() {
    on_a_wire(|lab| {
        lab.ask(&read(SECTORS - 1, 2)).failed(0x10, 2);
        lab.ask(&read(SECTORS, 1)).failed(0x10, 1);
        lab.ask(&read((1 << 48) - 1, 1)).failed(0x10, 1);
        lab.ask(&read((1 << 48) - 1, 2)).failed(0x10, 2);
    });
}

#[test]
fn case_32_a_read_of_more_than_fits_a_frame_fails_with_abrt() {
    on_a_wire(|lab| {
        for count in [3, 4, 128, 255] {
            lab.ask(&read(0, count)).failed(0x04, count);
        }
    });
}

#[test]
fn case_33_a_read_of_no_sectors_fails_with_abrt() {
    on_a_wire(|lab| {
        lab.ask(&ata(0, 0, 0, 0x20)).failed(0x04, 0);
        lab.ask(&ata(0x40, 0, 0, 0x24)).failed(0x04, 0);
    });
}

#[test]
fn case_34_a_48_bit_read_without_the_e_flag_works_below_2_to_the_28_only() {
    on_a_wire(|lab| {
        let sector = lab.disk.sectors(5, 1).to_vec();
        lab.ask(&ata(0, 0, 1, 0x24).lba(5)).good().with_data(&sector);
        lab.ask(&ata(0, 0, 1, 0x24).lba((1 << 28) + 5)).failed(0x04, 1);
    });
}

#[test]
fn case_35_a_28_bit_read_masks_the_device_bits_and_ignores_the_upper_lba() {
    on_a_wire(|lab| {
        let sector = lab.disk.sectors(0, 1).to_vec();
        for aflags in [0, 0x40] {
            let first = ata(aflags, 0, 1, 0x20).lba_bytes([0, 0, 0, 0xe0, 0xff, 0xff]);
            lab.ask(&first).good().with_data(&sector);
            lab.ask(&ata(aflags, 0, 1, 0x20).lba_bytes([0, 0, 0, 0xef, 0, 0])).failed(0x10, 1);
        }
    });
}

#[test]
fn case_36_a_read_is_not_disturbed_by_flags_or_trailing_data() {
    on_a_wire(|lab| {
        let sectors = lab.disk.sectors(77, 2).to_vec();
        for aflags in [0x41, 0x42, 0x50, 0x52, 0xff] {
            lab.ask(&ata(aflags, 0, 2, 0x24).lba(77)).good().with_data(&sectors);
        }
        lab.ask(&read(77, 2).data(&fresh(1))).good().with_data(&sectors);
        lab.ask(&ata(0x41, 0, 1, 0x24).lba(77).data(&fresh(1))).good().with_data(&sectors[..SECTOR]);
    });
}

#[test]
fn case_37_a_read_in_36_bytes_is_answered() {
    on_a_wire(|lab| {
        let sectors = lab.disk.sectors(64, 2).to_vec();
        lab.ask(&read(64, 2).length(36)).good().with_data(&sectors);
    });
}

#[test]
fn case_38_a_written_sector_is_read_back_and_the_reply_carries_none_of_it() {
    on_a_wire(|lab| {
        let reply = lab.ask(&write(10, &fresh(1)));
        reply.good();
        assert_eq!(reply.bytes()[36..], [0; 24]);
        lab.disk.expect(10, &fresh(1));
        lab.read(10, 1);
        lab.read(9, 2);
        lab.read(11, 1);
    });
}

#[test]
fn case_39_a_28_bit_write_of_two_sectors_is_read_back() {
    on_a_wire(|lab| {
        let write = ata(0x01, 0, 2, 0x30).lba_bytes([20, 0, 0, 0xe0, 0, 0]).data(&fresh(2));
        lab.ask(&write).good();
        lab.disk.expect(20, &fresh(2));
        lab.read(20, 2);
    });
}

#[test]
fn case_40_a_write_without_the_w_flag_is_a_write() {
    on_a_wire(|lab| {
        lab.ask(&ata(0x40, 0, 1, 0x34).lba(30).data(&fresh(1))).good();
        lab.disk.expect(30, &fresh(1));
        lab.read(30, 1);
    });
}

#[test]
fn case_41_an_asynchronous_write_is_a_write() {
    on_a_wire(|lab| {
        lab.ask(&ata(0x43, 0, 1, 0x34).lba(40).data(&fresh(1))).good();
        lab.disk.expect(40, &fresh(1));
        lab.read(40, 1);
    });
}

#[test]
fn case_42_a_write_with_less_payload_than_its_count_is_refused_with_error_2() {
    on_a_wire(|lab| {
        lab.ask(&ata(0x41, 0, 1, 0x34).lba(50).data(&fresh(1)[..511])).refused(2);
        lab.ask(&ata(0x41, 0, 2, 0x34).lba(50).data(&fresh(2)[..1023])).refused(2);
        lab.ask(&ata(0x41, 0, 1, 0x34).lba(50).data(&fresh(1)[..24])).refused(2);
        lab.ask(&ata(0x41, 0, 1, 0x34).lba(50).length(36)).refused(2);
        lab.disk.verify();
    });
}

#[test]
fn case_43_a_write_with_more_payload_than_its_count_writes_its_count() {
    on_a_wire(|lab| {
        lab.ask(&ata(0x41, 0, 1, 0x34).lba(60).data(&fresh(2))).good();
        lab.disk.expect(60, &fresh(1));
        lab.read(60, 2);
    });
}

#[test]
fn case_44_a_write_over_the_end_fails_with_idnf_and_writes_nothing() {
    on_a_wire(|lab| {
        lab.ask(&write(SECTORS - 1, &fresh(2))).failed(0x10, 2);
        lab.ask(&write(SECTORS, &fresh(1))).failed(0x10, 1);
        lab.ask(&write((1 << 48) - 1, &fresh(1))).failed(0x10, 1);
        lab.disk.verify();
    });
}

#[test]
fn case_45_a_read_only_export_aborts_writes_and_flushes_well() {
    Setup::default().options(&["-r"]).run(|lab| {
        lab.ask(&write(1, &fresh(1))).failed(0x04, 1);
        lab.ask(&ata(0x01, 0, 1, 0x30).lba_bytes([1, 0, 0, 0xe0, 0, 0]).data(&fresh(1))).failed(0x04, 1);
        lab.disk.verify();
        lab.ask(&flush()).good();
        lab.read(1, 1);
    });
}

fn ignores_for_all_targets(lab: &mut Lab, request: &Request) {
    for (shelf, slot) in [(0xffff, 0xff), (7, 0xff), (0xffff, 3)] {
        lab.quiet(&request.clone().at(shelf, slot));
        lab.quiet(&request.clone().at(shelf, slot).to(B));
    }
}

#[test]
fn case_46_of_ata_commands_for_all_targets_only_identify_is_executed() {
    on_a_wire(|lab| {
        ignores_for_all_targets(lab, &write(11, &fresh(1)));
        ignores_for_all_targets(lab, &read(11, 1));
        ignores_for_all_targets(lab, &flush());
        lab.disk.verify();
        lab.ask(&identify().at(0xffff, 0xff)).good();
    });
}

#[test]
fn a_write_of_no_sectors_or_of_more_than_fits_a_frame_fails_with_abrt() {
    on_a_wire(|lab| {
        lab.ask(&ata(0x41, 0, 0, 0x34).lba(70).data(&fresh(1))).failed(0x04, 0);
        lab.ask(&ata(0x41, 0, 3, 0x34).lba(70).data(&fresh(2))).failed(0x04, 3);
        lab.ask(&ata(0x41, 0, 255, 0x34).lba(70).data(&fresh(2))).failed(0x04, 255);
        lab.disk.verify();
    });
}
