//! The codec: nanoseconds per frame taken apart, answered in place, written and printed.
//!
//! A frame lies in its buffer, as after a receive; nothing is copied but what the codec itself writes.

use std::hint::black_box;
use std::time::Duration;

use aoe_wire::{
    ATA_HEADER_LEN, ArgMut, IdentifyDevice, IdentifyFeatures, Identity, Packet, PacketMut, pad, show,
};
use benches::{OWN, TARGET};
use criterion::{Criterion, criterion_group, criterion_main};

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    for (name, frame) in [
        ("read", benches::read(1, 4096, 2)),
        ("write 1 KiB", benches::write(1, 4096, 2)),
        ("config", benches::config(1)),
    ] {
        group.bench_function(name, |b| b.iter(|| Packet::parse(black_box(&frame)).is_ok()));
    }
    group.finish();
}

fn reply(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/reply");
    let mut frame = benches::read(1, 4096, 2);
    frame.resize(ATA_HEADER_LEN + 1024, 0);
    group.bench_function("read", |b| {
        b.iter(|| {
            let mut packet = PacketMut::parse(black_box(&mut frame)).expect("it is a frame");
            packet.respond(TARGET, OWN);
            if let ArgMut::Ata(arg, _) = packet.arg {
                arg.succeed();
            }
        });
    });
    let mut frame = benches::flush(1);
    group.bench_function("flush, with padding", |b| {
        b.iter(|| {
            let mut packet = PacketMut::parse(black_box(&mut frame)).expect("it is a frame");
            packet.respond(TARGET, OWN);
            if let ArgMut::Ata(arg, _) = packet.arg {
                arg.succeed();
            }
            pad(&mut frame, ATA_HEADER_LEN)
        });
    });
    group.finish();
}

fn identify(c: &mut Criterion) {
    let identity = Identity::new("e7.3", "0.1.0", "AOE DISK").expect("printable names");
    let mut payload = [0; 512];
    c.bench_function("wire/identify", |b| {
        b.iter(|| {
            let page = IdentifyDevice::parse_mut(black_box(&mut payload)).expect("512 bytes");
            page.fill(identity, 1 << 31, IdentifyFeatures::default());
        });
    });
}

fn print(c: &mut Criterion) {
    let frame = benches::read(1, 4096, 2);
    c.bench_function("wire/show", |b| b.iter(|| show(black_box(&frame)).to_string()));
}

fn write(c: &mut Criterion) {
    c.bench_function("wire/build read", |b| b.iter(|| benches::read(black_box(1), 4096, 2)));
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = parse, reply, identify, print, write
}
criterion_main!(all);
