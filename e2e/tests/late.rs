//! Conformance case 60: two interfaces of one disk, and a write that waits at one of them while its sender repeats it at the other.

use std::thread;
use std::time::{Duration, Instant};

use e2e::SECTOR;
use e2e::client::Client;
use e2e::lab::PATIENCE;
use e2e::net::{CLIENT, TARGET};
use e2e::request::{Mac, Request, S, mac, read, write};
use e2e::stage::{self, Kind, Stage};
use e2e::target::Target;
use rustix::process::Signal;

/// The second cable, with the address of its target's end. The target receives there first.
const OTHER: (&str, &str, Mac) = ("tgt1", "ini1", mac(0x73));
const LBA: u64 = 9;

/// An initiator with two interfaces.
struct Paths {
    near: Client,
    other: Client,
    target: Target,
    _stage: Stage,
}

impl Paths {
    fn new() -> Option<Self> {
        let stage = stage::with_a_cable(1500)?;
        stage.net.cable(1500, (OTHER.0, OTHER.2), (OTHER.1, mac(0xa7)));
        let disk = stage.random("disk", 64);
        let place = format!("7 3 {},{TARGET}", OTHER.0);
        // As many as one initiator has outstanding here, so that all are within its share.
        let target = stage.serve_as(Kind::Ours, "-b 512 --link packet", &place, &disk)?;
        let open = |name| Client::open(name).expect("a raw socket");
        let mut paths = Self { near: open(CLIENT), other: open(OTHER.1), target, _stage: stage };
        // It has received on both before something waits there.
        paths.near(&read(LBA, 1).tagged(1));
        paths.other(&read(LBA, 1).tagged(2));
        assert_eq!(replies(&mut paths.near, 1), [1]);
        assert_eq!(replies(&mut paths.other, 2), [2]);
        Some(paths)
    }

    fn near(&self, request: &Request) {
        self.near.send(&request.clone().from(S).bytes());
    }

    fn other(&self, request: &Request) {
        self.other.send(&request.clone().from(mac(0xa7)).to(OTHER.2).bytes());
    }

    /// What the sector holds when all is done.
    #[track_caller]
    fn byte(&mut self) -> u8 {
        self.near(&read(LBA, 1).tagged(0xffff));
        reply(&mut self.near, 0xffff)[36]
    }
}

/// The reply with this tag; others are dropped.
#[track_caller]
fn reply(client: &mut Client, tag: u32) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = client.receive(left).unwrap_or_else(|| panic!("no reply with tag {tag}"));
        if frame[20..24] == tag.to_be_bytes() {
            return frame;
        }
    }
}

/// The tags of replies until one has this tag; advertisements have none.
#[track_caller]
fn replies(client: &mut Client, last: u32) -> Vec<u32> {
    let mut tags = Vec::new();
    while tags.last() != Some(&last) {
        let frame =
            client.receive(PATIENCE).unwrap_or_else(|| panic!("no reply with tag {last} after {tags:?}"));
        tags.extend(
            Some(u32::from_be_bytes([frame[20], frame[21], frame[22], frame[23]])).filter(|tag| *tag != 0),
        );
    }
    tags
}

/// Lets v1 wait behind `ahead` reads while it is repeated at the other interface, and followed by v2.
fn overtaken(paths: &mut Paths, ahead: u32) {
    paths.target.signal(Signal::STOP);
    for tag in 0..ahead {
        paths.near(&read(20, 1).tagged(1000 + tag));
    }
    paths.near(&write(LBA, &[1; SECTOR]).tagged(10));
    thread::sleep(Duration::from_millis(50));
    paths.other(&write(LBA, &[1; SECTOR]).tagged(11));
    paths.other(&write(LBA, &[2; SECTOR]).tagged(12));
    thread::sleep(Duration::from_millis(250));
    paths.target.signal(Signal::CONT);
}

#[test]
fn case_60_what_waited_at_two_interfaces_is_executed_in_the_order_of_its_arrival() {
    let Some(mut paths) = Paths::new() else { return };
    overtaken(&mut paths, 0);
    assert_eq!(replies(&mut paths.other, 12), [11, 12]);
    assert_eq!(replies(&mut paths.near, 10), [10]);
    assert_eq!(paths.byte(), 2);
    paths.target.assert_alive();
}

#[test]
fn case_60_a_write_that_waited_too_long_at_one_interface_is_quiet_and_undoes_nothing() {
    let Some(mut paths) = Paths::new() else { return };
    overtaken(&mut paths, 400);
    assert_eq!(replies(&mut paths.other, 12), [11, 12]);
    paths.near(&read(LBA, 1).tagged(13));
    let tags = replies(&mut paths.near, 13);
    assert_eq!(tags, (1000..1400).chain([13]).collect::<Vec<_>>(), "all but the late one");
    assert_eq!(paths.byte(), 2);
    let said = paths.target.stderr();
    assert_eq!(said.matches("dropped writes that newer ones had overtaken").count(), 1, "{said}");
    paths.target.assert_alive();
}
