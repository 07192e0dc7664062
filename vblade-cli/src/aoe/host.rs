//! This host as an initiator: its interfaces, its clock, its signals ([`Host`]).
//!
//! # How a command is written
//!
//! A command is a module with `pub(crate) fn run(args: &cli::XArgs, global: &cli::Global) -> Result<(), Error>`, called by `main.rs`:
//!
//! 1. [`target`] and its like make values of texts, before anything is opened. What is wrong is [`Error::Usage`] (exit status 2).
//! 2. [`Host::open`] opens the interfaces, and takes over the signals.
//! 3. [`Host::attach`] finds and identifies the target, for block requests by `host.driver.submit`; [`Host::find`] only finds it, for
//!    [`Host::ask`]. Both end with [`Error::NotFound`] (exit status 3) after the time that `options`, or [`Host::timeout`], says.
//! 4. Loops of its own are `host.driver.turn()`, `host.driver.poll()`, and `host.driver.wait(TICK)` when [idle](aoe_initiator::Progress::is_idle);
//!    they look at [`Host::stop`] each time and end with [`Error::Interrupted`], after a summary if there is one.
//! 5. Data goes to standard output by [`output`](crate::output), whose errors are passed up; bytes from the wire through
//!    [`escaped`](crate::text::escaped).

use std::time::{Duration, Instant};

use aoe_initiator::{
    Address, AttachOptions, Control, Driver, Event, Failure, LinkId, MacAddr, RemoteId, Reply, RequestId,
};
use aoe_link::{Accept, Link, NetLink, NetifOptions, OpenError};
use bdev::AlignedBuf;

use crate::cli::{Global, LinkKind};
use crate::error::Error;
use crate::signals::Signals;

/// How long commands wait that move no data, unless `--timeout` says otherwise.
pub(crate) const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);

/// The same for those that do.
pub(crate) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait without a look at the signals.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// An address that a target can have.
pub(crate) fn target(text: &str) -> Result<Address, Error> {
    let refuse = |error| Error::Usage(format!("target {text:?}: {error}"));
    let address: Address = text.parse().map_err(refuse)?;
    Address::owned(address.major, address.minor).map_err(refuse)
}

/// The address of a station.
pub(crate) fn station(text: &str) -> Result<MacAddr, Error> {
    let mac: MacAddr =
        text.parse().map_err(|error| Error::Usage(format!("MAC address {text:?}: {error}")))?;
    if mac.is_multicast() || mac.is_zero() {
        return Err(Error::Usage(format!(
            "MAC address {text:?}: no station has it; give that of a network interface"
        )));
    }
    Ok(mac)
}

/// What to tell of an answer of another kind than the question.
pub(crate) fn unexpected(address: Address) -> Error {
    Error::Failed(format!("{address}: it answers something else than was asked"))
}

/// What to add to a silence while interfaces, `down`, are down: nothing, or `; eth0 is down`.
pub(crate) fn down_remark(failure: &Failure, down: &[&str]) -> String {
    match (failure, down) {
        (Failure::Timeout { .. }, [one]) => format!("; {one} is down"),
        (Failure::Timeout { .. }, [_, ..]) => format!("; {} are down", down.join(", ")),
        _ => String::new(),
    }
}

impl From<LinkKind> for aoe_link::LinkKind {
    fn from(kind: LinkKind) -> Self {
        match kind {
            LinkKind::Auto => Self::Auto,
            LinkKind::Xdp => Self::Xdp,
            LinkKind::Packet => Self::Packet,
            LinkKind::Pnet => Self::Pnet,
        }
    }
}

/// Opens the interfaces that were named, or else all that are up. For [`RemoteDisk`](aoe_initiator::RemoteDisk) and [`Host`].
pub(crate) fn open_links(
    kind: LinkKind,
    names: &[String],
    options: NetifOptions,
) -> Result<Vec<NetLink>, Error> {
    // A thousand frames are more than any window; a larger ring only leaves the processor's cache.
    let options = NetifOptions { accept: Accept::Initiator, recv_buffer: 2 << 20, ..options };
    let open = |name: &String| NetLink::open(kind.into(), name, options.clone());
    if !names.is_empty() {
        let is_first = |at: usize| !names[..at].contains(&names[at]);
        let once = (0..names.len()).filter(|&at| is_first(at));
        return once.map(|at| Ok(open(&names[at])?)).collect();
    }
    let mut links = Vec::new();
    for name in interfaces_up() {
        match open(&name) {
            Ok(link) => links.push(link),
            // Nobody asked for this one.
            Err(
                OpenError::NotEthernet { .. } | OpenError::MtuTooSmall { .. } | OpenError::Unknown { .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if links.is_empty() { Err(Error::NoInterface) } else { Ok(links) }
}

/// Names of interfaces with a hardware address that are up, but for the loopback.
fn interfaces_up() -> Vec<String> {
    let usable = |netif: &pnet::datalink::NetworkInterface| {
        netif.is_up() && !netif.is_loopback() && netif.mac.is_some()
    };
    let mut names: Vec<String> =
        pnet::datalink::interfaces().into_iter().filter(usable).map(|netif| netif.name).collect();
    names.sort();
    names.dedup();
    names
}

/// An initiator over this host's interfaces.
pub(crate) struct Host<L: Link> {
    /// The engine, its clock and its wait.
    pub(crate) driver: Driver<L, AlignedBuf>,
    names: Vec<String>,
    signals: Signals,
    timeout: Option<Duration>,
}

impl Host<NetLink> {
    /// Opens the interfaces of `-i`, and `more`.
    pub(crate) fn open(global: &Global, more: &[String]) -> Result<Self, Error> {
        let signals = Signals::new().map_err(Error::system("take over signals"))?;
        let names = [&global.interfaces, more].concat();
        let links = open_links(global.link, &names, NetifOptions::default())?;
        let names = links.iter().map(|link| link.name().to_owned()).collect();
        Self::new(links, names, signals, global.timeout)
    }
}

impl<L: Link> Host<L> {
    /// A host of `links`, each with the name at the same place in `names`. Without a `timeout` each command has its own.
    pub(crate) fn new(
        links: Vec<L>,
        names: Vec<String>,
        signals: Signals,
        timeout: Option<Duration>,
    ) -> Result<Self, Error> {
        let driver = Driver::new(links).map_err(Error::system("wait for interfaces"))?;
        Ok(Self { driver, names, signals, timeout })
    }

    /// Whether a signal to end has arrived.
    pub(crate) fn stop(&self) -> bool {
        self.signals.stop()
    }

    /// The engine, and what tells that a signal to end has arrived: for loops that are on their own for long.
    pub(crate) fn parts(&mut self) -> (&mut Driver<L, AlignedBuf>, impl Fn() -> bool + '_) {
        let Self { driver, signals, .. } = self;
        (driver, || signals.stop())
    }

    /// What `--timeout` says, or else `default`.
    pub(crate) fn timeout(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }

    /// The name of a link's interface.
    pub(crate) fn netif(&self, link: LinkId) -> &str {
        let at = self.driver.links().position(|(id, _)| id == link);
        at.and_then(|at| self.names.get(at)).map_or("?", String::as_str)
    }

    /// All interfaces, as a message lists them: `eth0, eth1 (down)`.
    pub(crate) fn netifs(&self) -> String {
        let name = |((_, link), name): ((LinkId, &L), &String)| match link.info().up {
            true => name.clone(),
            false => format!("{name} (down)"),
        };
        self.driver.links().zip(&self.names).map(name).collect::<Vec<_>>().join(", ")
    }

    /// The interfaces that are down now, or gone.
    pub(crate) fn down(&self) -> Vec<&str> {
        let is_down = |((_, link), _): &((LinkId, &L), &String)| !link.info().up;
        self.driver.links().zip(&self.names).filter(is_down).map(|(_, name)| name.as_str()).collect()
    }

    /// Addresses of this host's interfaces by which a target was found, each once.
    pub(crate) fn own_macs(&self, id: RemoteId) -> Vec<MacAddr> {
        let mut macs: Vec<MacAddr> = Vec::new();
        for path in self.driver.remote(id).into_iter().flat_map(|remote| remote.paths()) {
            let mac = self.driver.link(path.link).map(|link| link.info().mac);
            macs.extend(mac.filter(|mac| !macs.contains(mac)));
        }
        macs
    }

    /// Turns once. Returns whether anything moved.
    pub(crate) fn turn(&mut self) -> Result<bool, Error> {
        let progress = self.driver.turn().map_err(Error::system("use the interface"))?;
        Ok(!progress.is_idle())
    }

    /// Turns once and, when nothing moved, waits for `at_most` (see [`TICK`]). A signal that has come is [`Error::Interrupted`].
    pub(crate) fn step(&mut self, at_most: Duration) -> Result<(), Error> {
        if self.stop() {
            return Err(Error::Interrupted);
        }
        if !self.turn()? {
            self.driver.wait(at_most.min(TICK)).map_err(Error::system("wait for interfaces"))?;
        }
        Ok(())
    }

    /// Finds a target and asks what its disk is.
    pub(crate) fn attach(&mut self, address: Address, options: AttachOptions) -> Result<RemoteId, Error> {
        let (start, deadline) = (Instant::now(), options.deadline);
        let id = self.driver.attach(address, AttachOptions { identify: true, ..options });
        loop {
            while let Some(event) = self.driver.poll() {
                match event {
                    Event::Ready(ready) if ready == id => return Ok(id),
                    Event::Failed(failed, failure) if failed == id => {
                        return Err(self.failed(address, "identify it", failure, start.elapsed()));
                    }
                    _ => {}
                }
            }
            // The engine keeps to the deadline twice: for the target, and for what it says.
            if start.elapsed() > deadline * 2 + TICK {
                return Err(self.failed(address, "find it", Failure::NotFound, start.elapsed()));
            }
            self.step(TICK)?;
        }
    }

    /// Finds a target, without asking for its disk: for [`ask`](Self::ask).
    pub(crate) fn find(&mut self, address: Address) -> Result<RemoteId, Error> {
        let deadline = self.timeout(CONTROL_TIMEOUT);
        let options = AttachOptions { deadline, identify: false, ..AttachOptions::default() };
        let id = self.driver.attach(address, options);
        self.ask(id, "ask for its config string", Control::query())?;
        Ok(id)
    }

    /// Asks a target that was found; waits for the answer. `doing` completes "cannot ...".
    pub(crate) fn ask(
        &mut self,
        id: RemoteId,
        doing: &'static str,
        control: Control,
    ) -> Result<Reply, Error> {
        let (start, deadline) = (Instant::now(), self.timeout(CONTROL_TIMEOUT));
        let address = self.driver.remote(id).map_or(Address::WILDCARD, |remote| remote.address());
        self.try_ask(id, control, deadline)?
            .map_err(|failure| self.failed(address, doing, failure, start.elapsed()))
    }

    /// As [`ask`](Self::ask), with a time of its own, for a caller that knows what to make of a failure.
    pub(crate) fn try_ask(
        &mut self,
        id: RemoteId,
        control: Control,
        deadline: Duration,
    ) -> Result<Result<Reply, Failure>, Error> {
        let request = self.driver.control(id, control, Some(deadline));
        self.answer(request)
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&mut self, request: RequestId) -> Result<Result<Reply, Failure>, Error> {
        loop {
            while let Some(event) = self.driver.poll() {
                match event {
                    Event::Answer(answered, result) if answered == request => return Ok(result),
                    _ => {}
                }
            }
            self.step(TICK)?;
        }
    }

    /// What to tell of a failure.
    pub(crate) fn failed(
        &self,
        address: Address,
        doing: &'static str,
        failure: Failure,
        waited: Duration,
    ) -> Error {
        match failure {
            Failure::NotFound | Failure::Timeout { sent: 0, .. } => {
                Error::NotFound { address, asked: self.netifs(), waited }
            }
            failure => Error::Request { address, doing, failure, remedy: "" },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use aoe_link::MemLink;

    use super::*;

    const TARGET: Address = Address::new(7, 3);

    /// A host on a wire whose other end is silent, and what stops it.
    fn alone() -> (Host<MemLink>, MemLink, Arc<AtomicBool>) {
        let (near, far) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 0xa1]), MacAddr([2, 0, 0, 0, 0, 0xb2]), 1500);
        let stop = Arc::new(AtomicBool::new(false));
        let signals = Signals::with_flag(Arc::clone(&stop));
        let timeout = Some(Duration::from_millis(300));
        (Host::new(vec![near], vec!["mem0".into()], signals, timeout).expect("a host"), far, stop)
    }

    #[test]
    fn a_target_that_is_not_there_is_not_found_in_time() {
        let (mut host, _far, _) = alone();
        let start = Instant::now();
        let found = host.find(TARGET).expect_err("nobody");
        assert_eq!(found.exit_status(), 3, "{found}");
        assert!(
            found
                .line()
                .is_some_and(|line| line.starts_with("e7.3: no target answers") && line.contains("mem0"))
        );

        let options = AttachOptions { deadline: Duration::from_millis(300), ..AttachOptions::default() };
        let attached = host.attach(TARGET, options).expect_err("nobody");
        assert_eq!(attached.exit_status(), 3, "{attached}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_signal_ends_every_wait() {
        let (mut host, _far, stop) = alone();
        stop.store(true, Ordering::Release);
        assert!(matches!(host.find(TARGET), Err(Error::Interrupted)));
        assert!(matches!(host.attach(TARGET, AttachOptions::default()), Err(Error::Interrupted)));
        assert!(matches!(host.step(TICK), Err(Error::Interrupted)));
    }

    #[test]
    fn targets_have_numbers_and_no_wildcards() {
        assert_eq!(target("e7.3").expect("an address"), TARGET);
        assert_eq!(target("7.3").expect("an address"), TARGET);
        for bad in ["e7.255", "e65535.0", "e7", "disk.img"] {
            assert_eq!(target(bad).expect_err(bad).exit_status(), 2);
        }
    }
}
