//! What is owed to initiators, and what the disk must hold.
//!
//! Replies are taken in order of arrival of their requests. By then every earlier request with a sector in common must have been answered
//! if one of the two writes: whatever overtook is found here, and whatever ran in the wrong order by what a later read brings.

use std::collections::BTreeMap;

use super::disk::Memory;
use super::model::Work;

/// A request that is to be answered.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) target: usize,
    pub(super) link: usize,
    pub(super) due: Due,
    /// Whether its reply was seen, and is being looked at.
    pub(super) seen: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Due {
    Exactly { reply: Vec<u8>, after_writes: bool },
    Disk { work: Work, good: Vec<u8>, failed: Vec<u8> },
}

impl Owed {
    /// What every reply to it begins with: addresses, tag, command. Version, flags and error are left out.
    pub(super) fn is_answered_by(&self, link: usize, reply: &[u8]) -> bool {
        let model = match &self.due {
            Due::Exactly { reply, .. } => reply,
            Due::Disk { good, .. } => good,
        };
        let same = |range: std::ops::Range<usize>| reply.get(range.clone()) == Some(&model[range]);
        self.link == link && same(0..14) && same(16..24)
    }

    fn is_exactly(&self, found: &[u8]) -> bool {
        matches!(&self.due, Due::Exactly { reply, .. } if reply == found)
    }

    fn work(&self) -> Option<&Work> {
        match &self.due {
            Due::Disk { work, .. } => Some(work),
            Due::Exactly { .. } => None,
        }
    }
}

impl Work {
    pub(super) fn extents(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Read { lba, count } | Self::Verify { lba, count } => vec![(*lba, *count)],
            Self::Write { lba, data, .. } => vec![(*lba, data.len() as u64 / 512)],
            Self::Trim { ranges, .. } => ranges.clone(),
            Self::Flush => vec![],
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Trim { .. })
    }

    fn overlaps(&self, other: &Self) -> bool {
        let others = other.extents();
        self.extents().iter().any(|(a, n)| others.iter().any(|(b, m)| a < &(b + m) && b < &(a + n)))
    }

    /// Whether `later` must not run before this has ended.
    fn precedes(&self, later: &Self) -> bool {
        match later {
            Self::Flush => self.is_write(),
            _ => (self.is_write() || later.is_write()) && self.overlaps(later),
        }
    }
}

/// Where a disk fails.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bad {
    pub(super) read: Option<u64>,
    pub(super) write: Option<u64>,
    pub(super) flush: bool,
}

/// One disk as it must be.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) bytes: Vec<u8>,
    pub(super) bad: Bad,
    /// The first number that had not arrived when a flush was seen to fail.
    pub(super) lost_before: Option<u64>,
    pub(super) memory: Memory,
    /// Whether the write cache was ever switched: nobody knows which of the two held when a trim ended.
    pub(super) switched: bool,
    /// Writes that need not be durable before the next flush: number, first sector, count.
    volatile: Vec<(u64, u64, u64)>,
    /// In which place each frame was taken, by the number in its data.
    pub(super) places: BTreeMap<u64, u64>,
    /// Sectors that were ever trimmed: the stamp of a write may be gone from them.
    trimmed: Vec<bool>,
}

impl Flat {
    pub(super) fn new(memory: Memory, bad: Bad) -> Self {
        let len = memory.content().now.len();
        let trimmed = vec![false; len / 512];
        Self {
            bytes: vec![0; len],
            bad,
            lost_before: None,
            memory,
            switched: false,
            volatile: vec![],
            places: BTreeMap::new(),
            trimmed,
        }
    }

    /// Takes note of what is about to happen to the disk.
    fn expect(&mut self, work: &Work) {
        if let Work::Trim { ranges, .. } = work {
            for (lba, count) in ranges {
                self.trimmed[*lba as usize..(lba + count) as usize].fill(true);
            }
        }
    }

    fn range(lba: u64, count: u64) -> std::ops::Range<usize> {
        lba as usize * 512..(lba + count) as usize * 512
    }

    /// The error that `work`, number `number`, must fail with, `Ok(())` if it must not; for a flush that may do either, what it did.
    fn verdict(&mut self, number: u64, work: &Work, good: bool, next: u64) -> Result<(), u8> {
        let hits =
            |bad: Option<u64>, lba: u64, count: u64| bad.is_some_and(|bad| lba <= bad && bad < lba + count);
        match work {
            Work::Read { lba, count } | Work::Verify { lba, count } if hits(self.bad.read, *lba, *count) => {
                Err(0x40)
            }
            Work::Write { .. } | Work::Trim { .. }
                if work.extents().iter().any(|(lba, count)| hits(self.bad.write, *lba, *count)) =>
            {
                Err(4)
            }
            Work::Flush if self.lost_before.is_some_and(|failed| number >= failed) => Err(4),
            // A trim that must be durable is followed by a flush.
            Work::Flush | Work::Trim { .. } if self.bad.flush && !good => {
                self.lost_before.get_or_insert(next);
                Err(4)
            }
            _ => Ok(()),
        }
    }

    /// Does what the disk has done, and returns what a read must have brought.
    fn apply(&mut self, number: u64, work: &Work, good: bool) -> Vec<u8> {
        match work {
            Work::Read { lba, count } => return self.bytes[Self::range(*lba, *count)].to_vec(),
            Work::Write { lba, data, durable } => {
                self.bytes[Self::range(*lba, data.len() as u64 / 512)].copy_from_slice(data);
                let count = data.len() as u64 / 512;
                if *durable {
                    self.check_durable(number, *lba, count);
                } else {
                    self.volatile.push((number, *lba, count));
                }
            }
            Work::Trim { ranges, durable } => {
                for (lba, count) in ranges {
                    if self.bad.write.is_some_and(|bad| *lba <= bad && bad < lba + count) {
                        break;
                    }
                    self.bytes[Self::range(*lba, *count)].fill(0);
                    if good && *durable && !self.switched {
                        self.check_trimmed(number, *lba, *count);
                    }
                }
            }
            Work::Flush => {
                let (flushed, later): (Vec<_>, _) =
                    self.volatile.drain(..).partition(|write| write.0 < number);
                self.volatile = later;
                for (write, lba, count) in flushed {
                    self.check_durable(write, lba, count);
                }
            }
            Work::Verify { .. } => {}
        }
        vec![]
    }

    /// A trim is durable, or a later write to the same sector is.
    fn check_trimmed(&self, number: u64, lba: u64, count: u64) {
        let content = self.memory.content();
        for sector in lba..lba + count {
            let place = self.places.get(&content.durable_stamp(sector));
            assert!(
                place.is_none_or(|place| *place >= number / 2),
                "trim {number} of sector {sector} is not durable"
            );
        }
    }

    /// A write is durable, or a later one to the same sector is.
    fn check_durable(&self, number: u64, lba: u64, count: u64) {
        let content = self.memory.content();
        for sector in lba..lba + count {
            let place = self.places.get(&content.durable_stamp(sector));
            let trimmed = self.trimmed[sector as usize];
            assert!(
                trimmed || place.is_some_and(|place| *place >= number / 2),
                "write {number} of sector {sector} is not durable"
            );
        }
    }
}

/// All that is owed, by number: twice the place in which the frame was taken, plus the number of the target.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) owed: BTreeMap<u64, Owed>,
    /// The number after the last.
    pub(super) next: u64,
}

impl Book {
    /// Takes note of a request.
    pub(super) fn open(&mut self, number: u64, owed: Owed, disk: &mut Flat) {
        if let Some(work) = owed.work() {
            disk.expect(work);
        }
        self.owed.insert(number, owed);
    }

    /// The request that a frame on `link` answers. Repetitions under one tag are told apart by the reply, as far as they can be; of two that
    /// cannot, the first was answered first; but of flushes the last has failed, since one that failed makes later ones fail.
    pub(super) fn find(&mut self, link: usize, reply: &[u8]) -> Option<u64> {
        let open = self.owed.iter_mut().filter(|(_, owed)| !owed.seen && owed.is_answered_by(link, reply));
        let mut open: Vec<_> = open.collect();
        let exact = open.iter().position(|(_, owed)| owed.is_exactly(reply));
        let failed = reply.get(27).is_some_and(|status| status & 1 != 0);
        let flush = open.iter().rposition(|(_, owed)| failed && owed.work() == Some(&Work::Flush));
        let at = exact.or(flush).unwrap_or(0);
        let (number, owed) = open.get_mut(at)?;
        owed.seen = true;
        Some(**number)
    }

    /// Compares the reply to request `number` with what it had to be.
    pub(super) fn close(&mut self, number: u64, reply: &[u8], disks: &mut [Flat]) {
        let Some(owed) = self.owed.remove(&number) else { return };
        let is_good = reply.get(27) == Some(&0x40);
        // What was refused at once has overtaken nobody: after a failed flush every later one fails.
        if is_good || !matches!(owed.work(), Some(Work::Flush)) {
            self.check_order(number, &owed);
        }
        match &owed.due {
            Due::Exactly { reply: expected, .. } => compare(number, reply, expected),
            Due::Disk { work, good, failed } => {
                let disk = &mut disks[owed.target];
                let verdict = disk.verdict(number, work, is_good, self.next);
                let expected = match verdict {
                    Ok(()) => {
                        let mut expected = good.clone();
                        expected.extend(disk.apply(number, work, is_good));
                        super::model::padded(expected)
                    }
                    Err(error) => {
                        let mut expected = failed.clone();
                        expected[25] = error;
                        if matches!(work, Work::Trim { .. }) {
                            disk.apply(number, work, is_good);
                        }
                        expected
                    }
                };
                compare(number, reply, &expected);
            }
        }
    }

    fn check_order(&self, number: u64, owed: &Owed) {
        let earlier = self.owed.range(..number).filter(|(_, other)| other.target == owed.target);
        for (other, waiting) in earlier {
            let Some(before) = waiting.work() else { continue };
            let (overtaken, work) = match &owed.due {
                Due::Disk { work, .. } => (before.precedes(work), Some(work)),
                Due::Exactly { after_writes, .. } => (*after_writes && before.is_write(), None),
            };
            assert!(!overtaken, "request {number} ({work:?}) overtook request {other} ({before:?})");
        }
    }
}

fn compare(number: u64, reply: &[u8], expected: &[u8]) {
    if reply != expected {
        let at =
            reply.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(reply.len().min(expected.len()));
        panic!(
            "the reply to request {number} differs at byte {at} ({} bytes instead of {}):\n{}\ninstead of\n{}",
            reply.len(),
            expected.len(),
            aoe_wire::show(reply),
            aoe_wire::show(expected)
        );
    }
}
