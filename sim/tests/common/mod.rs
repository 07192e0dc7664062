//! One disk, one target, one initiator: what most tests begin with.
#![expect(dead_code, reason = "each test binary uses its part")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Completion, Event, Remote, RemoteId, RemoteStats};
use aoe_target::Backend;
use aoe_wire::{Address, Arg, AtaArg, Command, Packet};
use bdev::{Extent, Inline, Io, MemDisk, Op, SECTOR_SIZE, Submit};
use bytes::BytesMut;
use sim::{ClientId, Export, HostId, SegmentId, StationId, Verdict, World};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const S: Duration = Duration::from_secs(1);
pub(crate) const OWN: Address = Address::new(7, 3);
/// Sectors of the disk.
pub(crate) const SECTORS: u64 = 4096;

pub(crate) type Disk = Arc<Inline<MemDisk>>;

pub(crate) struct Lab {
    pub(crate) world: World,
    pub(crate) segments: Vec<SegmentId>,
    pub(crate) disk: Disk,
    pub(crate) target: HostId,
    pub(crate) client: ClientId,
    pub(crate) remote: RemoteId,
}

impl Lab {
    /// A disk in memory at e7.3, attached, all at MTU `mtu`.
    pub(crate) fn new(seed: u64, mtu: u32) -> Self {
        Self::with(seed, mtu, 1, AttachOptions::default(), |_, disk| Export::new(OWN, disk))
    }

    /// The same over `segments` segments, with options, the disk wrapped in something.
    pub(crate) fn with(
        seed: u64,
        mtu: u32,
        segments: usize,
        options: AttachOptions,
        export: impl FnOnce(&World, Disk) -> Export,
    ) -> Self {
        let mut world = World::new(seed);
        let segments: Vec<_> = (0..segments).map(|_| world.net.add_segment()).collect();
        let disk = Arc::new(Inline::new(MemDisk::new(SECTORS as usize)));
        let export = export(&world, Arc::clone(&disk));
        let target = world.add_target(&segments, mtu, [export]);
        let client = world.add_initiator(&segments, mtu);
        let remote = world.attach(client, OWN, options).expect("a target without weather is found");
        // Advertisements and what they cause.
        world.run_for(10 * MS);
        Self { world, segments, disk, target, client, remote }
    }

    pub(crate) fn remote(&mut self) -> &Remote {
        let id = self.remote;
        self.world.client(self.client).view().remote(id).expect("attached")
    }

    pub(crate) fn stats(&mut self) -> RemoteStats {
        *self.remote().stats()
    }

    pub(crate) fn submit(&mut self, io: Io<Vec<u8>>) {
        let remote = self.remote;
        let submit = self.world.client(self.client).initiator().submit(remote, io);
        assert!(matches!(submit, Submit::Queued), "{submit:?}");
    }

    pub(crate) fn submit_read(&mut self, tag: u64, extent: Extent) {
        self.submit(Io::read(extent, vec![0xee; extent.bytes()], 0).with_tag(tag));
    }

    pub(crate) fn submit_write(&mut self, tag: u64, lba: u64, data: Vec<u8>) {
        let extent = Extent::new(lba, u32::try_from(data.len() / SECTOR_SIZE).unwrap());
        self.submit(Io::write(extent, data, 0).with_tag(tag));
    }

    /// The next block request to end.
    pub(crate) fn done(&mut self, limit: Duration) -> Completion<Vec<u8>> {
        let event = self.world.wait_for(self.client, limit, |event| matches!(event, Event::Done(..)));
        let Event::Done(_, completion) = event else { unreachable!("waited for another") };
        completion
    }

    pub(crate) fn write(&mut self, lba: u64, data: &[u8]) {
        self.world.write(self.client, self.remote, lba, data).expect("it is written");
    }

    pub(crate) fn read(&mut self, lba: u64, sectors: u32) -> Vec<u8> {
        self.world.read(self.client, self.remote, Extent::new(lba, sectors)).expect("it is read")
    }

    /// The stations of target and initiator on a segment.
    pub(crate) fn stations(&mut self, segment: usize) -> [StationId; 2] {
        let target = self.world.target(self.target).stations().nth(segment).unwrap();
        [target, self.world.client(self.client).stations().nth(segment).unwrap()]
    }

    /// Has `see` look at, and decide about, every frame that the target sends on the first segment.
    pub(crate) fn tap_target(&mut self, see: impl FnMut(Duration, &mut BytesMut) -> Verdict + 'static) {
        let [target, _] = self.stations(0);
        self.world.net.tap(target, see);
    }

    /// Has the target announce its disk otherwise: `change` gets the IDENTIFY data.
    pub(crate) fn announce(&mut self, change: impl Fn(&mut [u8]) + 'static) {
        self.tap_target(move |_, frame| {
            if is_ata(frame)
                && let Some(page) = frame.get_mut(36..548)
            {
                change(page);
            }
            Verdict::Pass
        });
        // It says that it has started, and is asked what its disk is.
        self.world.restart_target(self.target);
        self.world.run_for(100 * MS);
        let [target, _] = self.stations(0);
        self.world.net.untap(target);
    }

    /// Notes every ATA request that the initiator sends on the first segment from now on.
    pub(crate) fn commands(&mut self) -> Rc<RefCell<Vec<AtaArg>>> {
        let list = Rc::new(RefCell::new(Vec::new()));
        let (into, [_, initiator]) = (Rc::clone(&list), self.stations(0));
        self.world.net.tap(initiator, move |_, frame| {
            if let Ok(Packet { arg: Arg::Ata(arg, _), .. }) = Packet::parse(frame) {
                into.borrow_mut().push(*arg);
            }
            Verdict::Pass
        });
        list
    }

    /// Notes every block request that the initiator sends on the first segment from now on.
    pub(crate) fn requests(&mut self) -> Rc<RefCell<Vec<Request>>> {
        let list = Rc::new(RefCell::new(Vec::new()));
        let (into, [_, initiator]) = (Rc::clone(&list), self.stations(0));
        self.world.net.tap(initiator, move |at, frame| {
            into.borrow_mut().extend(Request::parse(at, frame));
            Verdict::Pass
        });
        list
    }
}

/// A read or write on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) at: Duration,
    pub(crate) tag: u32,
    pub(crate) write: bool,
    pub(crate) lba: u64,
    pub(crate) sectors: u8,
}

impl Request {
    pub(crate) fn parse(at: Duration, frame: &[u8]) -> Option<Self> {
        let Ok(Packet { aoe, arg: Arg::Ata(arg, _), .. }) = Packet::parse(frame) else { return None };
        let (tag, lba, sectors) = (aoe.tag.to_u32(), arg.lba.lba48(), arg.sector_count);
        let write = match arg.command() {
            aoe_wire::AtaCommand::READ_SECTORS_EXT => false,
            aoe_wire::AtaCommand::WRITE_SECTORS_EXT => true,
            _ => return None,
        };
        Some(Self { at, tag, write, lba, sectors })
    }
}

/// Whether a frame is an ATA request or the reply to one.
pub(crate) fn is_ata(frame: &[u8]) -> bool {
    Packet::parse(frame).is_ok_and(|packet| packet.aoe.command == Command::ATA)
}

/// Changes a word of IDENTIFY data.
pub(crate) fn change_word(page: &mut [u8], number: usize, change: impl FnOnce(u16) -> u16) {
    let bytes = &mut page[2 * number..2 * number + 2];
    let word = change(u16::from_le_bytes([bytes[0], bytes[1]]));
    bytes.copy_from_slice(&word.to_le_bytes());
}

/// Bytes that tell which write they are of and where they belong.
pub(crate) fn pattern(stamp: u64, lba: u64, sectors: u32) -> Vec<u8> {
    (lba..lba + u64::from(sectors))
        .flat_map(|lba| {
            let mut chance = sim::Chance::new(stamp << 32 | lba);
            (0..SECTOR_SIZE / 8).flat_map(move |_| chance.number().to_le_bytes())
        })
        .collect()
}

pub(crate) fn export_with(
    options: impl FnOnce(&mut Export),
    disk: impl Backend<BytesMut> + 'static,
) -> Export {
    let mut export = Export::new(OWN, disk);
    options(&mut export);
    export
}

/// Whether an operation is a write, for faults.
pub(crate) fn is_write(op: Op) -> bool {
    op.is_write()
}
