//! Three stations on a bridge: a target, a host that floods it with reads as fast as it can, and one that keeps to the buffer count.
//!
//! The disk answers at once, so that nothing waits in the target: what is not read in time is lost in the kernel.

use e2e::flood::Flood;
use e2e::net::{CLIENT, TARGET, note};
use e2e::request::read;
use e2e::stage::{Kind, assert_equal, empty};
use e2e::tool::{Outcome, Tool};
use e2e::{S, T, mac};

/// The host that floods.
const STRANGER: &str = "str0";
const STRANGERS: u8 = 0x66;
/// Of the disk: 2 MiB.
const SECTORS: usize = 4096;

fn bench(window: u32) -> serde_json::Value {
    let words = format!("bench e7.3 --duration 1 --random --window {window} --json");
    Tool::new(&words).run().good().json()
}

fn row(what: &str, read: &Outcome) -> Vec<f64> {
    let benches = [16, 1].map(bench);
    let rate = |json: &serde_json::Value| json["replies_per_second"].as_f64().expect("a number");
    let show = |json: &serde_json::Value| {
        let us = &json["reads"]["latency_us"];
        format!(
            "{:.0}/s, p50 {} us, p99 {} us, {} sent again",
            rate(json),
            us["p50"],
            us["p99"],
            json["retransmits"]
        )
    };
    let [many, one] = &benches;
    note(&format!(
        "case {what}: 2 MiB read in {:.2?}; window 16: {}; window 1: {}",
        read.took,
        show(many),
        show(one)
    ));
    benches.iter().map(rate).collect()
}

#[test]
fn beside_a_host_that_reads_as_fast_as_it_can_another_is_served() {
    let Some(stage) = empty() else { return };
    stage.net.segment(1500, &[(TARGET, T), (CLIENT, S), (STRANGER, mac(STRANGERS))]);
    let disk = stage.random("disk", SECTORS);
    let Some(mut target) = stage.serve(Kind::Ours, &disk) else { return };
    let whole = |to| {
        let read = Tool::new("read e7.3").arg(stage.path(to)).run();
        read.good();
        assert_equal(&disk, &stage.path(to));
        read
    };
    let alone = row("without a flood", &whole("alone"));

    let reads = (0..SECTORS as u64).map(|lba| read(lba, 1).from(mac(STRANGERS)).bytes());
    let flood = Flood::start(STRANGER, reads.collect());
    let rates = row("beside a flood", &whole("beside"));
    note(&format!("case the flood: {:.0} reads a second", flood.rate()));
    // Measured: a sixth of the rate with a window of 16 is left, and a fifteenth of that of single requests; on a busy machine much less. How much it
    // is, the docs tell; here it is that nobody is stopped, which would end the bench with errors.
    for (rate, alone) in rates.into_iter().zip(alone) {
        assert!(rate / alone > 0.0002, "{rate} a second, and {alone} without the flood");
    }
    target.assert_alive();
}
