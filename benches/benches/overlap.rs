//! The order of overlapping requests: nanoseconds per request through `Server::turn`, while as many are in flight as the window has.
//!
//! A disk that stores nothing keeps each request for some turns, so that the window stays full; a request that arrives is then held against all
//! of them. Requests are of 1 KiB:
//!
//! * reads, which never wait;
//! * writes apart, which have no sector in common;
//! * writes in pairs, where every second one waits for the one before it;
//! * writes of one place, where each waits for all before it, so that one at a time is at the disk.
//!
//! Each over one link and over four links of one disk, which share the window. Window 1 is the cost without the others.

use std::time::Duration;

use aoe_target::bdev::{AlignedBuf, Backend, Inline, NullDisk};
use bdev::testing::Delay;
use benches::Carousel;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const WINDOWS: [usize; 4] = [1, 16, 64, 256];
const LINKS: [usize; 2] = [1, 4];
/// More than any window, so that no request meets itself.
const REQUESTS: u32 = 1024;

/// The request of this number.
type Request = fn(u32) -> Vec<u8>;

fn group(c: &mut Criterion, name: &str, request: Request) {
    for links in LINKS {
        let plural = if links == 1 { "" } else { "s" };
        let mut group = c.benchmark_group(format!("overlap/{name}, {links} link{plural}"));
        for window in WINDOWS.into_iter().filter(|window| *window >= links) {
            // Of those that arrive together, up to eight from each link, some end in each turn.
            let turns = (window / (8 * links)).max(1);
            let disk = Delay::for_reaps(Inline::new(NullDisk::new(1 << 20)), turns);
            let depth = u16::try_from(window).expect("a small window");
            let queue = Backend::<AlignedBuf>::open_queue(&disk, depth).expect("it needs nothing");
            let share =
                |link: usize| (0..REQUESTS).filter(|n| *n as usize % links == link).map(request).collect();
            let carousels = (0..links).map(|link| Carousel::new(share(link), window / links));
            let mut server = benches::server(carousels, queue, Backend::<AlignedBuf>::info(&disk));
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::from_parameter(window), |b| {
                b.iter_custom(|requests| benches::time_of(&mut server, requests));
            });
        }
        group.finish();
    }
}

fn overlap(c: &mut Criterion) {
    group(c, "reads", |n| benches::read(n, u64::from(n) * 2, 2));
    group(c, "writes apart", |n| benches::write(n, u64::from(n) * 2, 2));
    group(c, "writes in pairs", |n| benches::write(n, u64::from(n / 2) * 2, 2));
    group(c, "writes of one place", |n| benches::write(n, 0, 2));
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500)).sample_size(20);
    targets = overlap
}
criterion_main!(all);
