//! One device of the driver: [`Device`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{
    AFlags, ATA_HEADER_LEN, Address, Arg, AtaArg, AtaCommand, IdentifyDevice, Lba, MIN_FRAME, MacAddr,
    Packet, RequestHeader, SECTOR, Tag, build_ata, max_sectors_advertised,
};
use bdev::Extent;
use bytes::BytesMut;

use super::timing::Timing;
use super::{Air, LinuxEnd, Request};

/// Frames in flight at most: the driver's own limit.
const MOST: usize = 64;

/// After which an unanswered frame fails everything that was asked.
const DEAD: Duration = Duration::from_secs(180);

pub(super) struct Device {
    pub(super) address: Address,
    pub(super) ends: Vec<LinuxEnd>,
    pub(super) retransmits: u64,
    /// Interface and address of each way to it.
    paths: Vec<(usize, MacAddr)>,
    next_path: usize,
    sectors: u8,
    window: usize,
    most: usize,
    timing: Timing,
    identified: bool,
    open: BTreeMap<u64, Open>,
    unsent: VecDeque<Piece>,
    flights: Vec<Flight>,
}

struct Open {
    request: Request,
    read: Vec<u8>,
    pieces: usize,
    failed: bool,
}

/// What goes into one frame.
#[derive(Clone, Copy)]
enum Piece {
    Identify,
    Sectors { id: u64, extent: Extent },
}

struct Flight {
    tag: u32,
    piece: Piece,
    first: Duration,
    sent: Duration,
}

impl Device {
    pub(super) fn new(address: Address, replies: u32) -> Self {
        Self {
            address,
            ends: Vec::new(),
            retransmits: 0,
            paths: Vec::new(),
            next_path: 0,
            sectors: 2,
            window: 1,
            most: 1,
            timing: Timing::new(replies),
            identified: false,
            open: BTreeMap::new(),
            unsent: VecDeque::new(),
            flights: Vec::new(),
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.identified
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(super) fn submit(&mut self, request: Request) {
        let read = if request.data.is_none() { vec![0; request.extent.bytes()] } else { Vec::new() };
        let (id, extent) = (request.id, request.extent);
        // Cut by the count that is known now, as the driver does when it takes a request.
        let step = u64::from(self.sectors.max(1));
        let mut pieces = 0;
        let mut lba = extent.lba;
        while lba < extent.end() {
            let sectors = step.min(extent.end() - lba) as u32;
            self.unsent.push_back(Piece::Sectors { id, extent: Extent::new(lba, sectors) });
            (lba, pieces) = (lba + u64::from(sectors), pieces + 1);
        }
        self.open.insert(id, Open { request, read, pieces, failed: false });
    }

    /// A reply has come by interface number `at`.
    pub(super) fn receive(&mut self, now: Duration, at: usize, packet: &Packet<'_>, mtu: u32) {
        match packet.arg {
            Arg::Config(arg, _) => {
                let path = (at, packet.eth.src);
                if !self.paths.contains(&path) {
                    self.paths.push(path);
                }
                let info = arg.info();
                let offered = if info.sector_count == 0 { 2 } else { info.sector_count };
                self.sectors = offered.min(max_sectors_advertised(mtu as usize)).max(1);
                self.most = usize::from(info.buffer_count).clamp(1, MOST);
                self.window = self.window.clamp(self.most.div_ceil(2), self.most);
                if !self.identified && self.flights.is_empty() {
                    self.unsent.push_front(Piece::Identify);
                }
            }
            Arg::Ata(arg, payload) if !packet.aoe.ver_flags.is_error() => {
                self.answered(now, packet.aoe.tag.to_u32(), arg, payload);
            }
            // An error is dropped, and the request goes on being repeated.
            _ => {}
        }
    }

    fn answered(&mut self, now: Duration, tag: u32, arg: &AtaArg, payload: &[u8]) {
        let Some(at) = self.flights.iter().position(|flight| flight.tag == tag) else {
            // An unexpected reply: it says how long replies take, by the time in its tag, and nothing else.
            let late = (now.as_millis() as u32 / 4).wrapping_sub(tag) & 0xffff;
            return self.timing.measured(Duration::from_millis(u64::from(late) * 4));
        };
        let flight = self.flights.swap_remove(at);
        self.timing.measured(now - flight.sent);
        self.window = (self.window + 1).min(self.most);
        let failed = arg.status().0 & 0xa9 != 0;
        let (id, extent) = match flight.piece {
            Piece::Sectors { id, extent } => (id, extent),
            Piece::Identify => {
                self.identified |= !failed && payload.len() >= size_of::<IdentifyDevice>();
                return;
            }
        };
        let Some(open) = self.open.get_mut(&id) else { return };
        open.failed |= failed;
        if open.request.data.is_none() && !failed {
            match payload.get(..extent.bytes()) {
                Some(data) => {
                    let from = (extent.lba - open.request.extent.lba) as usize * SECTOR;
                    open.read[from..from + data.len()].copy_from_slice(data);
                }
                None => open.failed = true,
            }
        }
        open.pieces -= 1;
        if open.pieces == 0 {
            self.finish(id);
        }
    }

    fn finish(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            self.ends.push(LinuxEnd { id, result: if open.failed { Err(()) } else { Ok(open.read) } });
        }
    }

    /// Sends again what is late, by the next way and with another tag.
    pub(super) fn repeat(&mut self, air: &mut Air<'_>) {
        let patience = self.timing.patience();
        if self.flights.iter().any(|flight| air.now >= flight.first + DEAD) {
            return self.give_up();
        }
        let mut flights = std::mem::take(&mut self.flights);
        let now = air.now;
        for flight in flights.iter_mut().filter(|flight| now >= flight.sent + patience) {
            self.window = 1;
            self.retransmits += 1;
            (flight.tag, flight.sent) = (self.send(flight.piece, air), now);
        }
        self.flights = flights;
    }

    fn give_up(&mut self) {
        self.flights.clear();
        self.unsent.clear();
        self.identified = false;
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            if let Some(open) = self.open.get_mut(&id) {
                open.failed = true;
            }
            self.finish(id);
        }
    }

    /// Sends what the window has room for.
    pub(super) fn pump(&mut self, air: &mut Air<'_>) {
        while self.flights.len() < self.window
            && !self.paths.is_empty()
            && let Some(piece) = self.unsent.front().copied()
            && (self.identified || matches!(piece, Piece::Identify))
        {
            self.unsent.pop_front();
            if self.identified && matches!(piece, Piece::Identify) {
                continue;
            }
            let tag = self.send(piece, air);
            self.flights.push(Flight { tag, piece, first: air.now, sent: air.now });
        }
    }

    fn send(&mut self, piece: Piece, air: &mut Air<'_>) -> u32 {
        let tag = air.tag();
        self.next_path = (self.next_path + 1) % self.paths.len();
        let (at, mac) = self.paths[self.next_path];
        let header = RequestHeader {
            dst: mac,
            src: air.links[at].info().mac,
            address: self.address,
            tag: Tag::from_u32(tag),
        };
        let (arg, data): (_, &[u8]) = match piece {
            Piece::Identify => {
                (AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags::NONE, Lba::ZERO, 1), &[])
            }
            Piece::Sectors { id, extent } => {
                let open = &self.open[&id];
                let lba = Lba::from_lba48(extent.lba).expect("disks of tests are small");
                let (command, flags, data) = match &open.request.data {
                    None => (AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, &[][..]),
                    Some(data) => {
                        let from = (extent.lba - open.request.extent.lba) as usize * SECTOR;
                        let flags = AFlags(AFlags::EXTENDED.0 | AFlags::WRITE.0);
                        (AtaCommand::WRITE_SECTORS_EXT, flags, &data[from..from + extent.bytes()])
                    }
                };
                (AtaArg::request(command, flags, lba, extent.sectors as u8), data)
            }
        };
        let mut frame = BytesMut::zeroed((ATA_HEADER_LEN + data.len()).max(MIN_FRAME));
        let len = build_ata(&mut frame, header, arg, data).expect("the frame is long enough");
        frame.truncate(len);
        air.outbox[at].push_back(frame);
        tag
    }
}
