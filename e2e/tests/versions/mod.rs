//! A register check for disks: every sector written carries its own address and the number of the write. A number may
//! not be seen again once a write that began after that one was acknowledged has itself been acknowledged.

use std::fmt;
use std::time::{Duration, Instant};

use e2e::disk::SECTORS;
use e2e::request::{Request, read, write};
use e2e::rng::Rng;
use e2e::{Lab, Mac, SECTOR};

const WRITERS: usize = 8;
const READERS: usize = 8;
/// All requests fall into this many sectors, so that they overlap.
const HOT: u64 = 64;
/// Most sectors in a request.
const MOST: u64 = 17;
/// An unanswered request is sent again after this long, with another tag, as the Linux driver does.
const RETRY: Duration = Duration::from_millis(100);

/// A disk written by write number 0.
pub(crate) fn blank_disk() -> Vec<u8> {
    sectors(0, SECTORS as usize, 0)
}

fn sectors(lba: u64, count: usize, version: u64) -> Vec<u8> {
    let stamp = |lba: u64| [lba.to_le_bytes(), version.to_le_bytes()].concat().repeat(SECTOR / 16);
    (lba..lba + count as u64).flat_map(stamp).collect()
}

/// The number of the write that made this sector.
#[track_caller]
fn version(lba: u64, sector: &[u8]) -> usize {
    let word = |at: usize| u64::from_le_bytes(sector[at..at + 8].try_into().expect("eight bytes"));
    let version = word(8);
    assert_eq!(word(0), lba, "another sector at LBA {lba}");
    assert!(sector == sectors(lba, 1, version), "LBA {lba} is torn: it begins with version {version}");
    version as usize
}

/// What happened, in numbers.
pub(crate) struct Summary {
    writes: usize,
    reads: usize,
    retries: usize,
    duplicates: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, reads, retries, duplicates } = self;
        write!(f, "{writes} writes, {reads} reads, {retries} sent again, {duplicates} duplicates")
    }
}

/// When a write began and when it was acknowledged, on the clock that counts such events.
struct Write {
    began: u64,
    acknowledged: Option<u64>,
}

struct History {
    clock: u64,
    writes: Vec<Write>,
    /// For each sector: when the latest of its acknowledged writes began.
    floor: Vec<u64>,
}

impl History {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Begins a write and returns its number.
    fn begin(&mut self) -> usize {
        let began = self.tick();
        self.writes.push(Write { began, acknowledged: None });
        self.writes.len() - 1
    }

    fn acknowledge(&mut self, number: usize, lba: u64, count: usize) {
        let now = self.tick();
        let write = &mut self.writes[number];
        write.acknowledged = Some(now);
        for floor in &mut self.floor[lba as usize..lba as usize + count] {
            *floor = (*floor).max(write.began);
        }
    }

    /// Checks what a read saw that began when the floors of its sectors were these.
    #[track_caller]
    fn check(&self, lba: u64, data: &[u8], floors: &[u64]) {
        for ((lba, sector), floor) in (lba..).zip(data.chunks(SECTOR)).zip(floors) {
            let seen = version(lba, sector);
            let Some(write) = self.writes.get(seen) else {
                panic!("LBA {lba} has version {seen}, never written")
            };
            if let Some(acknowledged) = write.acknowledged {
                assert!(
                    acknowledged >= *floor,
                    "LBA {lba} went back to version {seen}: acknowledged at {acknowledged}, before a write began \
                     at {floor} that was acknowledged before this read"
                );
            }
        }
    }
}

/// One host with one request at a time.
struct Host {
    mac: Mac,
    writes: bool,
    pending: Option<Pending>,
}

struct Pending {
    request: Request,
    frame: Vec<u8>,
    sent: Instant,
    lba: u64,
    count: usize,
    /// Of a write.
    number: usize,
    /// Of a read: the floors of its sectors when it began.
    floors: Vec<u64>,
}

/// Runs eight writers and eight readers for this long. Of the frames, one in a hundred is lost each way; of the requests,
/// three in a hundred are sent twice.
pub(crate) fn run(lab: &mut Lab, seed: u64, length: Duration) -> Summary {
    let mut rng = Rng::new(seed);
    let mut summary = Summary { writes: 0, reads: 0, retries: 0, duplicates: 0 };
    let first = Write { began: 0, acknowledged: Some(0) };
    let mut history = History { clock: 0, writes: vec![first], floor: vec![0; SECTORS as usize] };
    let host = |n: usize| Host { mac: [2, 0, 0, 0, 0x61, n as u8], writes: n < WRITERS, pending: None };
    let mut hosts: Vec<_> = (0..WRITERS + READERS).map(host).collect();
    let end = Instant::now() + length;
    let give_up = end + Duration::from_secs(10);
    loop {
        let now = Instant::now();
        assert!(now < give_up, "requests remain unanswered: {summary}");
        for host in &mut hosts {
            match &mut host.pending {
                None if now < end => {
                    let pending = begin(&mut history, &mut rng, host.mac, host.writes);
                    transmit(lab, &mut rng, &mut summary, &pending.frame);
                    host.pending = Some(pending);
                }
                Some(pending) if now - pending.sent > RETRY => {
                    summary.retries += 1;
                    pending.request = pending.request.clone().tagged(rng.next_u64() as u32 | 1);
                    pending.frame = pending.request.bytes();
                    pending.sent = now;
                    transmit(lab, &mut rng, &mut summary, &pending.frame);
                }
                _ => {}
            }
        }
        if now >= end && hosts.iter().all(|host| host.pending.is_none()) {
            break;
        }
        if let Some(frame) = lab.next(Duration::from_millis(1))
            && !rng.one_in(100)
        {
            receive(lab, &mut history, &mut hosts, &mut summary, &frame);
        }
    }
    // Replies to duplicates.
    while lab.next(Duration::from_millis(200)).is_some() {}
    lab.disk.accept();
    let hot = lab.disk.sectors(0, HOT as usize);
    history.check(0, hot, &history.floor[..HOT as usize]);
    assert!(summary.writes > 100 && summary.reads > 100, "hardly anything happened: {summary}");
    assert!(summary.retries > 0 && summary.duplicates > 0, "nothing was lost or sent twice: {summary}");
    summary
}

fn begin(history: &mut History, rng: &mut Rng, mac: Mac, writes: bool) -> Pending {
    let count = 1 + rng.below(MOST) as usize;
    let lba = rng.below(HOT - count as u64 + 1);
    let (request, number, floors) = if writes {
        let number = history.begin();
        (write(lba, &sectors(lba, count, number as u64)), number, Vec::new())
    } else {
        let floors = history.floor[lba as usize..lba as usize + count].to_vec();
        (read(lba, count as u8), 0, floors)
    };
    let request = request.from(mac);
    Pending { frame: request.bytes(), request, sent: Instant::now(), lba, count, number, floors }
}

fn transmit(lab: &Lab, rng: &mut Rng, summary: &mut Summary, frame: &[u8]) {
    if rng.one_in(100) {
        return;
    }
    lab.client.send(frame);
    if rng.below(100) < 3 {
        summary.duplicates += 1;
        lab.client.send(frame);
    }
}

#[track_caller]
fn receive(lab: &Lab, history: &mut History, hosts: &mut [Host], summary: &mut Summary, frame: &[u8]) {
    let Some(host) = hosts.iter_mut().find(|host| host.mac == frame[..6]) else {
        panic!("a reply to nobody");
    };
    // The reply to an earlier copy does not count.
    let Some(pending) = host.pending.take_if(|pending| pending.frame[20..24] == frame[20..24]) else {
        return;
    };
    let reply = lab.judge(&pending.frame, frame);
    reply.good();
    if host.writes {
        summary.writes += 1;
        history.acknowledge(pending.number, pending.lba, pending.count);
    } else {
        summary.reads += 1;
        history.check(pending.lba, &reply.bytes()[36..], &pending.floors);
    }
}
