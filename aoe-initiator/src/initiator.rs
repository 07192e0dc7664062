//! The loop: links × targets ([`Initiator::turn`]).

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use aoe_l2::Link;
use aoe_wire::{Address, Arg, ConfigCommand, MacAddr, Packet, Tag, VerFlags};
use bdev::{Io, IoBuf, Op, Status, Submit};

use crate::flight::{Flights, Meaning};
use crate::port::Port;
use crate::session::{Air, Arrival, Session, query};
use crate::task::{Origin, Task, Work};
use crate::{AttachOptions, Control, Event, Failure, Found, LinkId, Remote};

/// How often what is late is looked for while frames never cease to arrive.
const LOOK: Duration = Duration::from_millis(100);

/// Bursts that are received of a link before that.
const BURSTS: usize = 256;

/// Names an attached target of an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteId(pub(crate) usize);

/// Names a control request of an initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What a turn has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Progress {
    /// Frames received.
    pub received: usize,
    /// Frames given to links to be sent.
    pub sent: usize,
    /// Requests that were taken and have not ended.
    pub in_flight: usize,
    /// Something waits that no [event](Initiator::events) tells of: a link that takes no frame, or has none. Turn again within
    /// milliseconds.
    pub stalled: bool,
}

impl Progress {
    /// Whether nothing moved: time to wait for an event.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.received == 0 && self.sent == 0
    }
}

/// A session, taken out of its place, and what it works with.
type Entered<'a, L, B> = (Box<Session<B>>, Air<'a, L, B>);

/// Uses targets over links. Waits for nothing and knows no clock: the caller does, see [`turn`](Self::turn).
///
/// `B` is the buffer of block requests. Their data is copied once, between it and the frames; the buffer stays with the request until
/// its end, since what is lost is sent again from it.
pub struct Initiator<L: Link, B: IoBuf> {
    ports: Vec<Port<L>>,
    sessions: Vec<Option<Box<Session<B>>>>,
    flights: Flights,
    events: VecDeque<Event<B>>,
    /// Asked for since the last turn.
    queries: Vec<(Address, ConfigCommand, Vec<u8>)>,
    now: Duration,
    looked: Duration,
    next_request: u64,
    /// The session that sends first.
    first: usize,
}

impl<L: Link, B: IoBuf> Initiator<L, B> {
    /// An initiator without links and targets. Tags begin where `seed` says: give each process another, so that late replies to one
    /// mean nothing to the next.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            ports: Vec::new(),
            sessions: Vec::new(),
            flights: Flights::new(seed),
            events: VecDeque::new(),
            queries: Vec::new(),
            now: Duration::ZERO,
            looked: Duration::ZERO,
            next_request: 0,
            first: 0,
        }
    }

    /// Adds a link. Every target that answers on it gets one more path.
    pub fn add_link(&mut self, link: L) -> LinkId {
        self.ports.push(Port::new(link));
        LinkId(self.ports.len() - 1)
    }

    /// A link.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&L> {
        self.ports.get(id.0).map(|port| &port.link)
    }

    /// All links.
    #[must_use]
    pub fn links(&self) -> impl ExactSizeIterator<Item = (LinkId, &L)> {
        self.ports.iter().enumerate().map(|(at, port)| (LinkId(at), &port.link))
    }

    /// Asks on every link that is up who is there: all targets ([`Address::WILDCARD`]), some, or one; with
    /// [`READ`](ConfigCommand::READ) whatever their config string is, with [`TEST`](ConfigCommand::TEST) or
    /// [`PREFIX`](ConfigCommand::PREFIX) those whose string is `string` or begins with it.
    ///
    /// One frame for each link, sent by the next turn and not repeated: ask again for those whose answer was lost. Answers are
    /// [`Event::Found`]. A string longer than the path carries is not sent.
    pub fn discover(&mut self, address: Address, command: ConfigCommand, string: &[u8]) {
        self.queries.push((address, command, string.to_vec()));
    }

    /// Begins to use a target: looks for it by broadcast until the deadline of `options`, then asks what its disk is.
    /// [`Event::Ready`] or [`Event::Failed`] follows.
    pub fn attach(&mut self, address: Address, options: AttachOptions) -> RemoteId {
        self.sessions.push(Some(Box::new(Session::new(address, options))));
        RemoteId(self.sessions.len() - 1)
    }

    /// Ends the use of a target. What has not ended does so as [`Failure::Detached`]; frames on their way may still be executed.
    pub fn detach(&mut self, id: RemoteId) {
        if let Some((mut session, mut air)) = self.enter(id) {
            session.fail_all(&Failure::Detached, &mut air);
        }
    }

    /// What is known of an attached target.
    #[must_use]
    pub fn remote(&self, id: RemoteId) -> Option<&Remote> {
        Some(&self.sessions.get(id.0)?.as_ref()?.remote)
    }

    /// Takes a block request for a target that is ready; it begins with the next turn, and its end is [`Event::Done`].
    ///
    /// It is never [`Full`](Submit::Full), and [`Done`](Submit::Done) at once when [`Io::check`] refuses it, as `Aborted` while the
    /// target is not ready. A flush of a disk that announces none is done at once: nothing better can be had.
    ///
    /// Requests in flight together are executed in any order.
    pub fn submit(&mut self, id: RemoteId, io: Io<B>) -> Submit<B> {
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::as_deref_mut) else {
            return Submit::Done(io.done(Status::Aborted));
        };
        let Some(disk) = session.remote.disk else { return Submit::Done(io.done(Status::Aborted)) };
        if let Err(status) = io.check(&disk) {
            return Submit::Done(io.done(status));
        }
        if io.op() == Op::Flush && !disk.features.contains(bdev::Features::FLUSH) {
            return Submit::Done(io.done(Status::Ok));
        }
        session.take(Task::new(Work::Io(Some(io)), None, None));
        Submit::Queued
    }

    /// Takes a control request; it waits until the target is found, and its end is [`Event::Answer`]. It has `deadline` to be
    /// answered, or that of the target.
    pub fn control(&mut self, id: RemoteId, control: Control, deadline: Option<Duration>) -> RequestId {
        self.take(id, control, deadline, None)
    }

    /// The same by one path only, alive or not.
    pub fn control_by(
        &mut self,
        id: RemoteId,
        link: LinkId,
        mac: MacAddr,
        control: Control,
        deadline: Option<Duration>,
    ) -> RequestId {
        self.take(id, control, deadline, Some((link, mac)))
    }

    fn take(
        &mut self,
        id: RemoteId,
        control: Control,
        deadline: Option<Duration>,
        only: Option<(LinkId, MacAddr)>,
    ) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        match self.sessions.get_mut(id.0).and_then(Option::as_deref_mut) {
            Some(session) => {
                session.take(Task::new(Work::Control(control, Origin::Caller(request)), deadline, only));
            }
            None => self.events.push_back(Event::Answer(request, Err(Failure::Detached))),
        }
        request
    }

    /// What has happened, oldest first. Ask after every turn, until there is nothing more.
    pub fn poll(&mut self) -> Option<Event<B>> {
        self.events.pop_front()
    }

    /// Whether [`poll`](Self::poll) has something.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether the next turn begins something that was asked for.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.queries.is_empty() || self.sessions.iter().flatten().any(|session| session.has_work())
    }

    /// Does everything that can be done without waiting: receives, ends what was answered, repeats what was lost, ends what is late,
    /// sends. `now` is the time since any fixed moment, and never goes back.
    ///
    /// Call it again at once until [`Progress::is_idle`]; then wait until one of [`events`](Self::events) is readable, at the latest
    /// until [`deadline`](Self::deadline), and for a few milliseconds at most when [`Progress::stalled`].
    ///
    /// A link that can never work again is left alone, as long as there is another.
    ///
    /// # Errors
    ///
    /// When the last link can never work again.
    pub fn turn(&mut self, now: Duration) -> io::Result<Progress> {
        self.now = now;
        let mut progress = Progress::default();
        for at in 0..self.ports.len() {
            progress.received += self.receive(at)?;
        }
        // A reply that waits to be received is not lost: so nothing is late before all were.
        let due = now.saturating_sub(self.looked) >= LOOK;
        let look = due || progress.received == 0;
        if look {
            self.looked = now;
        }
        if due && progress.received > 0 {
            progress.received += self.drain()?;
        }
        self.drop_stale();
        let first = self.first;
        for step in 0..self.sessions.len() {
            let at = (first + step) % self.sessions.len();
            let Some((mut session, mut air)) = self.enter(RemoteId(at)) else { continue };
            if look {
                session.expire(&mut air);
            }
            let stalled = session.pump(&mut air);
            progress.in_flight += session.load();
            self.sessions[at] = Some(session);
            if stalled && !progress.stalled {
                // The others are the first to get what becomes free.
                self.first = at + 1;
            }
            progress.stalled |= stalled;
        }
        for (address, command, string) in self.queries.drain(..) {
            let tag = self.flights.query(now);
            for port in self.ports.iter_mut().filter(|port| port.info.up) {
                query(port, address, command, &string, tag);
            }
        }
        for at in 0..self.ports.len() {
            let port = &mut self.ports[at];
            let waiting = port.tx.len();
            if waiting == 0 {
                continue;
            }
            let result = port.link.send(&mut port.tx);
            progress.sent += waiting - port.tx.len();
            progress.stalled |= !port.tx.is_empty();
            self.survive(at, result)?;
        }
        Ok(progress)
    }

    /// When to turn again though nothing arrives, on the clock of [`turn`](Self::turn); `None` while nothing is waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.sessions.iter().flatten().filter_map(|session| session.deadline()).min()
    }

    /// What to wait for: links that have frames.
    pub fn events(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ports.iter().filter(|port| !port.broken).filter_map(|port| port.link.event())
    }

    /// Takes a session out, and what it works with.
    fn enter(&mut self, id: RemoteId) -> Option<Entered<'_, L, B>> {
        let session = self.sessions.get_mut(id.0)?.take()?;
        let Self { ports, flights, events, now, .. } = self;
        Some((session, Air { id, ports, flights, events, now: *now }))
    }

    /// Takes back what a link could not send yet and nobody waits for any more. A write that was sent again by another path, answered, and
    /// perhaps overwritten since, must not leave now.
    fn drop_stale(&mut self) {
        for port in self.ports.iter_mut().filter(|port| !port.tx.is_empty()) {
            for _ in 0..port.tx.len() {
                let Some(frame) = port.tx.pop_front() else { break };
                let tag = Packet::parse_headers(frame.bytes()).map(|packet| packet.aoe.tag);
                match tag.is_ok_and(|tag| self.flights.is_current(tag)) {
                    true => port.tx.push_back(frame),
                    false => port.link.recycle(frame),
                }
            }
        }
    }

    /// Receives what is there, within bounds.
    fn drain(&mut self) -> io::Result<usize> {
        let mut received = 0;
        for at in 0..self.ports.len() {
            for _ in 0..BURSTS {
                match self.receive(at)? {
                    0 => break,
                    count => received += count,
                }
            }
        }
        Ok(received)
    }

    fn receive(&mut self, at: usize) -> io::Result<usize> {
        let port = &mut self.ports[at];
        if port.broken {
            return Ok(0);
        }
        let mut rx = std::mem::take(&mut port.rx);
        let result = port.link.recv(&mut rx);
        port.info = port.link.info();
        let received = rx.len();
        for frame in &rx {
            self.sort(LinkId(at), frame);
        }
        let port = &mut self.ports[at];
        rx.drain(..).for_each(|frame| port.link.recycle(frame));
        port.rx = rx;
        self.survive(at, result).map(|()| received)
    }

    /// What a link's failure means: nothing, while there is another link.
    fn survive(&mut self, at: usize, result: io::Result<()>) -> io::Result<()> {
        let Err(error) = result else { return Ok(()) };
        self.ports[at].give_up();
        if self.ports.iter().all(|port| port.broken) { Err(error) } else { Ok(()) }
    }

    /// Gives a reply to the session whose request it answers, and tells of every target that shows itself.
    fn sort(&mut self, link: LinkId, frame: &L::Frame) {
        let Ok(headers) = Packet::parse_headers(frame.bytes()) else { return };
        if !headers.aoe.ver_flags.is_response() {
            return;
        }
        let meaning = self.flights.meaning(headers.aoe.tag);
        // The classic vblade advertises itself as version 0, unasked.
        let version = headers.aoe.ver_flags.version();
        if version != VerFlags::VERSION && !(version == 0 && headers.aoe.tag == Tag::ZERO) {
            return;
        }
        // A frame too short for its argument: the session sees that it is, if it is one of its own.
        let packet = Packet::parse(frame.bytes()).unwrap_or(headers);
        self.find(link, &packet, meaning);
        let Some(Meaning::Request { slot, age, sent }) = meaning else { return };
        let Some(session) = self.flights.get(slot).map(|flight| RemoteId(flight.session)) else { return };
        let arrival = Arrival { link, packet, frame, slot, age, sent };
        if let Some((mut session, mut air)) = self.enter(session) {
            let id = air.id;
            session.reply(&arrival, &mut air);
            self.sessions[id.0] = Some(session);
        }
    }

    /// A config reply, asked for or not, shows a path.
    fn find(&mut self, link: LinkId, packet: &Packet<'_>, meaning: Option<Meaning>) {
        let Arg::Config(arg, payload) = packet.arg else { return };
        let address = packet.aoe.address();
        if address.is_wildcard() || packet.eth.src.is_multicast() {
            return;
        }
        let Ok(string) = arg.string(payload) else { return };
        let (mac, info) = (packet.eth.src, arg.info());
        for session in self.sessions.iter_mut().flatten().filter(|s| s.remote.address == address) {
            session.met(link, mac, info, meaning.is_some(), self.now);
        }
        if packet.aoe.ver_flags.is_error() {
            return;
        }
        let rtt = match meaning {
            Some(Meaning::Query { sent }) => Some(self.now.saturating_sub(sent)),
            _ => None,
        };
        self.events.push_back(Event::Found(Found { link, mac, address, info, string: string.to_vec(), rtt }));
    }
}
