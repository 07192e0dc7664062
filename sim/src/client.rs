//! Processes that use disks: [`Client`], and ways to use one that wait for the answer.

use std::collections::VecDeque;
use std::time::Duration;

use aoe_initiator::{AttachOptions, Completion, Control, Event, Failure, Initiator, LinkId, RemoteId, Reply};
use aoe_wire::Address;
use bdev::{Extent, Io, SECTOR_SIZE, Status, Submit};

use crate::target::DISK_POLL;
use crate::wake::Wake;
use crate::{Network, SimLink, StationId, World};

/// Turns in a row that must make a process idle.
const TURNS: usize = 10_000;

/// What is waited for longer than this beyond its deadline is a failure of the test.
const PATIENCE: Duration = Duration::from_secs(90);

/// Names an initiator of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(pub(crate) usize);

/// A process that uses disks.
pub struct Client {
    initiator: Initiator<SimLink, Vec<u8>>,
    links: Vec<LinkId>,
    events: VecDeque<(Duration, Event<Vec<u8>>)>,
    wake: Wake,
}

impl Client {
    pub(crate) fn new(net: &Network, stations: &[StationId], seed: u64) -> Self {
        let mut initiator = Initiator::new(seed);
        let links = stations.iter().map(|station| initiator.add_link(net.open(*station))).collect();
        Self { initiator, links, events: VecDeque::new(), wake: Wake::new(stations) }
    }

    /// The initiator, which is turned soon.
    pub fn initiator(&mut self) -> &mut Initiator<SimLink, Vec<u8>> {
        self.wake.poke();
        &mut self.initiator
    }

    /// The initiator, to be looked at.
    #[must_use]
    pub fn view(&self) -> &Initiator<SimLink, Vec<u8>> {
        &self.initiator
    }

    /// The stations it uses.
    pub fn stations(&self) -> impl Iterator<Item = StationId> {
        self.wake.stations()
    }

    /// The links it has, in the order of its stations.
    #[must_use]
    pub fn links(&self) -> &[LinkId] {
        &self.links
    }

    /// Takes the oldest event that has not been taken, and when it happened.
    pub fn event(&mut self) -> Option<(Duration, Event<Vec<u8>>)> {
        self.events.pop_front()
    }

    /// Takes the first event that `wanted` accepts, and leaves the others.
    pub fn take(&mut self, wanted: impl FnMut(&Event<Vec<u8>>) -> bool) -> Option<Event<Vec<u8>>> {
        let mut wanted = wanted;
        let at = self.events.iter().position(|(_, event)| wanted(event))?;
        self.events.remove(at).map(|(_, event)| event)
    }

    pub(crate) fn next(&self, net: &Network) -> Option<Duration> {
        self.wake.next(net)
    }

    pub(crate) fn turn(&mut self, net: &Network) {
        for _ in 0..TURNS {
            let progress = self.initiator.turn(net.now()).expect("links of tests do not break");
            while let Some(event) = self.initiator.poll() {
                self.events.push_back((net.now(), event));
            }
            if progress.is_idle() {
                let poll = progress.stalled.then(|| net.now() + DISK_POLL);
                let at = [self.initiator.deadline(), poll].into_iter().flatten().min();
                return self.wake.slept(net, at);
            }
        }
        panic!("an initiator is not idle after {TURNS} turns");
    }
}

/// Using disks, a step at a time. Events of other requests stay with the client.
impl World {
    /// Looks for a target until it is ready.
    ///
    /// # Errors
    ///
    /// What the initiator gives as its reason.
    pub fn attach(
        &mut self,
        client: ClientId,
        address: Address,
        options: AttachOptions,
    ) -> Result<RemoteId, Failure> {
        let limit = options.deadline + PATIENCE;
        let id = self.client(client).initiator().attach(address, options);
        let event = self.wait_for(client, limit, |event| match event {
            Event::Ready(remote) | Event::Failed(remote, _) => *remote == id,
            _ => false,
        });
        match event {
            Event::Failed(_, failure) => Err(failure),
            _ => Ok(id),
        }
    }

    /// Hands in a block request, with a tag that tells it from others in flight, and waits for its end.
    pub fn run(&mut self, client: ClientId, remote: RemoteId, io: Io<Vec<u8>>) -> Completion<Vec<u8>> {
        let tag = io.tag();
        match self.client(client).initiator().submit(remote, io) {
            Submit::Queued => {}
            Submit::Done(done) => return Completion { done, failure: None, latency: Duration::ZERO },
            Submit::Full(io) => {
                let _ = io.abandon();
                panic!("the initiator is full");
            }
        }
        let ended = |event: &Event<Vec<u8>>| matches!(event, Event::Done(id, completion) if *id == remote && completion.done.tag() == tag);
        match self.wait_for(client, PATIENCE, ended) {
            Event::Done(_, completion) => completion,
            event => unreachable!("waited for another: {event:?}"),
        }
    }

    /// Reads sectors.
    ///
    /// # Errors
    ///
    /// How the request ended, and why.
    pub fn read(
        &mut self,
        client: ClientId,
        remote: RemoteId,
        extent: Extent,
    ) -> Result<Vec<u8>, (Status, Option<Failure>)> {
        let io = Io::read(extent, vec![0xee; extent.bytes()], 0).with_tag(u64::MAX);
        let Completion { done, failure, .. } = self.run(client, remote, io);
        if done.status().is_ok() { Ok(done.into_buf()) } else { Err((done.status(), failure)) }
    }

    /// Writes sectors.
    ///
    /// # Errors
    ///
    /// How the request ended, and why.
    pub fn write(
        &mut self,
        client: ClientId,
        remote: RemoteId,
        lba: u64,
        data: &[u8],
    ) -> Result<(), (Status, Option<Failure>)> {
        let sectors = u32::try_from(data.len() / SECTOR_SIZE).expect("tests write less than 2 TiB at a time");
        let io = Io::write(Extent::new(lba, sectors), data.to_vec(), 0).with_tag(u64::MAX);
        let Completion { done, failure, .. } = self.run(client, remote, io);
        if done.status().is_ok() { Ok(()) } else { Err((done.status(), failure)) }
    }

    /// Makes a control request and waits for its answer.
    ///
    /// # Errors
    ///
    /// What the initiator gives as its reason.
    pub fn ask(&mut self, client: ClientId, remote: RemoteId, control: Control) -> Result<Reply, Failure> {
        let request = self.client(client).initiator().control(remote, control, None);
        match self.wait_for(client, PATIENCE, |event| matches!(event, Event::Answer(id, _) if *id == request))
        {
            Event::Answer(_, answer) => answer,
            event => unreachable!("waited for another: {event:?}"),
        }
    }

    /// Runs until the client has an event that `wanted` accepts, and takes it.
    ///
    /// # Panics
    ///
    /// As [`run_until`](Self::run_until).
    pub fn wait_for(
        &mut self,
        client: ClientId,
        limit: Duration,
        mut wanted: impl FnMut(&Event<Vec<u8>>) -> bool,
    ) -> Event<Vec<u8>> {
        let mut found = None;
        self.run_until(
            |world| {
                found = world.client(client).take(&mut wanted);
                found.is_some()
            },
            limit,
        );
        found.expect("it ran until it was found")
    }
}
