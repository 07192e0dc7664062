//! What several tests need: files to try, and one request at a time.

use std::fs::File;
use std::time::Duration;

use bdev::testing::TestBuf;
use bdev::{Done, Extent, FileDisk, FileOptions, Io, IoQueue, Op, Submit};
use bdev_uring::UringDisk;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::{Builder, TempDir};

pub(crate) const WRITE: Op = Op::Write { fua: false };
pub(crate) const WRITE_FUA: Op = Op::Write { fua: true };

/// A directory on a file system with a disk below it, where direct I/O is the real thing.
pub(crate) fn directory() -> TempDir {
    Builder::new().prefix("bdev-uring-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A new file of `bytes` bytes, all of them a hole.
pub(crate) fn image(directory: &TempDir, bytes: u64) -> FileOptions {
    let path = directory.path().join("disk.img");
    File::create(&path).unwrap().set_len(bytes).unwrap();
    FileOptions::new(path)
}

pub(crate) fn open(options: &FileOptions) -> UringDisk {
    UringDisk::new(FileDisk::open(options).unwrap())
}

/// A request whose data is `byte`, over and over.
pub(crate) fn request<B: TestBuf>(op: Op, lba: u64, sectors: u32, byte: u8) -> Io<B> {
    let extent = Extent::new(lba, sectors);
    let mut buf = B::make(36, if op.has_data() { extent.bytes() } else { 0 }, 4096);
    buf.segments_mut().for_each(|piece| piece.fill(byte));
    Io::new(op, extent, buf, if op.has_data() { 36 } else { 0 }).with_tag(u64::from(byte))
}

/// Submits, and returns what has ended at once.
pub(crate) fn submit<B>(queue: &mut Box<dyn IoQueue<B>>, io: Io<B>) -> Option<Done<B>> {
    match queue.submit(io) {
        Submit::Done(done) => Some(done),
        Submit::Queued => None,
        Submit::Full(io) => panic!("full: {}", io.abandon().extent()),
    }
}

/// Waits until nothing is in flight: by the event and nothing else.
pub(crate) fn drain<B>(queue: &mut Box<dyn IoQueue<B>>) -> Vec<Done<B>> {
    let mut ended = Vec::new();
    queue.kick().unwrap();
    queue.reap(&mut ended);
    for _ in 0..10_000 {
        if queue.in_flight() == 0 {
            return ended;
        }
        assert!(is_readable(&**queue, Duration::from_secs(20)), "the event does not tell of what has ended");
        queue.reap(&mut ended);
    }
    panic!("{} requests do not end", queue.in_flight());
}

/// Runs one request to its end.
pub(crate) fn run<B>(queue: &mut Box<dyn IoQueue<B>>, io: Io<B>) -> Done<B> {
    let mut ended: Vec<_> = submit(queue, io).into_iter().collect();
    ended.append(&mut drain(queue));
    assert_eq!(ended.len(), 1, "one request has one end");
    ended.remove(0)
}

pub(crate) fn is_readable<B>(queue: &dyn IoQueue<B>, patience: Duration) -> bool {
    let event = queue.event().unwrap();
    let timeout = Timespec::try_from(patience).unwrap();
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}
