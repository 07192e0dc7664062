//! The initiator: requests per second through `Initiator::turn`, with a link that answers every request in place.
//!
//! Windows of 1, 16 and 64 requests of one frame each: 1 KiB reads and writes at MTU 1500, 8.5 KiB reads and writes at MTU 9000; and one
//! request of 256 KiB that takes many frames. The time includes the link's answer, the copy of the data, and a `poll` for each request.

use std::time::Duration;

use bdev::{AlignedBuf, Extent, Io};
use benches::{Mirror, round};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const WINDOWS: [u16; 3] = [1, 16, 64];

fn frames(c: &mut Criterion, name: &str, mtu: u32, sectors: u32, write: bool) {
    let mut group = c.benchmark_group(name);
    for window in WINDOWS {
        let (mut initiator, disk) = Mirror::new(window.into(), mtu).initiator(window);
        let mut bufs: Vec<_> =
            (0..window).map(|_| AlignedBuf::with_len(sectors as usize * 512, 512)).collect();
        let mut now = Duration::ZERO;
        let io = |number: u64, buf| {
            let extent = Extent::new(number * u64::from(sectors), sectors);
            if write { Io::write(extent, buf, 0) } else { Io::read(extent, buf, 0) }
        };
        group.throughput(Throughput::Elements(window.into()));
        group.bench_function(BenchmarkId::from_parameter(window), |b| {
            b.iter(|| round(&mut initiator, disk, &mut bufs, &mut now, io));
        });
    }
    group.finish();
}

fn initiator(c: &mut Criterion) {
    frames(c, "initiator/read 1 KiB", 1500, 2, false);
    frames(c, "initiator/write 1 KiB", 1500, 2, true);
    frames(c, "initiator/read 8.5 KiB", 9000, 17, false);
    frames(c, "initiator/write 8.5 KiB", 9000, 17, true);

    let mut group = c.benchmark_group("initiator/read 256 KiB in frames of 8.5 KiB");
    let (mut initiator, disk) = Mirror::new(64, 9000).initiator(64);
    let mut bufs = vec![AlignedBuf::with_len(256 << 10, 512)];
    let mut now = Duration::ZERO;
    group.throughput(Throughput::Bytes(256 << 10));
    group.bench_function("64", |b| {
        b.iter(|| {
            round(&mut initiator, disk, &mut bufs, &mut now, |_, buf| Io::read(Extent::new(0, 512), buf, 0));
        });
    });
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = initiator
}
criterion_main!(all);
