//! The links of a session, and the target at their other end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use aoe_initiator::{Link, LinkInfo, MacAddr};
use aoe_wire::{
    Address, Arg, ArgMut, AtaCommand, AtaError, ConfigArg, ConfigCommand, ConfigInfo, IdentifyDevice,
    IdentifyFeatures, Identity, Packet, PacketMut, Trim, build_advertisement,
};
use arbitrary::Arbitrary;
use bdev::AlignedBuf;
use bdev::IoBuf;

/// Size of the disk.
pub(super) const SECTORS: u64 = 300;
pub(super) const TARGET: MacAddr = MacAddr([2, 0, 0, 0, 7, 3]);
const OWN: Address = Address::new(7, 3);
const INFO: ConfigInfo = ConfigInfo { buffer_count: 16, firmware: 1, sector_count: 17 };
/// Requests that the target remembers, to answer them.
const REMEMBERED: usize = 64;

/// What becomes of a reply on its way.
#[derive(Arbitrary, Debug)]
pub enum Mutation {
    /// A byte has another value.
    Byte {
        /// Which, modulo the length.
        at: u16,
        /// The value.
        value: u8,
    },
    /// The frame is shorter.
    Cut(u16),
}

/// Both links.
pub(super) struct Air {
    info: [LinkInfo; 2],
    pub(super) starved: [bool; 2],
    arriving: [VecDeque<Vec<u8>>; 2],
    sent: VecDeque<Vec<u8>>,
    /// Nothing has arrived so far that the target did not mean.
    pub(super) honest: bool,
}

/// Makes a sector hold its own number.
pub(super) fn stamp(sector: &mut [u8], lba: u64) {
    sector.chunks_mut(8).for_each(|part| part.copy_from_slice(&lba.to_le_bytes()));
}

pub(super) fn is_stamped(sector: &[u8], lba: u64) -> bool {
    sector.chunks(8).all(|part| part == lba.to_le_bytes())
}

impl Air {
    pub(super) fn new() -> Self {
        let info = |last| LinkInfo {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            mtu: 1500,
            payload_align: 1,
            up: true,
            generation: 0,
        };
        Self {
            info: [info(0xa1), info(0xa2)],
            starved: [false; 2],
            arriving: Default::default(),
            sent: VecDeque::new(),
            honest: true,
        }
    }

    pub(super) fn change(&mut self, link: usize, change: impl FnOnce(&mut LinkInfo)) {
        change(&mut self.info[link]);
        self.info[link].generation += 1;
    }

    pub(super) fn raw(&mut self, link: usize, bytes: &[u8]) {
        self.honest = false;
        self.arriving[link].push_back(bytes.to_vec());
    }

    pub(super) fn advertise(&mut self, link: usize) {
        let mut frame = vec![0; 60];
        if build_advertisement(&mut frame, MacAddr::BROADCAST, TARGET, OWN, INFO, &[]).is_ok() {
            self.arriving[link].push_back(frame);
        }
    }

    pub(super) fn answer(&mut self, which: u8, link: usize, mutation: Option<&Mutation>) {
        if self.sent.is_empty() {
            return;
        }
        let request = &self.sent[usize::from(which) % self.sent.len()];
        let Some(mut frame) = reply(request) else { return };
        match mutation {
            Some(Mutation::Byte { at, value }) => {
                let at = usize::from(*at) % frame.len();
                frame[at] = *value;
            }
            Some(Mutation::Cut(len)) => frame.truncate(usize::from(*len)),
            None => {}
        }
        self.honest &= mutation.is_none();
        self.arriving[link].push_back(frame);
    }

    pub(super) fn answer_all(&mut self) {
        let replies: Vec<_> = self.sent.drain(..).filter_map(|request| reply(&request)).collect();
        self.arriving[0].extend(replies);
    }
}

/// What a target answers: it stores nothing, since every sector holds its number.
fn reply(request: &[u8]) -> Option<Vec<u8>> {
    let data = match Packet::parse(request).ok()?.arg {
        Arg::Ata(arg, _) => match arg.command() {
            AtaCommand::READ_SECTORS_EXT => usize::from(arg.sector_count) * 512,
            AtaCommand::IDENTIFY_DEVICE => 512,
            _ => 0,
        },
        _ => 0,
    };
    let mut frame = request.to_vec();
    frame.resize(if data > 0 { 36 + data } else { frame.len().max(60) }, 0);
    let mut packet = PacketMut::parse(&mut frame).ok()?;
    packet.respond(TARGET, OWN);
    match packet.arg {
        ArgMut::Ata(arg, payload) => match arg.command() {
            AtaCommand::READ_SECTORS_EXT if arg.lba.lba48() + u64::from(arg.sector_count) <= SECTORS => {
                payload.chunks_mut(512).zip(arg.lba.lba48()..).for_each(|(sector, lba)| stamp(sector, lba));
                arg.succeed();
            }
            AtaCommand::WRITE_SECTORS_EXT => {
                for (sector, lba) in payload.chunks(512).zip(arg.lba.lba48()..).take(arg.sector_count.into())
                {
                    assert!(is_stamped(sector, lba), "a write carries another sector's data to {lba}");
                }
                arg.succeed();
            }
            AtaCommand::IDENTIFY_DEVICE => {
                let features = IdentifyFeatures { trim: Trim::Zeroes, ..IdentifyFeatures::default() };
                let identity = Identity::new("fuzz", "1", "FUZZ").ok()?;
                IdentifyDevice::parse_mut(payload).ok()?.fill(identity, SECTORS, features);
                arg.succeed();
            }
            AtaCommand::FLUSH_CACHE_EXT | AtaCommand::DATA_SET_MANAGEMENT => arg.succeed(),
            _ => arg.fail(AtaError::ABRT),
        },
        ArgMut::Config(arg, _) => *arg = ConfigArg::reply(INFO, ConfigCommand::READ, 0),
        _ => {}
    }
    Some(frame)
}

pub(super) struct FuzzLink {
    air: Rc<RefCell<Air>>,
    at: usize,
}

impl FuzzLink {
    pub(super) fn new(air: &Rc<RefCell<Air>>, at: usize) -> Self {
        Self { air: Rc::clone(air), at }
    }

    fn frame(&self, bytes: &[u8]) -> AlignedBuf {
        let room = self.info().mtu as usize + 14;
        let mut frame = AlignedBuf::new(room.max(bytes.len()), 1, 0);
        frame.set_len(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }
}

impl Link for FuzzLink {
    type Frame = AlignedBuf;

    fn info(&self) -> LinkInfo {
        self.air.borrow().info[self.at]
    }

    fn alloc(&mut self) -> Option<AlignedBuf> {
        let starved = self.air.borrow().starved[self.at];
        (!starved).then(|| self.frame(&[]))
    }

    fn recv(&mut self, rx: &mut Vec<AlignedBuf>) -> io::Result<()> {
        let arrived = std::mem::take(&mut self.air.borrow_mut().arriving[self.at]);
        rx.extend(arrived.iter().map(|bytes| self.frame(bytes)));
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<AlignedBuf>) -> io::Result<()> {
        let air = &mut *self.air.borrow_mut();
        for frame in tx.drain(..) {
            let bytes = frame.bytes();
            assert!((60..=9014).contains(&bytes.len()), "a frame of {} bytes", bytes.len());
            let packet = Packet::parse(bytes).expect("a whole request");
            assert!(!packet.aoe.ver_flags.is_response() && packet.aoe.tag.to_u32() != 0);
            air.sent.push_back(bytes.to_vec());
            if air.sent.len() > REMEMBERED {
                air.sent.pop_front();
            }
        }
        Ok(())
    }
}
