//! Late writes: nanoseconds per write of 1 KiB through `Server::turn`, to a disk that stores nothing and ends them at once.
//!
//! * one link: nothing is looked at;
//! * two links whose frames have no times: what it costs to take in a burst of each before anything is begun;
//! * two links in time: each write is held against the newest, and remembered;
//! * two links, one of which is 100 ms behind: each of its writes is held against all that the other brought since then.
//!
//! No two writes have a sector in common, so that none is dropped.

use std::time::{Duration, Instant};

use aoe_target::bdev::{AlignedBuf, Backend, Inline, NullDisk};
use benches::Carousel;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const WINDOWS: [usize; 2] = [2, 32];
const REQUESTS: u32 = 1024;

fn group(c: &mut Criterion, name: &str, links: usize, timed: impl Fn(usize, Carousel) -> Carousel) {
    let mut group = c.benchmark_group(format!("late/{name}"));
    for window in WINDOWS {
        let disk = Inline::new(NullDisk::new(1 << 20));
        let queue = Backend::<AlignedBuf>::open_queue(&disk, 64).expect("it needs nothing");
        let carousels = (0..links).map(|link| {
            let numbers = (0..REQUESTS).filter(|n| *n as usize % links == link);
            let requests = numbers.map(|n| benches::write(n, u64::from(n) * 2, 2)).collect();
            timed(link, Carousel::new(requests, window / links))
        });
        let mut server = benches::server(carousels, queue, Backend::<AlignedBuf>::info(&disk));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(window), |b| {
            b.iter_custom(|requests| benches::time_of(&mut server, requests));
        });
    }
    group.finish();
}

fn late(c: &mut Criterion) {
    let start = Instant::now();
    group(c, "one link", 1, |_, link| link);
    group(c, "two links without times", 2, |_, link| link);
    group(c, "two links in time", 2, |_, link| link.with_times(start, Duration::ZERO));
    group(c, "two links, one 100 ms behind", 2, |number, link| {
        link.with_times(start, if number == 0 { Duration::from_millis(100) } else { Duration::ZERO })
    });
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(700)).sample_size(20);
    targets = late
}
criterion_main!(all);
