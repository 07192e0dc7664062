//! Conformance cases 58 to 61: many requests at once, duplicates, and requests that overlap.
//!
//! Of case 60 this is the part with one interface; `late.rs` has the other.

mod versions;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::lab::PATIENCE;
use e2e::net::{note, skip};
use e2e::request::{Request, read, write};
use e2e::{Lab, Reply, SECTOR, Setup, on_a_wire};
use rustix::process::Signal;

/// Sends all of them without waiting and returns their replies, in the order of the requests.
#[track_caller]
fn ask_at_once(lab: &mut Lab, requests: &[Request]) -> Vec<Reply> {
    for request in requests {
        lab.client.send(&request.bytes());
    }
    collect(lab, requests)
}

#[track_caller]
fn collect(lab: &mut Lab, requests: &[Request]) -> Vec<Reply> {
    let mut by_tag: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for _ in requests {
        let frame = lab.next(PATIENCE).unwrap_or_else(|| {
            panic!("{} requests, {} replies", requests.len(), by_tag.len());
        });
        let twice = by_tag.insert(frame[20..24].to_vec(), frame);
        assert_eq!(twice, None, "a second reply to one request");
    }
    let reply = |request: &Request| {
        let request = request.bytes();
        lab.judge(&request, by_tag.get(&request[20..24]).expect("a reply with the request's tag"))
    };
    requests.iter().map(reply).collect()
}

#[test]
fn case_58_of_64_reads_at_once_none_is_lost() {
    on_a_wire(|lab| {
        let requests: Vec<_> = (0..64).map(|n| read(n * 200, 2)).collect();
        for (n, reply) in (0..).zip(ask_at_once(lab, &requests)) {
            reply.good().with_data(lab.disk.sectors(n * 200, 2));
        }
    });
}

#[test]
fn case_58_of_64_jumbo_reads_at_once_none_is_lost() {
    Setup::default().mtu(9000).run(|lab| {
        let requests: Vec<_> = (0..64).map(|n| read(n * 17, 17)).collect();
        for (n, reply) in (0..).zip(ask_at_once(lab, &requests)) {
            reply.good().with_data(lab.disk.sectors(n * 17, 17));
        }
    });
}

/// Write v1, a duplicate of it under another tag, write v2, read: all before the first reply. The duplicate must not
/// land after v2, and the read must see v2.
fn overlapping() -> [Request; 4] {
    [write(9, &[1; SECTOR]), write(9, &[1; SECTOR]), write(9, &[2; SECTOR]), read(9, 1)]
}

fn v2_remains(lab: &mut Lab, replies: &[Reply]) {
    let [first, duplicate, second, seen] = replies else { panic!("four replies") };
    first.good();
    duplicate.good();
    second.good();
    seen.good().with_data(&[2; SECTOR]);
    lab.disk.expect(9, &[2; SECTOR]);
    lab.disk.verify();
    lab.read(9, 1);
}

#[test]
fn case_59_overlapping_requests_are_executed_in_order_of_arrival() {
    on_a_wire(|lab| {
        for _ in 0..20 {
            let replies = ask_at_once(lab, &overlapping());
            v2_remains(lab, &replies);
        }
    });
}

#[test]
fn case_59_overlapping_requests_are_executed_in_order_of_arrival_on_a_slow_disk() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skip("needs the command strace, to slow the disk: apt-get install strace");
    }
    let calls = "pwrite64,pwritev,pwritev2,write";
    let trace = format!("trace={calls}");
    let delay = Duration::from_millis(200);
    let slow = format!("inject={calls}:delay_enter={}", delay.as_micros());
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &slow];
    Setup::default().wrapper(&strace).run(|lab| {
        let start = Instant::now();
        let replies = ask_at_once(lab, &overlapping());
        assert!(start.elapsed() >= 3 * delay, "the disk is not slow: three writes in {:?}", start.elapsed());
        v2_remains(lab, &replies);
    });
}

#[test]
fn case_60_requests_that_waited_while_the_target_was_stopped_are_executed_in_order() {
    on_a_wire(|lab| {
        lab.target.signal(Signal::STOP);
        let requests = overlapping();
        for request in &requests {
            lab.client.send(&request.bytes());
        }
        thread::sleep(Duration::from_millis(300));
        assert_eq!(lab.next(Duration::ZERO), None, "the target is not stopped");
        lab.target.signal(Signal::CONT);
        let replies = collect(lab, &requests);
        v2_remains(lab, &replies);
    });
}

#[test]
fn case_61_no_acknowledged_write_is_ever_undone_and_no_sector_torn() {
    let seed = 61;
    let length = Duration::from_secs(5);
    Setup::default().mtu(9000).image(versions::blank_disk()).run(|lab| {
        let summary = versions::run(lab, seed, length);
        note(&format!("case 61, seed {seed}: {summary}"));
    });
}
