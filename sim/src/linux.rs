//! A model of the Linux driver's habits on the wire: [`Linux`].
//!
//! It is no initiator to be used, but one to be served: with a new tag at each retransmission, which goes by the next interface and
//! address in turn, with replies to given-up tags ignored, and with retransmission times that begin at 16.5 seconds and come down to
//! the tick of 100 milliseconds (protocol reference, section 3.1). It never flushes.

mod device;
mod timing;

use std::collections::VecDeque;
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{Address, ConfigCommand, MIN_FRAME, MacAddr, Packet, RequestHeader, Tag, build_config};
use bdev::{Extent, IoBuf};
use bytes::BytesMut;

use crate::wake::Wake;
use crate::{Network, SimLink, StationId};
use device::Device;
use timing::TICK;

/// How often it asks who is there, until a device is known.
const DISCOVER: Duration = Duration::from_secs(1);

/// Names a machine of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxId(pub(crate) usize);

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxEnd {
    /// What the caller named it by.
    pub id: u64,
    /// What was read, or nothing; `Err` is an I/O error.
    pub result: Result<Vec<u8>, ()>,
}

/// A machine with the driver's habits.
pub struct Linux {
    links: Vec<SimLink>,
    devices: Vec<Device>,
    ends: VecDeque<LinuxEnd>,
    outbox: Vec<VecDeque<BytesMut>>,
    sequence: u32,
    next_tick: Duration,
    next_discovery: Duration,
    wake: Wake,
}

/// A block request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) extent: Extent,
    /// What is written; `None` reads.
    pub(crate) data: Option<Vec<u8>>,
}

impl Linux {
    pub(crate) fn new(net: &Network, stations: &[StationId]) -> Self {
        Self {
            links: stations.iter().map(|station| net.open(*station)).collect(),
            devices: Vec::new(),
            ends: VecDeque::new(),
            outbox: stations.iter().map(|_| VecDeque::new()).collect(),
            sequence: 0,
            next_tick: Duration::ZERO,
            next_discovery: Duration::ZERO,
            wake: Wake::new(stations),
        }
    }

    /// Looks for a device and opens it. `replies` of it were seen since it was last opened, which is what retransmission times follow.
    pub fn open(&mut self, address: Address, replies: u32) {
        self.devices.push(Device::new(address, replies));
        self.next_discovery = Duration::ZERO;
        self.wake.poke();
    }

    /// Reads sectors of an opened device, when it is there.
    pub fn read(&mut self, address: Address, id: u64, extent: Extent) {
        self.submit(address, Request { id, extent, data: None });
    }

    /// Writes sectors of an opened device, when it is there.
    pub fn write(&mut self, address: Address, id: u64, extent: Extent, data: Vec<u8>) {
        self.submit(address, Request { id, extent, data: Some(data) });
    }

    /// Takes the end of a request.
    pub fn end(&mut self) -> Option<LinuxEnd> {
        self.ends.pop_front()
    }

    /// The stations it uses.
    pub fn stations(&self) -> impl Iterator<Item = StationId> {
        self.wake.stations()
    }

    /// Frames that were sent again.
    #[must_use]
    pub fn retransmits(&self) -> u64 {
        self.devices.iter().map(|device| device.retransmits).sum()
    }

    fn submit(&mut self, address: Address, request: Request) {
        if let Some(device) = self.devices.iter_mut().find(|device| device.address == address) {
            device.submit(request);
        }
        self.wake.poke();
    }

    pub(crate) fn next(&self, net: &Network) -> Option<Duration> {
        self.wake.next(net)
    }

    pub(crate) fn turn(&mut self, net: &Network) {
        let now = net.now();
        let mut frames = Vec::new();
        for (at, link) in self.links.iter_mut().enumerate() {
            loop {
                let before = frames.len();
                let mut burst = Vec::new();
                link.recv(&mut burst).expect("links of tests do not break");
                frames.extend(burst.into_iter().map(|frame| (at, frame)));
                if frames.len() == before {
                    break;
                }
            }
        }
        for (at, frame) in frames {
            self.receive(now, at, &frame);
        }
        let tick = now >= self.next_tick;
        if tick {
            self.next_tick = now + TICK;
        }
        if now >= self.next_discovery && self.devices.iter().any(|device| !device.is_known()) {
            self.next_discovery = now + DISCOVER;
            self.discover();
        }
        let mut air =
            Air { links: &mut self.links, outbox: &mut self.outbox, sequence: &mut self.sequence, now };
        for device in &mut self.devices {
            if tick {
                device.repeat(&mut air);
            }
            device.pump(&mut air);
            self.ends.extend(device.ends.drain(..));
        }
        for (link, outbox) in self.links.iter_mut().zip(&mut self.outbox) {
            link.send(outbox).expect("links of tests do not break");
        }
        let busy = self.devices.iter().any(Device::is_busy);
        let unknown = self.devices.iter().any(|device| !device.is_known());
        let wants = [busy.then_some(self.next_tick), unknown.then_some(self.next_discovery)];
        self.wake.slept(net, wants.into_iter().flatten().min());
    }

    fn receive(&mut self, now: Duration, at: usize, frame: &BytesMut) {
        let Ok(packet) = Packet::parse(frame.bytes()) else { return };
        if !packet.aoe.ver_flags.is_response() {
            return;
        }
        if let Some(device) = self.devices.iter_mut().find(|device| device.address == packet.aoe.address()) {
            device.receive(now, at, &packet, self.links[at].info().mtu);
        }
    }

    /// Asks everybody, by tag 0.
    fn discover(&mut self) {
        for (link, outbox) in self.links.iter().zip(&mut self.outbox) {
            let header = RequestHeader {
                dst: MacAddr::BROADCAST,
                src: link.info().mac,
                address: Address::WILDCARD,
                tag: Tag::ZERO,
            };
            let mut frame = BytesMut::zeroed(MIN_FRAME);
            let len = build_config(&mut frame, header, ConfigCommand::READ, &[]).expect("a query is short");
            frame.truncate(len);
            outbox.push_back(frame);
        }
    }
}

/// What a device sends with.
struct Air<'a> {
    links: &'a mut Vec<SimLink>,
    outbox: &'a mut Vec<VecDeque<BytesMut>>,
    sequence: &'a mut u32,
    now: Duration,
}

impl Air<'_> {
    /// The next tag: a number and the time in ticks of 4 milliseconds, the top bit clear.
    fn tag(&mut self) -> u32 {
        *self.sequence = (*self.sequence + 1) & 0x7fff;
        *self.sequence << 16 | (self.now.as_millis() as u32 / 4) & 0xffff
    }
}
