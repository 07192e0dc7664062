//! A world in memory: one server, links whose other ends the test holds, frames written by hand.
#![expect(dead_code, reason = "each test binary uses its part")]

pub(crate) mod fleet;
pub(crate) mod frames;
pub(crate) mod lending;
pub(crate) mod pieces;

use std::collections::VecDeque;
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::{
    Address, Backend, Link, LinkId, MacAddr, Progress, Server, State, Target, TargetId, TargetOptions,
};
use bytes::BytesMut;

pub(crate) const TARGET: MacAddr = MacAddr([2, 0, 0, 0, 7, 3]);
pub(crate) const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);
pub(crate) const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0c]);
pub(crate) const OWN: Address = Address::new(7, 3);

pub(crate) struct World<L: Link = MemLink> {
    pub(crate) server: Server<L>,
    pub(crate) hosts: Vec<MemLink>,
    pub(crate) links: Vec<LinkId>,
    pub(crate) target: TargetId,
    pub(crate) now: Duration,
}

impl World {
    /// One target on `links` links of MTU `mtu`, served from `disk`.
    pub(crate) fn new(disk: &dyn Backend<BytesMut>, links: usize, mtu: u32, options: TargetOptions) -> Self {
        Self::over(|link| link, disk, links, mtu, options)
    }
}

impl<L: Link> World<L> {
    /// The same, with each link wrapped.
    pub(crate) fn over(
        wrap: impl Fn(MemLink) -> L,
        disk: &dyn Backend<L::Frame>,
        links: usize,
        mtu: u32,
        options: TargetOptions,
    ) -> Self {
        let mut server = Server::new();
        let (mut hosts, mut ids) = (Vec::new(), Vec::<LinkId>::new());
        for number in 0..links {
            let ours = MacAddr([2, 0, 0, u8::try_from(number).unwrap(), 7, 3]);
            let (ours, theirs) = MemLink::pair(ours, HOST, mtu);
            ids.push(server.add_link(wrap(ours)));
            hosts.push(theirs);
        }
        let target = Target::new(options, disk.info(), State::default());
        let queue = disk.open_queue(64).unwrap();
        let target = server.add_target(target, queue, Box::new(|_| Ok(())), &ids).unwrap();
        let mut world = Self { server, hosts, links: ids, target, now: Duration::ZERO };
        let _ = world.turn();
        for host in 0..links {
            world.received(host);
        }
        world
    }

    pub(crate) fn turn(&mut self) -> Progress {
        self.now += Duration::from_millis(1);
        self.server.turn(self.now).unwrap()
    }

    pub(crate) fn send(&mut self, host: usize, frame: &[u8]) {
        self.hosts[host].send(&mut VecDeque::from([BytesMut::from(frame)])).unwrap();
    }

    pub(crate) fn received(&mut self, host: usize) -> Vec<BytesMut> {
        let mut rx = Vec::new();
        self.hosts[host].recv(&mut rx).unwrap();
        rx
    }

    /// Sends one frame, turns a few times, and returns every reply.
    pub(crate) fn ask(&mut self, frame: &[u8]) -> Vec<BytesMut> {
        self.send(0, frame);
        for _ in 0..4 {
            let _ = self.turn();
        }
        self.received(0)
    }

    /// As [`ask`](Self::ask), for a request with exactly one reply.
    pub(crate) fn ask_one(&mut self, frame: &[u8]) -> BytesMut {
        let mut replies = self.ask(frame);
        assert_eq!(replies.len(), 1, "replies to {frame:02x?}");
        replies.remove(0)
    }
}

/// Ethernet and AoE header of a request to e7.3, then `rest` from byte 24 on.
pub(crate) fn request(src: MacAddr, command: u8, tag: u32, rest: &[u8]) -> Vec<u8> {
    request_to(TARGET, src, [0, 7, 3], command, tag, rest)
}

pub(crate) fn request_to(
    dst: MacAddr,
    src: MacAddr,
    address: [u8; 3],
    command: u8,
    tag: u32,
    rest: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(dst.0);
    frame.extend(src.0);
    frame.extend([0x88, 0xa2, 0x10, 0]);
    frame.extend(address);
    frame.push(command);
    frame.extend(tag.to_be_bytes());
    frame.extend(rest);
    frame
}

/// An ATA request from [`HOST`], registers as `aflags / feature / count / command`.
pub(crate) fn ata(tag: u32, [aflags, feature, count, command]: [u8; 4], lba: u64, data: &[u8]) -> Vec<u8> {
    ata_from(HOST, tag, [aflags, feature, count, command], lba, data)
}

pub(crate) fn ata_from(src: MacAddr, tag: u32, registers: [u8; 4], lba: u64, data: &[u8]) -> Vec<u8> {
    let mut rest = registers.to_vec();
    rest.extend(&lba.to_le_bytes()[..6]);
    rest.extend([0, 0]);
    rest.extend(data);
    request(src, 0, tag, &rest)
}

pub(crate) fn read(tag: u32, lba: u64, count: u8) -> Vec<u8> {
    ata(tag, [0x40, 0, count, 0x24], lba, &[])
}

pub(crate) fn write(tag: u32, lba: u64, data: &[u8]) -> Vec<u8> {
    ata(tag, [0x41, 0, u8::try_from(data.len() / 512).unwrap(), 0x34], lba, data)
}

/// The ATA registers of a reply: aflags, error, count, status.
pub(crate) fn registers(reply: &[u8]) -> [u8; 4] {
    reply[24..28].try_into().unwrap()
}

pub(crate) fn tag(reply: &[u8]) -> u32 {
    u32::from_be_bytes(reply[20..24].try_into().unwrap())
}
