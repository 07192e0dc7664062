//! A device with blocks of 4096 bytes: parts of a block are read, changed and written, beside what goes through the ring.

use bdev::testing::{LoopDevice, Pieces, conformance, conformance_segmented};
use bdev::{AlignedBuf, Backend, FileOptions, IoQueue, Op};
use bdev_uring::UringDisk;

use crate::support::{WRITE, WRITE_FUA, directory, drain, image, open, request, run, submit};

/// A device of 1 MiB, and its disk, past the page cache or through it.
fn device(direct: bool) -> Option<(LoopDevice, UringDisk, tempfile::TempDir)> {
    let directory = directory();
    let device = LoopDevice::new(&image(&directory, 1 << 20).path, 4096)?;
    let disk = open(&FileOptions { direct, ..FileOptions::new(device.path()) });
    Some((device, disk, directory))
}

#[test]
fn a_device_with_large_blocks_conforms() {
    for direct in [false, true] {
        let Some((_device, disk, _directory)) = device(direct) else { return };
        conformance(&disk);
        conformance_segmented(&disk);
    }
}

#[test]
fn neighbours_in_one_block_and_the_blocks_beside_are_written_together() {
    let Some((_device, disk, _directory)) = device(true) else { return };
    assert_eq!(disk.disk().alignment().unwrap().offset, 4096);
    let mut queue: Box<dyn IoQueue<AlignedBuf>> = disk.open_queue(64).unwrap();
    for round in 0..100_u8 {
        // Block 1 in eighths, by threads; blocks 0 and 2 whole, by the ring; sectors 23..26 of blocks 2 and 3 overlap nothing of them.
        let mut expected = [0; 40];
        for sector in 8..16_u8 {
            let op = if sector % 2 == 0 { WRITE } else { WRITE_FUA };
            assert!(submit(&mut queue, request(op, sector.into(), 1, round ^ sector)).is_none());
            expected[usize::from(sector)] = round ^ sector;
        }
        for block in [0, 2] {
            assert!(submit(&mut queue, request(WRITE, block * 8, 8, round)).is_none());
            expected[block as usize * 8..][..8].fill(round);
        }
        assert!(submit(&mut queue, request(WRITE_FUA, 25, 13, !round)).is_none());
        expected[25..38].fill(!round);
        let ended = drain(&mut queue);
        assert_eq!(ended.len(), 11);
        assert!(ended.iter().all(|done| done.status().is_ok()));
        let done = run(&mut queue, request(Op::Read, 0, 24, 0));
        let read: Vec<_> = done.data().unwrap().chunks(512).map(|sector| sector[0]).collect();
        assert_eq!(read, expected[..24], "round {round}");
        let done = run(&mut queue, request(Op::Read, 25, 13, 0));
        assert!(done.data().unwrap().iter().all(|&byte| byte == !round), "round {round}");
    }
}

#[test]
fn memory_that_fits_no_alignment_is_copied_both_ways() {
    let Some((_device, disk, _directory)) = device(true) else { return };
    let mut queue: Box<dyn IoQueue<Pieces>> = disk.open_queue(16).unwrap();
    for number in 0..16_u8 {
        assert!(submit(&mut queue, request(WRITE_FUA, u64::from(number) * 16, 16, number)).is_none());
    }
    assert!(drain(&mut queue).iter().all(|done| done.status().is_ok()));
    for number in 0..16_u8 {
        assert!(submit(&mut queue, request(Op::Read, u64::from(number) * 16, 16, 99)).is_none());
    }
    for done in drain(&mut queue) {
        let number = (done.extent().lba / 16) as u8;
        assert!(done.segments().all(|piece| piece.iter().all(|&byte| byte == number)), "{}", done.extent());
    }
}
