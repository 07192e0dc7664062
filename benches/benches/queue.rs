//! The backends: requests per second, `depth` of them submitted, kicked and reaped together.
//!
//! Reads of 4 KiB of: nothing, memory, and a cached file, run in place, or by [`Pooled`] or [`UringDisk`], where a read of cached data ends in
//! place, too. Memory on threads is what a hand-over to a thread and back costs. The file lies in memory where the system has such a place. The last
//! rows are of a file on a drive, if the directory for temporary files is on one: past the page cache, by threads and by io_uring.

use std::path::Path;
use std::time::Duration;

use bdev::{
    AlignedBuf, Backend, Extent, FileDisk, FileOptions, Inline, Io, IoQueue, MemDisk, NullDisk, Pooled,
    Submit,
};
use bdev_uring::UringDisk;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::event::{PollFd, PollFlags, poll};

const SECTORS: usize = 1 << 14;
const DEPTHS: [u16; 4] = [1, 4, 16, 64];
const LEN: u32 = 8;

/// Runs as many requests as there are buffers to their end.
fn round(
    queue: &mut dyn IoQueue<AlignedBuf>,
    bufs: &mut Vec<AlignedBuf>,
    done: &mut Vec<bdev::Done<AlignedBuf>>,
) {
    let count = bufs.len();
    for (number, buf) in bufs.drain(..).enumerate() {
        let extent = Extent::new((number as u64 * 97 * u64::from(LEN)) % (SECTORS as u64 - 8), LEN);
        match queue.submit(Io::read(extent, buf, 0)) {
            Submit::Done(end) => done.push(end),
            Submit::Queued => {}
            Submit::Full(_) => unreachable!("the queue is as deep as there are buffers"),
        }
    }
    queue.kick().expect("the disk can be reached");
    queue.reap(done);
    while done.len() < count {
        if let Some(event) = queue.event() {
            poll(&mut [PollFd::new(&event, PollFlags::IN)], None).expect("it can be waited for");
        }
        queue.reap(done);
    }
    bufs.extend(done.drain(..).map(|done| {
        assert!(done.status().is_ok());
        done.into_buf()
    }));
}

fn bench(c: &mut Criterion, name: &str, disk: &dyn Backend<AlignedBuf>) {
    // io_uring may be forbidden.
    if let Err(error) = disk.open_queue(1) {
        println!("queue/{name}: left out: {error}");
        return;
    }
    let mut group = c.benchmark_group(format!("queue/{name}"));
    for depth in DEPTHS {
        let mut queue = disk.open_queue(depth).expect("a queue can be opened");
        let mut bufs: Vec<_> = (0..depth).map(|_| AlignedBuf::with_len(LEN as usize * 512, 512)).collect();
        let mut done = Vec::with_capacity(depth.into());
        group.throughput(Throughput::Elements(depth.into()));
        group.bench_function(BenchmarkId::from_parameter(depth), |b| {
            b.iter(|| round(&mut *queue, &mut bufs, &mut done));
        });
    }
    group.finish();
}

fn file(path: &Path) -> FileDisk {
    FileDisk::open(&FileOptions::new(path)).expect("a regular file opens")
}

fn queues(c: &mut Criterion) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let temp = tempfile::Builder::new().prefix("bench-queue").tempfile_in(folder).expect("a temporary file");
    // Written, so that every block is there.
    std::fs::write(temp.path(), vec![7; SECTORS * 512]).expect("room for 8 MiB");

    bench(c, "null", &Inline::new(NullDisk::new(SECTORS as u64)));
    bench(c, "memory", &Inline::new(MemDisk::new(SECTORS)));
    bench(c, "file in place", &Inline::new(file(temp.path())));
    bench(c, "file, pooled", &Pooled::new(file(temp.path())));
    bench(c, "file, io_uring", &UringDisk::new(file(temp.path())));
    bench(c, "memory on threads", &Pooled::new(MemDisk::new(SECTORS)));

    let temp = tempfile::Builder::new().prefix("bench-queue").tempfile().expect("a temporary file");
    std::fs::write(temp.path(), vec![7; SECTORS * 512]).expect("room for 8 MiB");
    let options = FileOptions { direct: true, ..FileOptions::new(temp.path()) };
    // A file system in memory has no way past the page cache.
    let Ok(disk) = FileDisk::open(&options) else { return };
    bench(c, "drive, direct, pooled", &Pooled::new(disk));
    let Ok(disk) = FileDisk::open(&options) else { return };
    bench(c, "drive, direct, io_uring", &UringDisk::new(disk));
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = queues
}
criterion_main!(all);
