//! Targets and links that come and go while a server runs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use aoe_link::MemLink;
use aoe_target::{
    AddError, Address, Backend, Link, LinkId, MacAddr, Server, State, Target, TargetId, TargetOptions,
};
use bytes::BytesMut;

use super::HOST;
use super::lending::{Lending, Pool};

pub(crate) struct Fleet {
    pub(crate) server: Server<Lending>,
    pub(crate) hosts: Vec<MemLink>,
    pub(crate) links: Vec<LinkId>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) now: Duration,
}

impl Fleet {
    /// A server with this many links, each with a host at its other end, after its first turn.
    pub(crate) fn new(links: usize) -> Self {
        let (hosts, pools) = (vec![], vec![]);
        let mut fleet =
            Self { server: Server::new(), hosts, links: vec![], pools, now: Duration::from_secs(1000) };
        for _ in 0..links {
            fleet.add_link();
        }
        fleet.turn();
        fleet
    }

    /// One more link, its number.
    pub(crate) fn add_link(&mut self) -> usize {
        let number = self.hosts.len();
        let (ours, theirs) = MemLink::pair(mac(number), HOST, 1500);
        let link = Lending::new(ours);
        self.pools.push(link.pool.clone());
        self.hosts.push(theirs);
        self.links.push(self.server.add_link(link));
        number
    }

    /// Serves 7.`slot` from `disk` on these links.
    pub(crate) fn add(
        &mut self,
        slot: u8,
        disk: &dyn Backend<BytesMut>,
        links: &[usize],
    ) -> Result<TargetId, AddError> {
        self.add_watched(slot, disk, links).map(|(id, _)| id)
    }

    /// The same; what is dead when the target has been dropped.
    pub(crate) fn add_watched(
        &mut self,
        slot: u8,
        disk: &dyn Backend<BytesMut>,
        links: &[usize],
    ) -> Result<(TargetId, Weak<()>), AddError> {
        let alive = Arc::new(());
        let watch = Arc::downgrade(&alive);
        let links: Vec<_> = links.iter().map(|number| self.links[*number]).collect();
        let target = Target::new(TargetOptions::new(Address::new(7, slot)), disk.info(), State::default());
        let save = Box::new(move |_: &State| {
            let _ = &alive;
            Ok(())
        });
        let id = self.server.add_target(target, disk.open_queue(64).unwrap(), save, &links)?;
        Ok((id, watch))
    }

    /// Requests that are then in flight.
    pub(crate) fn turn(&mut self) -> usize {
        self.now += Duration::from_millis(1);
        self.server.turn(self.now).unwrap().in_flight
    }

    /// Sends a frame of [`request`](super::request) and its like to 7.`slot` by a link.
    pub(crate) fn send(&mut self, link: usize, slot: u8, frame: &[u8]) {
        let mut frame = BytesMut::from(frame);
        frame[..6].copy_from_slice(&mac(link).0);
        frame[18] = slot;
        self.hosts[link].send(&mut [frame].into()).unwrap();
    }

    /// What has arrived at the host of a link.
    pub(crate) fn received(&mut self, link: usize) -> Vec<BytesMut> {
        let mut rx = vec![];
        self.hosts[link].recv(&mut rx).unwrap();
        rx
    }

    /// Sends a frame, turns a few times, and returns what arrives.
    pub(crate) fn ask(&mut self, link: usize, slot: u8, frame: &[u8]) -> Vec<BytesMut> {
        self.send(link, slot, frame);
        self.turns(4);
        self.received(link)
    }

    pub(crate) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn();
        }
    }

    /// Frames of each link's pool that are out.
    pub(crate) fn out(&self) -> Vec<isize> {
        self.pools.iter().map(|pool| pool.out.get()).collect()
    }
}

/// The address of link number `number`.
fn mac(number: usize) -> MacAddr {
    MacAddr([2, 0, 0, u8::try_from(number).unwrap(), 7, 3])
}
