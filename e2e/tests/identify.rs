//! Conformance cases 25 to 28: IDENTIFY DEVICE (ATA8-ACS §7.12).

use e2e::disk::SECTORS;
use e2e::request::identify;
use e2e::{B, Reply, SECTOR, Setup, ata, on_a_wire};

fn page(reply: &Reply) -> &[u8] {
    reply.assert(reply.bytes().len() == 36 + SECTOR, "is not 548 bytes long");
    reply.good();
    &reply.bytes()[36..]
}

fn word(page: &[u8], index: usize) -> u16 {
    u16::from_le_bytes([page[2 * index], page[2 * index + 1]])
}

/// The characters of these words, each of which holds its first character in the high byte.
fn text(page: &[u8], words: std::ops::Range<usize>) -> String {
    let bytes: Vec<u8> = words.flat_map(|index| word(page, index).to_be_bytes()).collect();
    assert!(bytes.iter().all(|byte| (0x20..0x7f).contains(byte)), "not printable: {bytes:02x?}");
    String::from_utf8(bytes).expect("ASCII").trim_end().to_owned()
}

#[test]
fn case_25_identify_tells_capacity_features_names_and_a_valid_checksum() {
    on_a_wire(|lab| {
        let reply = lab.ask(&identify().length(36));
        let page = page(&reply);
        assert_eq!(word(page, 0), 0x0040);
        assert_eq!([1, 3, 6].map(|index| word(page, index)), [16, 16, 63], "geometry");
        assert_eq!(word(page, 49) & 0x0300, 0x0300, "LBA and DMA");
        let lba28 = u32::from(word(page, 60)) | u32::from(word(page, 61)) << 16;
        assert_eq!(u64::from(lba28), SECTORS);
        let lba48: Vec<_> = (100..104).map(|index| word(page, index)).collect();
        assert_eq!(lba48, [SECTORS as u16, 0, 0, 0]);
        assert_eq!(word(page, 83) & 0xf400, 0x7400, "LBA48, FLUSH CACHE and FLUSH CACHE EXT supported");
        assert_eq!(word(page, 86) & 0x3400, 0x3400, "and enabled");
        assert_eq!(word(page, 84) & 0xc000, 0x4000, "word 84 valid");
        assert_eq!(word(page, 87) & 0xc000, 0x4000, "word 87 valid");
        assert_eq!(word(page, 85) & 0x20, 0, "a write cache although writes are written through");
        assert_eq!(word(page, 106) & 0xc000, 0x4000, "word 106 valid");
        assert_eq!([117, 118].map(|index| word(page, index)), [0, 0], "sectors of 512 bytes");
        assert!(!text(page, 10..20).is_empty(), "no serial number");
        assert!(!text(page, 23..27).is_empty(), "no firmware revision");
        assert!(!text(page, 27..47).is_empty(), "no model number");
        assert_eq!(page[510], 0xa5, "checksum signature");
        assert_eq!(page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0, "checksum");
    });
}

#[test]
fn case_26_identify_cares_for_neither_count_nor_flags() {
    on_a_wire(|lab| {
        let data = page(&lab.ask(&identify())).to_vec();
        for (aflags, count) in [(0, 0), (0, 2), (0, 255), (0x01, 1), (0x40, 1), (0x10, 1), (0xff, 1)] {
            let reply = lab.ask(&ata(aflags, 0, count, 0xec).lba_bytes([0, 0, 0, 0xa0, 0, 0]));
            reply.good().with_data(&data);
        }
        lab.ask(&ata(0, 0, 1, 0xec).lba(0xffff_ffff_ffff)).good().with_data(&data);
    });
}

#[test]
fn case_27_identify_in_a_frame_with_trailing_bytes_gets_548_bytes() {
    on_a_wire(|lab| {
        page(&lab.ask(&identify().length(1060)));
        page(&lab.ask(&identify().length(1514)));
    });
}

#[test]
fn case_28_identify_to_all_targets_is_answered() {
    on_a_wire(|lab| {
        for (shelf, slot) in [(0xffff, 0xff), (7, 0xff), (0xffff, 3)] {
            page(&lab.ask(&identify().to(B).at(shelf, slot)));
        }
    });
}

#[test]
fn the_serial_number_is_the_same_after_a_restart() {
    on_a_wire(|lab| {
        let before = text(page(&lab.ask(&identify())), 10..20);
        lab.restart();
        assert_eq!(text(page(&lab.ask(&identify())), 10..20), before);
    });
}

#[test]
fn the_names_given_at_the_start_are_told() {
    Setup::default().options(&["--serial", "ROOM 5 RACK 2", "--model", "Left Shelf"]).run(|lab| {
        let reply = lab.ask(&identify());
        assert_eq!(text(page(&reply), 10..20), "ROOM 5 RACK 2");
        assert_eq!(text(page(&reply), 27..47), "Left Shelf");
    });
}

#[test]
fn a_write_back_cache_is_told() {
    for (cache, told) in [("writeback", true), ("none", true), ("writethrough", false), ("directsync", false)]
    {
        Setup::default().options(&["--cache", cache]).run(|lab| {
            let reply = lab.ask(&identify());
            assert_eq!(word(page(&reply), 85) & 0x20 != 0, told, "--cache {cache}");
            lab.write(5, &[0xca; SECTOR]);
            lab.read(4, 2);
        });
    }
}
