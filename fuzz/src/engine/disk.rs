//! The disk of a session: flat memory with a volatile cache, faults in known places, and layers that delay and reorder.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aoe_target::bdev::testing::{Delay, Fault, Faults, Faulty, Gate, Reorder};
use aoe_target::bdev::{
    AlignedBuf, Backend, BlockingBackend, DeviceInfo, Extent, Features, Inline, IoQueue, Op, SECTOR_SIZE,
    Status,
};

use super::input::{DiskSetup, Layer};

/// What is on the disk, and what would be left of it after a power cut.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
}

impl Content {
    /// The frame that brought what a sector would hold after a power cut; 0 is none.
    pub(super) fn durable_stamp(&self, sector: u64) -> u64 {
        let stamp = &self.durable[range(sector, 8)];
        stamp.iter().rev().fold(0, |stamp, byte| stamp << 8 | u64::from(*byte))
    }
}

/// The memory under the layers. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    info: DeviceInfo,
    content: Arc<Mutex<Content>>,
}

impl Memory {
    pub(super) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(lba: u64, len: usize) -> std::ops::Range<usize> {
    let at = usize::try_from(lba).expect("a small disk") * SECTOR_SIZE;
    at..at + len
}

// The engine checks ranges: what it lets through beyond the end panics here, and is found.
impl BlockingBackend for Memory {
    fn info(&self) -> DeviceInfo {
        self.info
    }

    fn read_at(&self, lba: u64, data: &mut [u8]) -> Result<(), Status> {
        data.copy_from_slice(&self.content().now[range(lba, data.len())]);
        Ok(())
    }

    fn write_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.content().now[range(lba, data.len())].copy_from_slice(data);
        Ok(())
    }

    fn write_fua_at(&self, lba: u64, data: &[u8]) -> Result<(), Status> {
        self.write_at(lba, data)?;
        self.content().durable[range(lba, data.len())].copy_from_slice(data);
        Ok(())
    }

    fn flush(&self) -> Result<(), Status> {
        let Content { now, durable } = &mut *self.content();
        durable.copy_from_slice(now);
        Ok(())
    }

    fn discard(&self, extent: Extent) -> Result<(), Status> {
        self.content().now[range(extent.lba, extent.bytes())].fill(0);
        Ok(())
    }
}

/// A disk as the server sees it.
pub(super) struct Disk {
    pub(super) memory: Memory,
    pub(super) info: DeviceInfo,
    pub(super) queue: Box<dyn IoQueue<AlignedBuf>>,
    gates: Vec<Gate>,
}

impl Disk {
    pub(super) fn new(setup: &DiskSetup) -> io::Result<Self> {
        let size = usize::try_from(setup.sectors).expect("a small disk") * SECTOR_SIZE;
        let mut features = Features::FLUSH;
        if setup.discard {
            features = features | Features::DISCARD;
        }
        if setup.discard_zeroes {
            features = features | Features::DISCARD_ZEROES;
        }
        let info = DeviceInfo {
            sectors: setup.sectors,
            physical_block: if setup.big_blocks { 4096 } else { 512 },
            mem_align: 1,
            read_only: setup.read_only,
            features,
        };
        let content = Content { now: vec![0; size], durable: vec![0; size] };
        let memory = Memory { info, content: Arc::new(Mutex::new(content)) };

        let mut gates = Vec::new();
        let mut stack: Arc<dyn Backend<AlignedBuf>> =
            Arc::new(Faulty::new(Inline::new(memory.clone()), &faults(setup)));
        for layer in setup.layers.into_iter().flatten() {
            stack = match layer {
                Layer::Reorder(seed) => Arc::new(Reorder::new(stack, seed)),
                Layer::Delay(reaps) => Arc::new(Delay::for_reaps(stack, reaps)),
                Layer::Gate => {
                    let (delay, gate) = Delay::until_released(stack);
                    gates.push(gate);
                    Arc::new(delay)
                }
            };
        }
        let full = Faults::default();
        if setup.full_every != 0 {
            full.add(Fault::full().every(setup.full_every));
        }
        let queue = Faulty::new(stack, &full).open_queue(setup.depth)?;
        Ok(Self { memory, info, queue, gates })
    }

    /// What opens the gates of the disk's layers.
    pub(super) fn gates(&self) -> Vec<Gate> {
        self.gates.clone()
    }
}

fn faults(setup: &DiskSetup) -> Faults {
    let faults = Faults::default();
    if let Some(lba) = setup.bad_read {
        faults.add(Fault::status(Status::Media).only(|op| op == Op::Read).touching(Extent::new(lba, 1)));
    }
    if let Some(lba) = setup.bad_write {
        faults.add(Fault::status(Status::Media).only(Op::is_write).touching(Extent::new(lba, 1)));
    }
    if setup.flush_fails != 0 {
        faults.add(Fault::status(Status::Media).only(|op| op == Op::Flush).every(setup.flush_fails));
    }
    faults
}
