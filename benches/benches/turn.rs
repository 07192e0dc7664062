//! The engine: requests per second through `Server::turn`, with a disk that stores nothing and a link that is a list.
//!
//! Per batch of 1, 8, 32 and 64 frames: 1 KiB reads and writes at MTU 1500, 8.5 KiB reads and writes at MTU 9000, and a mix (of 16: 10
//! reads, 4 writes, a config query and an IDENTIFY). The time includes what [`NullDisk`] does, which is to zero the data of a read.

use std::time::Duration;

use aoe_target::bdev::{AlignedBuf, Backend, Inline, NullDisk};
use benches::Treadmill;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCHES: [u32; 4] = [1, 8, 32, 64];

fn turn(group: &mut BenchmarkGroup<'_, WallTime>, batch: u32, mtu: u32, request: impl Fn(u32) -> Vec<u8>) {
    let requests = (0..batch).map(request).collect();
    let disk = Inline::new(NullDisk::new(1 << 20));
    let queue = Backend::<AlignedBuf>::open_queue(&disk, 64).expect("it needs nothing");
    let mut server =
        benches::server([Treadmill::new(requests, mtu)], queue, Backend::<AlignedBuf>::info(&disk));
    group.throughput(Throughput::Elements(batch.into()));
    group.bench_function(BenchmarkId::from_parameter(batch), |b| {
        b.iter(|| {
            let progress = server.turn(Duration::ZERO).expect("a treadmill never breaks");
            assert_eq!(progress.sent, batch as usize);
        });
    });
}

fn mix(number: u32) -> Vec<u8> {
    let lba = u64::from(number) * 8;
    match number % 16 {
        0..10 => benches::read(number, lba, 2),
        10..14 => benches::write(number, lba, 2),
        14 => benches::config(number),
        _ => benches::identify(number),
    }
}

fn engine(c: &mut Criterion) {
    type Request = fn(u32) -> Vec<u8>;
    let rows: [(&str, u32, Request); 5] = [
        ("turn/read 1 KiB", 1500, |n| benches::read(n, u64::from(n) * 2, 2)),
        ("turn/write 1 KiB", 1500, |n| benches::write(n, u64::from(n) * 2, 2)),
        ("turn/read 8.5 KiB", 9000, |n| benches::read(n, u64::from(n) * 17, 17)),
        ("turn/write 8.5 KiB", 9000, |n| benches::write(n, u64::from(n) * 17, 17)),
        ("turn/mix", 1500, mix),
    ];
    for (name, mtu, request) in rows {
        let mut group = c.benchmark_group(name);
        for batch in BATCHES {
            turn(&mut group, batch, mtu, request);
        }
        group.finish();
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = engine
}
criterion_main!(all);
