//! `aoe copy` over bad cables: whatever is lost, doubled or overtaken, the data compares equal.
//!
//! Rows of the loss table: target, MTU, loss each way, direction, size, rate, requests sent again, frames lost, data equal.

use std::path::Path;
use std::time::Duration;

use e2e::SECTOR;
use e2e::net::note;
use e2e::stage::{Kind, assert_equal, with_a_wire};
use e2e::tool::Tool;
use e2e::wire::{Counts, Weather};

/// Sectors that `aoe copy` asks for at a time, in frames of which the last may be smaller.
const PIECE: usize = 2048;

/// The setting of one copy each way.
struct Case {
    kind: Kind,
    mtu: u32,
    loss: u64,
    sectors: usize,
}

/// Copies an image to the target and back, and prints a row of the loss table for each.
fn copy_both_ways(case: &Case, weather: Weather) {
    let Case { kind, mtu, sectors, .. } = *case;
    let Some((stage, wire)) = with_a_wire(mtu, weather, 7 + u64::from(mtu)) else { return };
    let (image, disk, back) =
        (stage.random("image", sectors), stage.zeros("disk", sectors), stage.path("back"));
    // The disk's own durability is not what is tested.
    let options = if kind == Kind::Ours { "-b 64 --cache writeback" } else { "-b 64" };
    let Some(_target) = stage.serve_as(kind, options, "7 3 tgt0", &disk) else { return };

    let copy = |direction: &str, from: &Path, to: &Path| {
        let before = wire.counts();
        let tool = Tool::new("copy --quiet").arg(from).arg(to).within(60).run();
        // Debian's target cannot flush.
        tool.exits_with(if kind == Kind::Ours { &[0] } else { &[0, 1] });
        row(case, direction, tool.took, before, wire.counts());
    };
    copy("to", &image, Path::new("e7.3"));
    assert_equal(&image, &disk);
    copy("from", Path::new("e7.3"), &back);
    assert_equal(&image, &back);
}

fn row(case: &Case, direction: &str, took: Duration, before: Counts, after: Counts) {
    let per_frame = if case.mtu == 9000 { 17 } else { 2 };
    let needed = (case.sectors / PIECE * PIECE.div_ceil(per_frame)) as u64;
    let megabytes = (case.sectors * SECTOR) as f64 / 1e6;
    note(&format!(
        "| {:?} | {} | {} % | {direction} | {megabytes:.1} MB | {:.1} MB/s | {} | {} of {} | yes |",
        case.kind,
        case.mtu,
        case.loss as f64 / 10.0,
        megabytes / took.as_secs_f64(),
        // But for the handful of config queries, IDENTIFY and FLUSH.
        (after.requests - before.requests).saturating_sub(needed),
        after.lost - before.lost,
        after.taken - before.taken,
    ));
}

/// Besides the loss, one frame in a hundred arrives twice and two are overtaken.
fn weather(loss: u64) -> Weather {
    Weather { loss, duplicate: 10, reorder: 20, ..Weather::default() }
}

#[test]
fn copy_needs_hardly_a_retransmission_where_nothing_is_lost() {
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 1500, loss: 0, sectors: 32_768 }, Weather::default());
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 9000, loss: 0, sectors: 131_072 }, Weather::default());
}

#[test]
fn copy_survives_one_percent_loss_at_mtu_1500() {
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 1500, loss: 10, sectors: 16_384 }, weather(10));
}

#[test]
fn copy_survives_one_percent_loss_at_mtu_9000() {
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 9000, loss: 10, sectors: 65_536 }, weather(10));
}

#[test]
fn copy_survives_ten_percent_loss_at_mtu_1500() {
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 1500, loss: 100, sectors: 4096 }, weather(100));
}

#[test]
fn copy_survives_ten_percent_loss_at_mtu_9000() {
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 9000, loss: 100, sectors: 32_768 }, weather(100));
}

#[test]
fn copy_survives_the_same_with_a_classic_target() {
    copy_both_ways(&Case { kind: Kind::Classic, mtu: 1500, loss: 10, sectors: 16_384 }, weather(10));
    copy_both_ways(&Case { kind: Kind::Classic, mtu: 9000, loss: 100, sectors: 32_768 }, weather(100));
}

#[test]
fn copy_needs_no_luck_where_every_other_frame_is_doubled_or_overtaken() {
    let weather = Weather {
        loss: 0,
        duplicate: 500,
        reorder: 300,
        delay: Duration::from_micros(200),
        ..Weather::default()
    };
    copy_both_ways(&Case { kind: Kind::Ours, mtu: 1500, loss: 0, sectors: 8192 }, weather);
}

#[test]
fn a_bad_cable_fails_no_control_command_and_spoils_no_verified_bench() {
    let Some((stage, _wire)) = with_a_wire(1500, weather(100), 99) else { return };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", 2048)) else { return };
    for round in 0..5 {
        Tool::new("discover").run().good().prints(&["e7.3"]);
        Tool::new("identify e7.3").run().good();
        Tool::new(&format!("config force e7.3 round-{round}")).run().good();
        Tool::new("config get e7.3").run().good().prints_exactly(format!("round-{round}\n").as_bytes());
    }
    let bench = "bench e7.3 --duration 1 --read 50 --random --verify --force --json";
    let json = Tool::new(bench).run().good().json();
    note(&format!("bench at ten percent loss: {json}"));
    Tool::new("sancheck e7.3").run().took_at_most(30.0);
}

#[test]
fn verification_notices_single_bits_that_a_cable_changes() {
    let Some((stage, _wire)) = with_a_wire(1500, Weather { corrupt: 20, ..Weather::default() }, 31) else {
        return;
    };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", 2048)) else { return };
    let image = stage.random("image", 2048);
    Tool::new("copy --quiet --verify").arg(&image).arg("e7.3").run().refuses(1, &["sector", "differ"]);
    Tool::new("copy --quiet --verify e7.3").arg(stage.path("out")).run().refuses(1, &["sector", "differ"]);
    let bench = Tool::new("bench e7.3 --duration 1 --read 50 --verify --force --length 64").run();
    bench.exits(1).assert(!bench.text().contains("no mismatch"), "finds nothing");
}

#[test]
fn a_target_that_answers_too_late_for_a_size_check_is_not_said_to_have_ended() {
    let slow = Weather { loss: 0, duplicate: 0, reorder: 0, corrupt: 0, delay: Duration::from_millis(350) };
    let Some((stage, _wire)) = with_a_wire(1500, slow, 21) else { return };
    let Some(_target) = stage.serve(Kind::Ours, &stage.random("disk", 2048)) else { return };
    let checked = Tool::new("sancheck e7.3").run();
    checked.exits(1).prints(&["still answers"]);
    checked.assert(!checked.text().contains("may have ended"), "says that the target ended");
}
