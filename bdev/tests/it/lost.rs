//! Data that the device does not take when it is written back.

use std::sync::Arc;
use std::time::Duration;

use bdev::testing::LoopDevice;
use bdev::{
    AlignedBuf, Backend, BlockingBackend, Extent, FileDisk, FileOptions, Io, IoBuf, IoQueue, Op, Pooled,
    Status, Submit,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Requests side by side.
const MANY: u64 = 16;
/// Sectors of each.
const SECTORS: u32 = 128;

/// Runs `op` as often as that at once, at places of its own; tells how each ended.
fn side_by_side(disk: &Arc<FileDisk>, op: Op, round: u64) -> Vec<Status> {
    let mut queue = Pooled::from(Arc::clone(disk)).open_queue(16).unwrap();
    for number in 0..MANY {
        let extent = match op {
            Op::Flush => Extent::default(),
            _ => Extent::new((round * MANY + number) * u64::from(SECTORS), SECTORS),
        };
        let mut buf = AlignedBuf::with_len(extent.bytes(), 4096);
        buf.bytes_mut().fill(7);
        assert!(matches!(queue.submit(Io::new(op, extent, buf, 0)), Submit::Queued));
    }
    queue.kick().unwrap();
    let mut done = Vec::new();
    while queue.in_flight() > 0 {
        let event = queue.event().unwrap();
        let timeout = Timespec::try_from(Duration::from_secs(20)).unwrap();
        assert!(poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout)).unwrap() > 0);
        queue.reap(&mut done);
    }
    done.iter().map(|done| done.status()).collect()
}

#[test]
fn durable_writes_and_flushes_side_by_side_all_fail_when_the_device_fails() {
    let Some(device) = LoopDevice::with_room_for(1 << 20) else { return };
    let disk = || Arc::new(FileDisk::open(&FileOptions::new(device.path())).unwrap());
    let filling = disk();
    assert_eq!(filling.write_at(0, &vec![1; 2 << 20]), Ok(()));
    assert_eq!(filling.flush(), Err(Status::Media), "2 MiB cannot have become durable in 1");
    for round in 2..16 {
        let writes = side_by_side(&disk(), Op::Write { fua: true }, round);
        assert_eq!(writes, [Status::Media; MANY as usize], "durable writes, round {round}");
    }
    for round in 2..16 {
        let disk = disk();
        assert_eq!(disk.write_at(round * 2048, &vec![round as u8; 1 << 20]), Ok(()));
        assert_eq!(
            side_by_side(&disk, Op::Flush, 0),
            [Status::Media; MANY as usize],
            "flushes, round {round}"
        );
        assert_eq!(disk.write_fua_at(0, &[1; 512]), Err(Status::Media), "there is room, and no trust");
    }
}
