//! The rules of the [contract](crate#the-contract) as functions, one each: what [`conformance`](super::conformance) checks.
//!
//! A backend that cannot keep all of them, such as [`NullDisk`](crate::NullDisk), runs those that it can. Each panics where the rule is
//! broken, overwrites what the device holds, and needs 128 sectors.

use std::collections::HashSet;
use std::thread;

use super::TestBuf;
use super::content::{self, HEADER, request, stamp, stamps};
use super::driver::Driver;
use super::model::{random_steps, run_against_model};
use crate::{Backend, Extent, Features, Io, Op, Status, Submit};

const WRITE: Op = Op::Write { fua: false };
const WRITE_FUA: Op = Op::Write { fua: true };

pub(super) fn require_sectors<B>(backend: &(impl Backend<B> + ?Sized)) -> u64 {
    let sectors = backend.info().sectors;
    assert!(sectors >= 128, "the rules need 128 sectors, not {sectors}");
    sectors
}

/// Those of `ops` that the device has.
fn announced<B>(backend: &(impl Backend<B> + ?Sized), ops: &[Op]) -> impl Iterator<Item = Op> {
    let features = backend.info().features;
    ops.iter().copied().filter(move |op| match op {
        Op::Discard => features.contains(Features::DISCARD),
        Op::WriteZeroes => features.contains(Features::WRITE_ZEROES),
        _ => true,
    })
}

fn write<B: TestBuf>(driver: &mut Driver<B>, op: Op, extent: Extent, number: u64) {
    let mut io = request::<B>(op, extent);
    content::fill(io.segments_mut(), number);
    assert_eq!(driver.run(io).status(), Status::Ok, "write of {extent}");
}

fn read<B: TestBuf>(driver: &mut Driver<B>, extent: Extent) -> Vec<Option<u64>> {
    let done = driver.run(request::<B>(Op::Read, extent));
    assert_eq!(done.status(), Status::Ok, "read of {extent}");
    stamps(&done)
}

fn written(number: u64, sectors: u32) -> Vec<Option<u64>> {
    (0..sectors as usize).map(|index| Some(stamp(number, index))).collect()
}

/// Block size and alignment are powers of two, zeroing discards are discards, and asking twice gives one answer.
pub fn the_description_makes_sense<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    require_sectors(backend);
    let info = backend.info();
    assert!(info.physical_block >= 512 && info.physical_block.is_power_of_two(), "{info:?}");
    assert!(info.mem_align.is_power_of_two(), "{info:?}");
    assert!(
        !info.features.contains(Features::DISCARD_ZEROES) || info.features.contains(Features::DISCARD),
        "{info:?}"
    );
    assert_eq!(backend.info(), info);
}

/// A new queue has nothing in flight, reaps nothing, and its event is not readable; kicking it is no error.
pub fn an_idle_queue_has_nothing_to_reap<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    for depth in [1, 7, 300] {
        let mut driver = Driver::<B>::open(backend, depth);
        driver.kick();
        driver.queue.reap(&mut driver.ended);
        assert_eq!((driver.queue.in_flight(), driver.ended.len()), (0, 0), "depth {depth}");
        assert_ne!(driver.event_is_readable(), Some(true), "depth {depth}");
    }
}

/// Reads and changes of extents that are not wholly on the device end as out of range, to the end of the number space.
pub fn extents_beyond_the_end_are_out_of_range<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let sectors = require_sectors(backend);
    let mut driver = Driver::<B>::open(backend, 4);
    let beyond = [
        (sectors, 1),
        (sectors - 1, 2),
        (sectors + 9, 1),
        (u64::MAX, 1),
        (u64::MAX - 1, 2),
        (u64::MAX / 512, 8),
    ];
    for (lba, count) in beyond {
        for op in announced(backend, &[Op::Read, WRITE, WRITE_FUA, Op::Discard, Op::WriteZeroes]) {
            let extent = Extent::new(lba, count);
            assert_eq!(driver.run(request(op, extent)).status(), Status::OutOfRange, "{op:?} of {extent}");
        }
    }
    assert_eq!(read(&mut driver, Extent::new(sectors - 1, 1)).len(), 1, "the last sector can be read");
}

/// Discards and write-zeroes end as unsupported where the device does not announce them.
pub fn operations_that_were_not_announced_are_unsupported<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let info = backend.info();
    let mut driver = Driver::<B>::open(backend, 4);
    for (op, feature) in [(Op::Discard, Features::DISCARD), (Op::WriteZeroes, Features::WRITE_ZEROES)] {
        if !info.features.contains(feature) && !info.read_only {
            assert_eq!(driver.run(request(op, Extent::new(0, 1))).status(), Status::Unsupported, "{op:?}");
        }
    }
}

/// Changes of a read-only device are refused, flushes are not.
pub fn changes_of_a_read_only_device_are_refused<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let mut driver = Driver::<B>::open(backend, 4);
    for op in [WRITE, WRITE_FUA, Op::Discard, Op::WriteZeroes] {
        assert_eq!(driver.run(request(op, Extent::new(3, 2))).status(), Status::ReadOnly, "{op:?}");
    }
    assert_eq!(driver.run(request(Op::Flush, Extent::default())).status(), Status::Ok);
}

/// A read fills its data and leaves the bytes before and after alone.
pub fn a_read_touches_nothing_but_its_data<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    const TAIL: usize = 5;
    let mut driver = Driver::<B>::open(backend, 4);
    for sectors in [1, 2, 3, 9] {
        let extent = Extent::new(5, sectors);
        let mut buf = B::make(HEADER, extent.bytes() + TAIL, 4096);
        buf.segments_mut().for_each(|piece| piece.fill(0xa5));
        let done = driver.run(Io::read(extent, buf, HEADER));
        assert_eq!(done.status(), Status::Ok);
        let bytes = content::bytes(&done.into_buf());
        assert_eq!(bytes[..HEADER], [0xa5; HEADER], "header of {sectors} sectors");
        assert_eq!(bytes[HEADER + extent.bytes()..], [0xa5; TAIL], "bytes behind {sectors} sectors");
    }
}

/// Of many requests in flight each ends exactly once, with its operation, extent, offset, tag and buffer.
pub fn each_request_ends_once_with_all_that_it_came_with<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    const COUNT: u64 = 100;
    let mut driver = Driver::<B>::open(backend, 16);
    for tag in 0..COUNT {
        let op = if tag % 10 == 3 { Op::Flush } else { Op::Read };
        let extent = if op == Op::Flush { Extent::default() } else { Extent::new(tag, 1 + tag as u32 % 3) };
        let mut buf = B::make(HEADER, extent.bytes(), 4096);
        buf.bytes_mut()[0] = tag as u8;
        driver.submit(
            Io::new(op, extent, buf, if op == Op::Flush { 0 } else { HEADER }).with_tag(u64::MAX - tag),
        );
    }
    driver.drain();
    let mut tags = HashSet::new();
    for done in driver.ended.drain(..) {
        let tag = u64::MAX - done.tag();
        assert!(tag < COUNT && tags.insert(tag), "tag {tag} came back once");
        assert_eq!(done.status(), Status::Ok);
        assert_eq!(done.buf().bytes()[0], tag as u8, "the buffer of tag {tag}");
        if tag % 10 == 3 {
            assert_eq!((done.op(), done.extent(), done.offset()), (Op::Flush, Extent::default(), 0));
        } else {
            let extent = Extent::new(tag, 1 + tag as u32 % 3);
            assert_eq!((done.op(), done.extent(), done.offset()), (Op::Read, extent, HEADER));
        }
    }
    assert_eq!(tags.len() as u64, COUNT);
    driver.queue.reap(&mut driver.ended);
    assert_eq!(driver.ended.len(), 0, "nothing ends twice");
    assert_ne!(driver.event_is_readable(), Some(true), "nothing is left to reap");
}

/// A queue keeps at most its depth, gives the rest back untouched, and takes more once it was reaped.
pub fn a_full_queue_takes_more_after_a_reap<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    const DEPTH: usize = 4;
    let op = if backend.info().read_only { Op::Read } else { WRITE_FUA };
    let mut driver = Driver::<B>::open(backend, DEPTH as u16);
    let mut ended = 0;
    for lba in 0..32 {
        match driver.queue.submit(request(op, Extent::new(lba, 1)).with_tag(lba)) {
            Submit::Done(done) => {
                assert_eq!(done.status(), Status::Ok);
                ended += 1;
            }
            Submit::Queued => assert!(driver.queue.in_flight() <= DEPTH, "more than the depth in flight"),
            Submit::Full(io) => {
                assert!(driver.queue.in_flight() > 0, "full with nothing in flight");
                assert_eq!(
                    (io.op(), io.extent(), io.offset(), io.tag()),
                    (op, Extent::new(lba, 1), HEADER, lba)
                );
                driver.submit(io);
            }
        }
    }
    driver.drain();
    ended += driver.ended.iter().filter(|done| done.status() == Status::Ok).count();
    assert_eq!(ended, 32);
}

/// Writes of several lengths at the first, a middle and the last sectors read back, and the sectors beside them stay.
pub fn what_was_written_is_read_back<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let sectors = require_sectors(backend);
    let mut driver = Driver::<B>::open(backend, 4);
    let mut number = 100;
    for count in [1, 2, 3, 8, 17, 24] {
        let last = sectors - u64::from(count);
        for lba in [0, 1, 7, 8, 40, last - 1, last] {
            let before = Extent::new(lba.saturating_sub(1), 1);
            let after = Extent::new((lba + u64::from(count)).min(sectors - 1), 1);
            let (was_before, was_after) = (read(&mut driver, before), read(&mut driver, after));
            let extent = Extent::new(lba, count);
            number += 1;
            write(&mut driver, WRITE, extent, number);
            assert_eq!(read(&mut driver, extent), written(number, count), "{extent}");
            if !before.overlaps(extent) {
                assert_eq!(read(&mut driver, before), was_before, "the sector before {extent}");
            }
            if !after.overlaps(extent) {
                assert_eq!(read(&mut driver, after), was_after, "the sector after {extent}");
            }
        }
    }
}

/// Data may start at any address.
pub fn any_alignment_of_memory_will_do<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let mut driver = Driver::<B>::open(backend, 4);
    for (number, header) in [0, 1, 2, 36, 511, 512, 513].into_iter().enumerate() {
        let extent = Extent::new(16, 9);
        let number = 200 + number as u64;
        let mut io = Io::write(extent, B::make(header, extent.bytes(), 1), header);
        content::fill(io.segments_mut(), number);
        assert_eq!(driver.run(io).status(), Status::Ok);
        let done = driver.run(Io::read(extent, B::make(header, extent.bytes(), 1), header));
        assert_eq!(
            (done.status(), stamps(&done)),
            (Status::Ok, written(number, 9)),
            "header of {header} bytes"
        );
    }
}

/// Extents without sectors are in order, up to the end of the device.
pub fn a_request_without_sectors_changes_nothing<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let sectors = require_sectors(backend);
    let mut driver = Driver::<B>::open(backend, 4);
    write(&mut driver, WRITE, Extent::new(0, 2), 300);
    for lba in [0, 1, sectors] {
        for op in announced(backend, &[Op::Read, WRITE, WRITE_FUA, Op::Discard, Op::WriteZeroes]) {
            assert_eq!(driver.run(request(op, Extent::new(lba, 0))).status(), Status::Ok, "{op:?} at {lba}");
        }
    }
    assert_eq!(read(&mut driver, Extent::new(0, 2)), written(300, 2));
}

/// A write that is out of range changes nothing, not even the part that lies on the device.
pub fn refused_requests_change_nothing<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let sectors = require_sectors(backend);
    let mut driver = Driver::<B>::open(backend, 4);
    let last = Extent::new(sectors - 2, 2);
    write(&mut driver, WRITE, last, 400);
    for op in announced(backend, &[WRITE, WRITE_FUA, Op::Discard, Op::WriteZeroes]) {
        assert_eq!(
            driver.run(request(op, Extent::new(sectors - 1, 2))).status(),
            Status::OutOfRange,
            "{op:?}"
        );
    }
    assert_eq!(read(&mut driver, last), written(400, 2));
}

/// Durable writes read back at once, and flushes succeed: of an idle device, after writes, and with writes in flight.
pub fn durable_writes_and_flushes_succeed<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let mut driver = Driver::<B>::open(backend, 8);
    assert_eq!(driver.run(request(Op::Flush, Extent::default())).status(), Status::Ok);
    for (number, extent) in
        [Extent::new(0, 1), Extent::new(33, 7), Extent::new(64, 16)].into_iter().enumerate()
    {
        let number = 500 + number as u64;
        write(&mut driver, WRITE_FUA, extent, number);
        assert_eq!(read(&mut driver, extent), written(number, extent.sectors));
    }
    for lba in 0..6 {
        driver.submit(request(WRITE, Extent::new(lba, 1)));
        driver.submit(request(Op::Flush, Extent::default()));
    }
    driver.drain();
    assert_eq!(driver.ended.len(), 12);
    assert!(driver.ended.iter().all(|done| done.status() == Status::Ok));
}

/// Where announced, zeroed and discarded sectors read as zeros, at any boundary, and the sectors beside them stay.
pub fn zeroed_sectors_read_as_zeros_and_their_neighbours_stay<B: TestBuf>(
    backend: &(impl Backend<B> + ?Sized),
) {
    let features = backend.info().features;
    let mut driver = Driver::<B>::open(backend, 4);
    let whole = Extent::new(8, 64);
    for (op, needed) in [(Op::WriteZeroes, Features::WRITE_ZEROES), (Op::Discard, Features::DISCARD)] {
        if !features.contains(needed) {
            continue;
        }
        let zeroes = op == Op::WriteZeroes || features.contains(Features::DISCARD_ZEROES);
        for (lba, count) in [(8, 64), (16, 8), (17, 1), (9, 6), (15, 2), (13, 30), (23, 1), (24, 40)] {
            write(&mut driver, WRITE, whole, 600);
            assert_eq!(driver.run(request(op, Extent::new(lba, count))).status(), Status::Ok, "{op:?}");
            let mut expected = written(600, whole.sectors);
            let (from, to) = ((lba - whole.lba) as usize, (lba - whole.lba) as usize + count as usize);
            let mut got = read(&mut driver, whole);
            expected[from..to].fill(Some(0));
            if !zeroes {
                got[from..to].fill(Some(0));
            }
            assert_eq!(got, expected, "{op:?} of lba {lba} count {count}");
        }
    }
}

/// What one queue has written another reads, also in another thread.
pub fn queues_see_what_others_have_written<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    let extent = Extent::new(21, 5);
    let mut first = Driver::<B>::open(backend, 2);
    let mut second = Driver::<B>::open(backend, 2);
    write(&mut first, WRITE, extent, 700);
    assert_eq!(read(&mut second, extent), written(700, 5));
    thread::scope(|scope| {
        scope.spawn(|| write(&mut second, WRITE, extent, 701));
    });
    assert_eq!(read(&mut first, extent), written(701, 5));
}

/// Two threads that write alternate sectors, each hundreds of times, lose nothing: also where a device writes larger blocks.
pub fn neighbours_written_at_the_same_time_do_not_disturb_each_other<B: TestBuf>(
    backend: &(impl Backend<B> + ?Sized),
) {
    const ROUNDS: u64 = 200;
    thread::scope(|scope| {
        for odd in [0, 1] {
            scope.spawn(move || {
                let mut driver = Driver::<B>::open(backend, 4);
                for round in 1..=ROUNDS {
                    let extent = Extent::new(32 + odd + round % 4 * 2, 1);
                    let number = 1000 * (odd + 1) + round;
                    write(&mut driver, WRITE, extent, number);
                    assert_eq!(read(&mut driver, extent), written(number, 1), "{extent} in round {round}");
                }
            });
        }
    });
    let mut driver = Driver::<B>::open(backend, 1);
    for odd in [0, 1] {
        for round in ROUNDS - 3..=ROUNDS {
            let extent = Extent::new(32 + odd + round % 4 * 2, 1);
            assert_eq!(read(&mut driver, extent), written(1000 * (odd + 1) + round, 1), "{extent}");
        }
    }
}

/// Some hundred requests of all kinds, many in flight, agree with a model.
pub fn random_requests_match_a_model<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    for seed in 0..4 {
        assert_eq!(run_against_model(backend, &random_steps(seed, 150)), 0, "requests failed, seed {seed}");
    }
}

/// Dropping a queue with requests in flight neither panics nor hangs, and leaves each sector old or new.
pub fn a_queue_may_be_dropped_with_requests_in_flight<B: TestBuf>(backend: &(impl Backend<B> + ?Sized)) {
    for number in 800..810 {
        let extent = Extent::new(48, 8);
        let mut driver = Driver::<B>::open(backend, 16);
        write(&mut driver, WRITE_FUA, extent, number);
        for index in 0..8 {
            let mut io = request::<B>(WRITE_FUA, Extent::new(48 + index, 1));
            content::fill(io.segments_mut(), number + 100);
            driver.submit(io);
            driver.submit(request(Op::Read, Extent::new(0, 8)));
        }
        driver.kick();
        drop(driver);
        let left = read(&mut Driver::open(backend, 1), extent);
        for (index, left) in left.into_iter().enumerate() {
            assert!(
                [Some(stamp(number, index)), Some(stamp(number + 100, 0))].contains(&left),
                "sector {index} is {left:?}"
            );
        }
    }
}
