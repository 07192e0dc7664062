//! Writes that wait in one queue while their sender repeats them by another, and goes on (rule 5).

mod common;

use std::time::Duration;

use aoe_target::TargetOptions;
use aoe_target::bdev::testing::{Delay, Gate};
use aoe_target::bdev::{Inline, MemDisk};
use common::{OTHER, OWN, World, ata, ata_from, read, registers, request, tag, write};

const MS: Duration = Duration::from_millis(1);
/// Any moment, since which the others count.
const START: Duration = Duration::from_secs(5000);

struct Paths {
    world: World,
    gate: Gate,
}

impl Paths {
    fn new(links: usize) -> Self {
        let (disk, gate) = Delay::until_released(Inline::new(MemDisk::new(4096)));
        gate.open();
        Self { world: World::new(&disk, links, 1500, TargetOptions::new(OWN)), gate }
    }

    /// A frame arrives by this path at this time.
    fn arrive(&mut self, path: usize, time: impl Into<Option<Duration>>, frame: &[u8]) {
        let mut frame = frame.to_vec();
        frame[3] = u8::try_from(path).unwrap(); // the link's own address
        self.world.hosts[path].set_time(time.into().map(|time| START + time));
        self.world.send(path, &frame);
    }

    /// Lets the target do all there is to do; the tags of its replies by this path.
    fn answers(&mut self, path: usize) -> Vec<u32> {
        for _ in 0..40 {
            let _ = self.world.turn();
        }
        self.world.received(path).iter().map(|reply| tag(reply)).collect()
    }

    /// The same for one frame.
    fn ask(&mut self, path: usize, time: impl Into<Option<Duration>>, frame: &[u8]) -> Vec<u32> {
        self.arrive(path, time, frame);
        self.answers(path)
    }

    /// What the first byte of a sector is.
    fn byte(&mut self, lba: u64) -> u8 {
        self.arrive(0, None, &read(99, lba, 1));
        for _ in 0..40 {
            let _ = self.world.turn();
        }
        self.world.received(0)[0][36]
    }

    fn dropped(&self) -> u64 {
        self.world.server.target(self.world.target).unwrap().stats().late_writes
    }
}

fn trim(tag: u32, ranges: &[(u64, u64)]) -> Vec<u8> {
    let mut data: Vec<u8> = ranges.iter().flat_map(|(lba, n)| (lba | n << 48).to_le_bytes()).collect();
    data.resize(512, 0);
    ata(tag, [0x41, 1, 1, 0x06], 0, &data)
}

#[test]
fn case_60_a_write_that_was_repeated_by_another_path_and_followed_by_a_newer_one_undoes_nothing() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 120 * MS, &write(2, 50, &[1; 512])), [2], "the same again, by another path");
    assert_eq!(paths.ask(1, 121 * MS, &write(3, 50, &[2; 512])), [3], "what its sender wrote then");
    assert_eq!(paths.ask(0, 20 * MS, &write(1, 50, &[1; 512])), [], "what waited 300 ms is quiet");
    assert_eq!(paths.byte(50), 2);
    assert_eq!(paths.world.server.take_late(), Some(paths.world.target));
    assert_eq!(paths.world.server.take_late(), None, "told once");
    let stats = *paths.world.server.target(paths.world.target).unwrap().stats();
    assert_eq!((stats.late_writes, stats.ignored), (1, 1));
    assert_eq!((stats.requests, stats.replies), (3, 3), "two writes and a read");
    assert_eq!((stats.writes, stats.sectors_written), (2, 2));
}

#[test]
fn a_write_is_late_by_10_ms_and_not_by_less() {
    let mut paths = Paths::new(2);
    let almost = 10 * MS - Duration::from_nanos(1);
    assert_eq!(paths.ask(1, 100 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(0, 100 * MS - almost, &write(2, 50, &[2; 512])), [2]);
    assert_eq!(paths.byte(50), 2);
    assert_eq!(paths.ask(0, 90 * MS, &write(3, 50, &[3; 512])), []);
    assert_eq!((paths.byte(50), paths.dropped()), (2, 1));
}

#[test]
fn a_late_write_of_the_sectors_beside_is_executed() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 900 * MS, &write(1, 50, &[1; 1024])), [1]);
    assert_eq!(paths.ask(0, MS, &write(2, 48, &[2; 1024])), [2]);
    assert_eq!(paths.ask(0, MS, &write(3, 52, &[2; 1024])), [3]);
    assert_eq!(paths.ask(0, MS, &write(4, 49, &[3; 1024])), [], "its second sector is the other's first");
    assert_eq!(paths.ask(0, MS, &write(5, 51, &[3; 1024])), []);
    assert_eq!([48, 49, 50, 51, 52, 53].map(|lba| paths.byte(lba)), [2, 2, 1, 1, 2, 2]);
}

#[test]
fn age_alone_is_no_reason() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 600_000 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(0, MS, &write(2, 51, &[2; 512])), [2]);
    assert_eq!(paths.ask(1, 600_001 * MS, &write(3, 50, &[3; 512])), [3]);
    assert_eq!(paths.dropped(), 0);
}

#[test]
fn writes_are_remembered_for_a_second() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 20 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(1, 1020 * MS, &write(2, 60, &[1; 512])), [2]);
    assert_eq!(paths.ask(0, 10 * MS, &write(3, 50, &[3; 512])), []);
    assert_eq!(paths.ask(1, 1021 * MS, &write(4, 60, &[1; 512])), [4]);
    assert_eq!(paths.ask(0, 10 * MS, &write(5, 50, &[5; 512])), [5], "nothing is known of before");
    assert_eq!(paths.byte(50), 5);
}

#[test]
fn duplicates_are_executed_and_answered_each() {
    let mut paths = Paths::new(2);
    for number in 0..3 {
        assert_eq!(paths.ask(1, 100 * MS, &write(number, 50, &[1; 512])), [number]);
    }
    assert_eq!(
        paths.ask(0, 100 * MS, &write(1, 50, &[1; 512])),
        [1],
        "the same tag and time, by another path"
    );
    assert_eq!(paths.dropped(), 0);
}

#[test]
fn a_late_read_and_a_late_flush_are_answered() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 900 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(0, MS, &read(2, 50, 1)), [2]);
    assert_eq!(paths.ask(0, MS, &ata(3, [0, 0, 0, 0xea], 0, &[])), [3]);
    assert_eq!(paths.dropped(), 0);
}

#[test]
fn a_fua_write_and_a_trim_are_writes() {
    let mut paths = Paths::new(2);
    let fua = |tag| ata(tag, [0x41, 0, 1, 0x3d], 50, &[9; 512]);
    assert_eq!(paths.ask(1, 100 * MS, &fua(1)), [1]);
    assert_eq!(paths.ask(0, 90 * MS, &write(2, 50, &[2; 512])), [], "older than the FUA write");
    assert_eq!(paths.ask(1, 200 * MS, &trim(3, &[(50, 1)])), [3]);
    assert_eq!(paths.ask(0, 190 * MS, &fua(4)), [], "older than the TRIM");
    assert_eq!(paths.ask(1, 300 * MS, &write(5, 50, &[5; 512])), [5]);
    assert_eq!(paths.ask(0, 290 * MS, &trim(6, &[(10, 4), (48, 4)])), [], "older than the write");
    assert_eq!((paths.byte(50), paths.dropped()), (5, 3));
}

#[test]
fn what_lies_between_the_ranges_of_a_trim_was_not_written() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 100 * MS, &trim(1, &[(10, 4), (0, 0), (100, 4)])), [1]);
    assert_eq!(paths.ask(0, MS, &write(2, 50, &[2; 512])), [2]);
    assert_eq!(paths.ask(0, MS, &write(3, 13, &[2; 512])), []);
    assert_eq!(paths.ask(0, MS, &write(4, 100, &[2; 512])), []);
    assert_eq!(paths.ask(1, 200 * MS, &write(5, 70, &[5; 512])), [5]);
    assert_eq!(paths.ask(0, 3 * MS, &trim(6, &[(60, 4), (71, 4)])), [6], "70 lies between its ranges");
    assert_eq!(paths.byte(70), 5);
}

#[test]
fn a_frame_of_unknown_time_is_executed_and_overtakes_nobody() {
    let mut paths = Paths::new(2);
    assert_eq!(paths.ask(1, 900 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(0, None, &write(2, 50, &[2; 512])), [2]);
    assert_eq!(paths.byte(50), 2);
    assert_eq!(paths.ask(0, None, &write(3, 60, &[3; 512])), [3]);
    assert_eq!(paths.ask(1, MS, &write(4, 60, &[4; 512])), [4]);
    assert_eq!((paths.byte(60), paths.dropped()), (4, 0));
}

#[test]
fn with_one_link_nothing_is_dropped() {
    let mut paths = Paths::new(1);
    assert_eq!(paths.ask(0, 900 * MS, &write(1, 50, &[1; 512])), [1]);
    assert_eq!(paths.ask(0, MS, &write(2, 50, &[2; 512])), [2]);
    assert_eq!((paths.byte(50), paths.dropped()), (2, 0));
}

#[test]
fn a_newer_write_that_is_still_at_the_disk_counts() {
    let mut paths = Paths::new(2);
    paths.gate.close();
    assert_eq!(paths.ask(1, 100 * MS, &write(1, 50, &[1; 512])), []);
    assert_eq!(paths.ask(1, 101 * MS, &write(2, 50, &[2; 512])), [], "and one that waits for it");
    assert_eq!(paths.ask(0, 91 * MS, &write(3, 50, &[3; 512])), []);
    paths.gate.open();
    assert_eq!(paths.answers(1), [1, 2]);
    assert_eq!((paths.byte(50), paths.dropped()), (2, 1));
}

#[test]
fn of_what_is_taken_in_together_the_first_to_arrive_is_the_first_whichever_link_is_asked_first() {
    for (older, newer) in [(0, 1), (1, 0)] {
        let mut paths = Paths::new(2);
        for number in 0..20 {
            let lba = u64::from(number);
            paths.arrive(older, (2 * number) * MS / 10, &write(number, lba, &[1; 512]));
            paths.arrive(newer, (2 * number + 1) * MS / 10, &write(100 + number, lba, &[2; 512]));
        }
        let (first, second) = (paths.answers(older), paths.world.received(newer).len());
        assert_eq!((first.len(), second, paths.dropped()), (20, 20, 0), "each is answered");
        for lba in 0..20 {
            assert_eq!(paths.byte(lba), 2, "sector {lba}, older by link {older}");
        }
    }
}

#[test]
fn what_came_by_one_link_stays_in_its_order_where_some_times_are_unknown() {
    let mut paths = Paths::new(2);
    paths.arrive(1, 5 * MS, &write(9, 10, &[9; 512]));
    for (number, time) in [Some(6 * MS), None, Some(7 * MS), None].into_iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        paths.arrive(0, time, &write(number.into(), 50, &[number; 512]));
    }
    assert_eq!(paths.answers(0), [0, 1, 2, 3]);
    assert_eq!(paths.byte(50), 3);
}

#[test]
fn a_frame_that_waits_for_a_change_of_state_keeps_its_time() {
    let mut paths = Paths::new(2);
    paths.gate.close();
    assert_eq!(paths.ask(1, 100 * MS, &write(1, 50, &[1; 512])), []);
    let config = [&[0, 0, 0, 0, 0, 0x14, 0, 1][..], b"x"].concat();
    assert_eq!(paths.ask(1, 101 * MS, &request(OTHER, 1, 2, &config)), [], "it waits for the write");
    paths.arrive(0, 20 * MS, &ata_from(OTHER, 3, [0x41, 0, 1, 0x34], 50, &[3; 512]));
    assert_eq!(paths.answers(0), []);
    paths.gate.open();
    assert_eq!(paths.answers(1), [1, 2]);
    assert_eq!((paths.byte(50), paths.dropped()), (1, 1));
}

#[test]
fn a_write_that_is_refused_counts_for_nothing() {
    let mut paths = Paths::new(2);
    paths.arrive(1, 900 * MS, &write(1, 4095, &[1; 1024]));
    for _ in 0..4 {
        let _ = paths.world.turn();
    }
    assert_eq!(registers(&paths.world.received(1)[0]), [0x41, 0x10, 2, 0x41], "beyond the end");
    assert_eq!(paths.ask(0, MS, &write(2, 4095, &[2; 512])), [2]);
}
