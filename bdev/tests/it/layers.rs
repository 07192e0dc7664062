//! The test layers do what they say, so that tests which use them test something.

use std::collections::HashSet;
use std::sync::Arc;

use bdev::testing::{Delay, Fault, Faults, Faulty, Reorder};
use bdev::{AlignedBuf, Backend, Done, Extent, Inline, Io, IoBuf, IoQueue, MemDisk, Op, Status, Submit};

const WRITE: Op = Op::Write { fua: false };

fn memory() -> Inline<MemDisk> {
    Inline::new(MemDisk::new(128))
}

fn io(op: Op, lba: u64) -> Io<AlignedBuf> {
    Io::new(op, Extent::new(lba, u32::from(op != Op::Flush)), AlignedBuf::with_len(512, 512), 0).with_tag(lba)
}

fn statuses(queue: &mut dyn IoQueue<AlignedBuf>, ops: impl IntoIterator<Item = (Op, u64)>) -> Vec<bool> {
    ops.into_iter()
        .map(|(op, lba)| match queue.submit(io(op, lba)) {
            Submit::Done(done) => done.status().is_ok(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_fault_strikes_only_the_operations_and_sectors_it_names() {
    let faults = Faults::default();
    let mut queue = Faulty::new(memory(), &faults).open_queue(4).unwrap();
    faults.add(Fault::status(Status::Media).only(Op::is_write).touching(Extent::new(7, 2)));
    let cases =
        [(WRITE, 6), (WRITE, 7), (WRITE, 8), (WRITE, 9), (Op::Read, 7), (Op::Flush, 0), (Op::Discard, 8)];
    assert_eq!(statuses(&mut *queue, cases), [true, false, false, true, true, true, false]);
    faults.clear();
    assert_eq!(statuses(&mut *queue, [(WRITE, 7)]), [true]);
}

#[test]
fn a_fault_strikes_the_nth_request_or_each_nth() {
    let faults = Faults::default();
    let mut queue = Faulty::new(memory(), &faults).open_queue(4).unwrap();
    faults.add(Fault::status(Status::Media).nth(2));
    faults.add(Fault::status(Status::Aborted).only(|op| op == WRITE).every(3));
    assert_eq!(statuses(&mut *queue, [(Op::Read, 1); 4]), [true, false, true, true]);
    let writes = [true, true, false, true, true, false, true];
    assert_eq!(statuses(&mut *queue, [(WRITE, 1); 7]), writes);
}

#[test]
fn a_failed_write_has_not_reached_the_disk() {
    let faults = Faults::default();
    let disk = Arc::new(memory());
    let mut queue = Faulty::new(disk.clone(), &faults).open_queue(4).unwrap();
    faults.add(Fault::status(Status::Media).nth(1));
    for expected in [0, 5] {
        let mut buf = AlignedBuf::with_len(512, 512);
        buf.bytes_mut().fill(5);
        let _ = queue.submit(Io::write(Extent::new(3, 1), buf, 0));
        assert_eq!(disk.disk().content()[3 * 512], expected);
    }
}

#[test]
fn a_faulty_queue_is_full_only_while_something_is_in_flight() {
    let faults = Faults::default();
    faults.add(Fault::full());
    let (delay, gate) = Delay::until_released(memory());
    let mut queue = Faulty::new(delay, &faults).open_queue(4).unwrap();
    assert!(matches!(queue.submit(io(WRITE, 1)), Submit::Queued));
    let Submit::Full(back) = queue.submit(io(WRITE, 2)) else { panic!("not full") };
    gate.release(1);
    let mut done = Vec::new();
    queue.reap(&mut done);
    assert_eq!(done.len(), 1);
    assert!(matches!(queue.submit(back), Submit::Queued));
    gate.open();
    queue.reap(&mut done);
}

fn tags(done: &mut Vec<Done<AlignedBuf>>) -> Vec<u64> {
    done.drain(..).map(|done| done.tag()).collect()
}

#[test]
fn a_gate_lets_pass_as_many_as_were_released_in_order() {
    let (disk, gate) = Delay::until_released(memory());
    let mut queue = disk.open_queue(4).unwrap();
    for lba in 0..4 {
        assert!(matches!(queue.submit(io(WRITE, lba)), Submit::Queued));
    }
    let Submit::Full(back) = queue.submit(io(WRITE, 9)) else { panic!("a fifth at depth 4") };
    let _ = back.abandon();
    let mut done = Vec::new();
    queue.reap(&mut done);
    assert_eq!((tags(&mut done), gate.held(), queue.in_flight()), (vec![], 4, 4));
    gate.release(2);
    queue.reap(&mut done);
    assert_eq!((tags(&mut done), gate.held(), queue.in_flight()), (vec![0, 1], 2, 2));
    gate.open();
    queue.reap(&mut done);
    gate.close();
    assert_eq!((tags(&mut done), gate.held()), (vec![2, 3], 0));
    assert!(matches!(queue.submit(io(WRITE, 5)), Submit::Queued));
    queue.reap(&mut done);
    assert_eq!((tags(&mut done), gate.held()), (vec![], 1));
    drop(queue);
    assert_eq!(gate.held(), 0, "a dropped queue abandons what waits");
}

#[test]
fn a_delay_by_reaps_counts_them_for_each_request() {
    let mut queue = Delay::for_reaps(memory(), 2).open_queue(4).unwrap();
    let mut done = Vec::new();
    let mut ended = Vec::new();
    for reap in 0..6 {
        if reap < 2 {
            assert!(matches!(queue.submit(io(WRITE, reap)), Submit::Queued));
        }
        queue.reap(&mut done);
        ended.push(tags(&mut done));
    }
    assert_eq!(ended, [vec![], vec![], vec![0], vec![1], vec![], vec![]]);
}

#[test]
fn a_reordered_queue_changes_the_order_and_repeats_it_for_the_same_seed() {
    let order = |seed| {
        let disk = Reorder::new(memory(), seed);
        let mut queue = disk.open_queue(16).unwrap();
        for lba in 0..16 {
            assert!(matches!(queue.submit(io(WRITE, lba)), Submit::Queued));
        }
        let mut done = Vec::new();
        for _ in 0..16 {
            queue.reap(&mut done);
        }
        assert_eq!(queue.in_flight(), 0, "each reap ends at least one");
        tags(&mut done)
    };
    let sorted: Vec<u64> = (0..16).collect();
    let mut of_one = order(1);
    assert_eq!(of_one, order(1));
    assert_ne!(of_one, order(2));
    assert_ne!(of_one, sorted);
    of_one.sort_unstable();
    assert_eq!(of_one, sorted);
}

#[test]
fn overlapping_writes_really_run_in_either_order_when_reordered() {
    let mut winners = HashSet::new();
    for seed in 0..16 {
        let disk = Arc::new(memory());
        let mut queue = Reorder::new(disk.clone(), seed).open_queue(2).unwrap();
        for byte in [1, 2] {
            let mut buf = AlignedBuf::with_len(512, 512);
            buf.bytes_mut().fill(byte);
            assert!(matches!(queue.submit(Io::write(Extent::new(0, 1), buf, 0)), Submit::Queued));
        }
        let mut done = Vec::new();
        queue.reap(&mut done);
        queue.reap(&mut done);
        winners.insert(disk.disk().content()[0]);
    }
    assert_eq!(winners.len(), 2, "the last writer varies");
}
