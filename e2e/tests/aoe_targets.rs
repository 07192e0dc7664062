//! Every command of `aoe` against our target and Debian's, neither of which it can tell by its name.

use std::fs;
use std::path::Path;

use e2e::net::note;
use e2e::request::{S, T, show_mac};
use e2e::stage::{Kind, against_both, assert_equal, with_a_cable};
use e2e::tool::{Tool, aoe};
use e2e::{SECTOR, mac};

/// Sectors of the disk of these tests: 1 MiB.
const SECTORS: usize = 2048;

fn sectors(path: &Path, lba: usize, count: usize) -> Vec<u8> {
    fs::read(path).expect("a file")[lba * SECTOR..(lba + count) * SECTOR].to_vec()
}

#[test]
fn discover_lists_the_target_by_its_address_interface_and_size() {
    for (mtu, sectors_per_frame) in [(1500, 2), (9000, 17)] {
        against_both(mtu, SECTORS, |_, _, _| {
            let table = aoe("discover");
            table.good().took_at_most(8.0).prints(&["e7.3", "ini0", &show_mac(T)]);
            let found = aoe("discover --json").good().json();
            let found = found.as_array().expect("an array");
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0]["address"], "e7.3");
            assert_eq!(found[0]["mac"], show_mac(T));
            assert_eq!(found[0]["sectors"], SECTORS);
            assert_eq!(found[0]["sectors_per_frame"], sectors_per_frame);
        });
    }
}

#[test]
fn discover_looks_on_the_interfaces_it_is_given_or_on_all() {
    against_both(1500, SECTORS, |_, _, _| {
        Tool::new("discover ini0").on(&[]).run().good().prints(&["e7.3"]);
        Tool::new("discover").on(&[]).run().good().prints(&["e7.3", "ini0"]);
        Tool::new("discover tgt0").on(&[]).run().exits(3);
    });
}

#[test]
fn discover_finds_targets_by_the_beginning_of_their_config_string() {
    against_both(1500, SECTORS, |_, _, _| {
        aoe("config set e7.3 backup-1").good();
        aoe("discover --config backup").good().prints(&["e7.3", "backup-1"]);
        aoe("discover --config archive").exits(3);
    });
}

#[test]
fn ping_counts_replies_and_says_how_long_they_took() {
    against_both(1500, SECTORS, |_, _, _| {
        let pinged = aoe("ping e7.3 -c 3 -I 0.05");
        pinged.good().prints(&["ini0", &show_mac(T)]);
        assert!(pinged.text().contains("3 "), "{}", pinged.text());
        aoe("ping e7.3 -c 2 -I 0.05 --json").good().json();
    });
}

#[test]
fn identify_says_what_disk_it_is() {
    against_both(1500, SECTORS, |_, _, kind| {
        let said = aoe("identify e7.3");
        said.good().prints(&["2048", "LBA48"]);
        let raw = aoe("identify e7.3 --raw");
        raw.good();
        let words = raw.text().split_whitespace().count();
        assert_eq!(words, 256, "hdparm --Istdin takes 256 words");
        let json = aoe("identify e7.3 --json").good().json();
        assert!(json.is_object());
        note(&format!("identify, {kind:?}: {}", said.text().lines().next().unwrap_or_default()));
    });
}

#[test]
fn read_gives_the_whole_disk_or_a_range_to_a_file_or_a_pipe() {
    for mtu in [1500, 9000] {
        against_both(mtu, SECTORS, |stage, _, _| {
            let (disk, out) = (stage.path("disk"), stage.path("out"));
            Tool::new("read e7.3").arg(&out).run().good();
            assert_equal(&disk, &out);
            let range = aoe("read e7.3 - --offset 101 --length 77");
            range.good().prints_exactly(&sectors(&disk, 101, 77));
            aoe("read e7.3 - --offset 2047").good().prints_exactly(&sectors(&disk, 2047, 1));
        });
    }
}

#[test]
fn write_changes_the_range_it_is_given_and_nothing_else() {
    for mtu in [1500, 9000] {
        against_both(mtu, SECTORS, |stage, _, _| {
            let disk = stage.path("disk");
            let mut model = fs::read(&disk).expect("the disk");
            let new = stage.random("new", 333);
            Tool::new("write e7.3 --offset 1001").arg(&new).run().good();
            model[1001 * SECTOR..1334 * SECTOR].copy_from_slice(&fs::read(&new).expect("the file"));
            Tool::new("write e7.3 - --offset 3").stdin(&stage.random("more", 5)).run().good();
            model[3 * SECTOR..8 * SECTOR].copy_from_slice(&fs::read(stage.path("more")).expect("the file"));
            aoe("flush e7.3").took_at_most(15.0);
            assert!(fs::read(&disk).expect("the disk") == model, "the disk is not as written");
        });
    }
}

#[test]
fn a_partial_last_sector_is_refused_unless_it_is_to_be_padded() {
    against_both(1500, SECTORS, |stage, _, _| {
        let before = fs::read(stage.path("disk")).expect("the disk");
        let odd = stage.file("odd", &[7; 1000]);
        Tool::new("write e7.3").arg(&odd).run().refuses(2, &["--pad"]);
        assert!(fs::read(stage.path("disk")).expect("the disk") == before, "something was written");
        Tool::new("write e7.3 --pad").arg(&odd).run().good();
        let after = sectors(&stage.path("disk"), 0, 2);
        assert!(after == [&[7; 1000][..], &[0; 24]].concat(), "not padded with zeros");
    });
}

#[test]
fn the_config_string_is_set_once_forced_tested_and_cleared() {
    against_both(1500, SECTORS, |_, _, _| {
        aoe("config get e7.3").good().prints_exactly(b"\n");
        aoe("config set e7.3 alpha").good();
        aoe("config get e7.3").good().prints_exactly(b"alpha\n");
        aoe("config set e7.3 alpha").good();
        aoe("config set e7.3 beta").refuses(1, &["alpha"]);
        aoe("config test e7.3 alpha").good();
        aoe("config test e7.3 alph").exits(1).took_at_most(15.0);
        aoe("config force e7.3 beta").good();
        assert!(aoe("config get e7.3 --json").good().json().to_string().contains("beta"));
        aoe("config clear e7.3").good();
        aoe("config get e7.3").good().prints_exactly(b"\n");
    });
}

#[test]
fn bench_reads_for_as_long_as_it_is_told_and_counts_replies() {
    against_both(9000, SECTORS, |stage, _, kind| {
        let before = fs::read(stage.path("disk")).expect("the disk");
        let json =
            aoe("bench e7.3 --duration 0.5 --window 16 --random --json").good().took_at_most(5.0).json();
        note(&format!("bench, {kind:?}: {json}"));
        assert!(json["replies_per_second"].as_f64().is_some_and(|rate| rate > 100.0), "{json}");
        aoe("bench e7.3 --duration 0.3 --sequential").good().took_at_most(5.0);
        assert!(
            fs::read(stage.path("disk")).expect("the disk") == before,
            "a bench that only reads has written"
        );
    });
}

#[test]
fn bench_writes_only_where_destruction_is_agreed_to_and_verifies_what_it_reads() {
    against_both(1500, SECTORS, |stage, _, _| {
        let before = fs::read(stage.path("disk")).expect("the disk");
        aoe("bench e7.3 --duration 0.3 --read 50").refuses(2, &["--force"]);
        assert!(fs::read(stage.path("disk")).expect("the disk") == before, "it has written");
        let json = aoe("bench e7.3 --duration 0.5 --read 50 --random --verify --force --json").good().json();
        assert!(json["replies_per_second"].as_f64().is_some_and(|rate| rate > 100.0), "{json}");
        assert!(fs::read(stage.path("disk")).expect("the disk") != before, "it has not written");
    });
}

#[test]
fn copy_goes_both_ways_and_verifies() {
    for mtu in [1500, 9000] {
        against_both(mtu, SECTORS, |stage, _, kind| {
            let (disk, out) = (stage.path("disk"), stage.path("out"));
            let from = Tool::new("copy --verify e7.3").arg(&out).run();
            from.good();
            assert_equal(&disk, &out);
            let image = stage.random("image", SECTORS);
            let to = Tool::new("copy --verify").arg(&image).arg("e7.3").run();
            assert_equal(&disk, &image);
            // Debian's target does not flush, and says so by a status that is an error.
            match kind {
                Kind::Ours => to.good(),
                Kind::Classic => to.exits_with(&[0, 1]),
            };
            note(&format!("copy, {kind:?}, MTU {mtu}: {:?} {}", to.code, to.stderr.trim()));
        });
    }
}

#[test]
fn copy_keeps_holes_and_takes_a_range() {
    let Some(stage) = with_a_cable(1500) else { return };
    let disk = stage.zeros("disk", 16_384);
    let Some(_target) = stage.serve(Kind::Ours, &disk) else { return };
    let part = stage.random("part", 64);
    Tool::new("write e7.3 --offset 9000").arg(&part).run().good();
    Tool::new("copy e7.3").arg(stage.path("out")).run().good();
    assert_equal(&disk, &stage.path("out"));
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(stage.path("out")).expect("the copy"));
    assert!(blocks < 4096, "{blocks} blocks of 512 bytes for 64 sectors of data");
    Tool::new("copy e7.3 --offset 9000 --length 64").arg(stage.path("range")).run().good();
    let range = fs::read(stage.path("range")).expect("the range");
    assert_eq!(range.len() % SECTOR, 0);
    assert!(range.ends_with(&fs::read(&part).expect("the part")), "the range is not at its place");
}

#[test]
fn flush_says_whether_the_target_has_flushed() {
    against_both(1500, SECTORS, |_, _, kind| {
        let flushed = aoe("flush e7.3");
        flushed.took_at_most(15.0);
        match kind {
            Kind::Ours => flushed.good(),
            Kind::Classic => flushed.exits_with(&[0, 1]),
        };
        note(&format!("flush, {kind:?}: {:?} {}", flushed.code, flushed.stderr.trim()));
    });
}

#[test]
fn trim_is_refused_by_targets_that_do_not_announce_it() {
    against_both(1500, SECTORS, |stage, _, kind| {
        let before = fs::read(stage.path("disk")).expect("the disk");
        let trimmed = aoe("trim e7.3 --offset 0 --length 8");
        if kind == Kind::Classic || trimmed.code != Some(0) {
            trimmed.refuses(1, &["trim"]).took_at_most(15.0);
            assert!(fs::read(stage.path("disk")).expect("the disk") == before, "something was trimmed");
        }
    });
}

#[test]
fn mask_and_reserve_lists_are_shown_empty() {
    against_both(1500, SECTORS, |_, _, _| {
        aoe("mask list e7.3").good();
        aoe("reserve list e7.3").good();
        let json = aoe("mask list e7.3 --json").good().json();
        assert!(!json.to_string().contains("02:00"), "{json}");
        aoe("reserve list e7.3 --json").good().json();
    });
}

#[test]
fn a_reservation_is_set_shown_refused_to_others_forced_and_released() {
    against_both(1500, SECTORS, |_, _, _| {
        aoe("reserve set e7.3").good();
        aoe("reserve list e7.3").good().prints(&[&show_mac(S)]);
        let stranger = show_mac(mac(0xcc));
        aoe(&format!("reserve force e7.3 {stranger}")).good().prints(&[&stranger]);
        aoe("read e7.3 - --length 1").refuses(1, &["reserved"]).took_at_most(15.0);
        aoe(&format!("reserve set e7.3 {}", show_mac(S))).refuses(1, &["reserved", &stranger]);
        aoe("reserve release e7.3").took_at_most(15.0);
        aoe("reserve force e7.3").good().prints(&[&show_mac(S)]);
        aoe("reserve release e7.3").good();
        aoe("read e7.3 - --length 1").good();
    });
}

#[test]
fn the_mask_list_is_edited_but_not_so_that_it_shuts_this_host_out() {
    let Some(stage) = with_a_cable(1500) else { return };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", SECTORS)) else { return };
    let (own, other) = (show_mac(S), show_mac(mac(0xcc)));
    aoe(&format!("mask add e7.3 {other}")).refuses(2, &["--force"]);
    assert!(!aoe("mask list e7.3").good().text().contains(&other));
    aoe(&format!("mask add e7.3 {own} {other}")).good().prints(&[&own, &other]);
    aoe(&format!("mask remove e7.3 {own}")).refuses(2, &["--force"]);
    aoe(&format!("mask remove e7.3 {other}")).good();
    aoe("mask clear e7.3").good();
    assert!(!aoe("mask list e7.3").good().text().contains(&own));
    aoe(&format!("mask add e7.3 {other} --force")).took_at_most(15.0);
    aoe("read e7.3 - --length 1 --timeout 1").exits(3).took_at_most(8.0);
}

#[test]
fn a_classic_target_that_dies_of_a_mask_edit_is_reported_gone() {
    let Some(stage) = with_a_cable(1500) else { return };
    let Some(mut target) = stage.serve(Kind::Classic, &stage.random("disk", SECTORS)) else { return };
    aoe(&format!("mask add e7.3 {}", show_mac(S))).good();
    // Its first entry deleted, it aborts.
    let removed = aoe(&format!("mask remove e7.3 {} --force --timeout 2", show_mac(S)));
    removed.exits_with(&[1, 3]).took_at_most(10.0);
    assert!(!removed.stderr.trim().is_empty());
    note(&format!("mask remove, Classic: {:?} {}", removed.code, removed.stderr.trim()));
    assert!(!target.wait().success());
}

#[test]
fn sancheck_names_the_frame_sizes_that_pass() {
    for (mtu, most) in [(1500, "2"), (9000, "17")] {
        against_both(mtu, SECTORS, |_, _, kind| {
            let checked = aoe("sancheck e7.3").took_at_most(20.0).exits(0).text();
            assert!(checked.contains("ini0") && checked.contains(most), "{checked}");
            aoe("sancheck e7.3 --json").good().json();
            if mtu == 9000 {
                note(&format!("sancheck, {kind:?}:\n{checked}"));
            }
        });
    }
}

#[test]
fn sancheck_says_what_to_change_where_large_frames_are_lost() {
    let Some(stage) = with_a_cable(9000) else { return };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", SECTORS)) else { return };
    stage.net.ip("link set ini0 mtu 1500");
    let checked = aoe("sancheck e7.3");
    checked.took_at_most(20.0).assert(matches!(checked.code, Some(0 | 1)), "ends otherwise");
    assert!(checked.text().contains("mtu 9000"), "{}", checked.text());
}
