//! The conformance suite finds devices that break the contract, each by the rule that is about it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use bdev::testing::{TestBuf, rules};
use bdev::{
    AlignedBuf, Backend, BlockingBackend, DeviceInfo, Done, Extent, Features, Inline, Io, IoQueue, MemDisk,
    Op, Status, Submit,
};

/// A disk with one flaw.
struct Flawed {
    disk: MemDisk,
    flaw: Flaw,
    staged: Mutex<Option<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    SkipsTheLastSector,
    WritesOneSectorTooMany,
    ForgetsDurableWrites,
    WritesBlocksOfEightWithoutALock,
    ZeroesWholeBlocks,
    DiscardsNothing,
    FlushFails,
}

impl BlockingBackend for Flawed {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { features: self.disk.info().features | Features::FLUSH, ..self.disk.info() }
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        self.disk.read_at(lba, data)
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        match self.flaw {
            Flaw::SkipsTheLastSector => self.disk.write_at(lba, &data[..data.len().saturating_sub(512)]),
            Flaw::WritesOneSectorTooMany => {
                self.disk.write_at(lba, data)?;
                let _ = self.disk.write_at(lba + data.len() as u64 / 512, &[0xee; 512]);
                Ok(())
            }
            Flaw::WritesBlocksOfEightWithoutALock => {
                let block = lba / 8 * 8;
                let skip = (lba - block) as usize * 512;
                let mut around = vec![0; (skip + data.len()).next_multiple_of(8 * 512)];
                self.disk.read_at(block, &mut around)?;
                around[skip..skip + data.len()].copy_from_slice(data);
                std::thread::sleep(Duration::from_micros(50));
                self.disk.write_at(block, &around)
            }
            _ => self.disk.write_at(lba, data),
        }
    }

    fn write_fua_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        if self.flaw == Flaw::ForgetsDurableWrites {
            *self.staged.lock().unwrap() = Some(data.to_vec());
            return Ok(());
        }
        self.write_at(lba, data)
    }

    fn flush(&self) -> Result<(), Status> {
        if self.flaw == Flaw::FlushFails { Err(Status::Media) } else { Ok(()) }
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        if self.flaw == Flaw::DiscardsNothing { Ok(()) } else { self.disk.discard(extent) }
    }

    fn write_zeroes(&self, extent: Extent) -> Result<(), Status> {
        if self.flaw == Flaw::ZeroesWholeBlocks {
            return self
                .disk
                .write_zeroes(Extent::new(extent.lba / 8 * 8, extent.sectors.next_multiple_of(8)));
        }
        self.disk.write_zeroes(extent)
    }
}

type Rule<T> = fn(&T);

fn keeps(flaw: Flaw, rule: Rule<Inline<Flawed>>) -> bool {
    let disk = Inline::new(Flawed { disk: MemDisk::new(128), flaw, staged: Mutex::new(None) });
    catch_unwind(AssertUnwindSafe(|| rule(&disk))).is_ok()
}

#[test]
fn each_flaw_of_a_disk_breaks_the_rule_about_it_and_only_the_flaw_does() {
    let cases: [(Flaw, Rule<Inline<Flawed>>); 7] = [
        (Flaw::SkipsTheLastSector, rules::what_was_written_is_read_back::<AlignedBuf>),
        (Flaw::WritesOneSectorTooMany, rules::what_was_written_is_read_back::<AlignedBuf>),
        (Flaw::ForgetsDurableWrites, rules::durable_writes_and_flushes_succeed::<AlignedBuf>),
        (
            Flaw::WritesBlocksOfEightWithoutALock,
            rules::neighbours_written_at_the_same_time_do_not_disturb_each_other::<AlignedBuf>,
        ),
        (
            Flaw::ZeroesWholeBlocks,
            rules::zeroed_sectors_read_as_zeros_and_their_neighbours_stay::<AlignedBuf>,
        ),
        (Flaw::DiscardsNothing, rules::zeroed_sectors_read_as_zeros_and_their_neighbours_stay::<AlignedBuf>),
        (Flaw::FlushFails, rules::durable_writes_and_flushes_succeed::<AlignedBuf>),
    ];
    for (flaw, rule) in cases {
        assert!(keeps(Flaw::None, rule), "a sound disk passes the rule about {flaw:?}");
        assert!(!keeps(flaw, rule), "{flaw:?} passes");
    }
    for flaw in [Flaw::SkipsTheLastSector, Flaw::WritesOneSectorTooMany, Flaw::DiscardsNothing] {
        assert!(
            !keeps(flaw, rules::random_requests_match_a_model::<AlignedBuf>),
            "{flaw:?} matches the model"
        );
    }
}

/// A queue with one flaw, over a sound disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    /// Ignores where in the buffer the data starts.
    Offset,
    /// Answers with a buffer of its own.
    Buffer,
    /// Trusts the extent.
    Range,
    /// Is full with nothing in flight.
    Full,
    /// Keeps a request for ever.
    Loses,
    /// Counts what it has reaped as in flight.
    Counts,
}

struct Buggy {
    disk: Inline<MemDisk>,
    bug: Bug,
}

struct BuggyQueue<B> {
    inner: Box<dyn IoQueue<B>>,
    bug: Bug,
    kept: Vec<Done<B>>,
    submitted: u32,
}

impl<B: TestBuf> Backend<B> for Buggy {
    fn info(&self) -> DeviceInfo {
        Backend::<B>::info(&self.disk)
    }

    fn open_queue(&self, depth: u16) -> std::io::Result<Box<dyn IoQueue<B>>> {
        let inner = self.disk.open_queue(depth)?;
        Ok(Box::new(BuggyQueue { inner, bug: self.bug, kept: Vec::new(), submitted: 0 }))
    }
}

impl<B: TestBuf> IoQueue<B> for BuggyQueue<B> {
    fn submit(&mut self, io: Io<B>) -> Submit<B> {
        self.submitted += 1;
        if self.bug == Bug::Full && self.submitted == 3 {
            return Submit::Full(io);
        }
        let Submit::Done(mut done) = self.inner.submit(io) else { unreachable!("an inline disk") };
        match self.bug {
            Bug::Offset if done.op() == Op::Read => done.buf_mut().bytes_mut()[0] = 1,
            Bug::Buffer => {
                let len = done.buf().bytes().len();
                *done.buf_mut() = B::make(0, len, 512);
            }
            Bug::Range if done.status() == Status::OutOfRange => done = done.with_status(Status::Ok),
            Bug::Loses | Bug::Counts => {
                self.kept.push(done);
                return Submit::Queued;
            }
            _ => {}
        }
        Submit::Done(done)
    }

    fn reap(&mut self, done: &mut Vec<Done<B>>) {
        if self.bug == Bug::Counts {
            done.append(&mut self.kept);
        }
    }

    fn in_flight(&self) -> usize {
        match self.bug {
            Bug::Counts => self.submitted as usize,
            // Tells the truth about everything but the requests that it has lost.
            _ => 0,
        }
    }
}

#[test]
fn each_bug_of_a_queue_breaks_the_rule_about_it_and_only_the_bug_does() {
    let cases: [(Bug, Rule<Buggy>); 6] = [
        (Bug::Offset, rules::a_read_touches_nothing_but_its_data::<AlignedBuf>),
        (Bug::Buffer, rules::each_request_ends_once_with_all_that_it_came_with::<AlignedBuf>),
        (Bug::Range, rules::extents_beyond_the_end_are_out_of_range::<AlignedBuf>),
        (Bug::Full, rules::a_full_queue_takes_more_after_a_reap::<AlignedBuf>),
        (Bug::Loses, rules::each_request_ends_once_with_all_that_it_came_with::<AlignedBuf>),
        (Bug::Counts, rules::a_full_queue_takes_more_after_a_reap::<AlignedBuf>),
    ];
    for (bug, rule) in cases {
        let keeps = |bug| {
            let disk = Buggy { disk: Inline::new(MemDisk::new(128)), bug };
            catch_unwind(AssertUnwindSafe(|| rule(&disk))).is_ok()
        };
        assert!(keeps(Bug::None), "a sound queue passes the rule about {bug:?}");
        assert!(!keeps(bug), "{bug:?} passes");
    }
}
