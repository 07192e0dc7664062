//! The thread that has the privileges: it knows what is wanted and what is, opens and closes, and is asked and told.
//!
//! | part | what |
//! |---|---|
//! | [`reconcile`] | carries out what the [`plan`](super::plan) says |
//! | [`links`] | the interfaces, as they come and go |
//! | [`disks`] | disks that were opened, and those that vanish, return or grow |
//! | [`reload`] | another configuration |
//! | [`control`], [`figures`] | answers to who asks, on the control socket and for metrics |
//! | [`trace`] | frames of an export, written to a file |

mod control;
mod disks;
mod figures;
mod links;
mod reconcile;
mod reload;
mod trace;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aoe_link::Interfaces;
use aoe_target::{DeviceInfo, MacAddr, TargetId};
use rustix::event::{PollFd, PollFlags};
use tracing::{info, warn};

use self::disks::Outcome;
use self::links::Port;
use super::config::{Config, Export};
use super::disk::Disk;
use super::engine::{Ended, Engine};
use super::locks::Locks;
use super::notify::Notify;
use super::plan::{Actual, Key};
use super::workers::Workers;
use crate::claim::Claim;
use crate::control::model::Reloaded;
use crate::control::trace::Trace;
use crate::control::{http, server};
use crate::wait::{Signals, Waiter};

/// How often disks and interfaces are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// When something is tried again that could not be done.
const RETRY: Duration = Duration::from_secs(2);

/// How often an export is looked at that ends what it has begun.
const LEAVING: Duration = Duration::from_millis(20);

/// How long a start or a reload waits for disks, until it is said to be done.
const SETTLE: Duration = Duration::from_secs(10);

/// The daemon, but for the thread that serves.
pub(super) struct Manager {
    file: PathBuf,
    state_dir: Option<PathBuf>,
    config: Config,
    wanted: BTreeMap<Key, Arc<Export>>,
    exports: BTreeMap<Key, Served>,
    ports: BTreeMap<String, Port>,
    claims: BTreeMap<(Key, String), Claim>,
    /// What initiators are called in ethers(5).
    names: BTreeMap<MacAddr, String>,
    /// What is wrong and was told.
    troubles: BTreeMap<String, String>,
    interfaces: Interfaces,
    locks: Arc<Locks>,
    workers: Workers<Outcome>,
    /// Disks that are being closed.
    closing: usize,
    tickets: u64,
    next_look: Instant,
    /// Something has changed: there may be something to do.
    dirty: bool,
    notify: Notify,
    started: Instant,
    reloaded: Option<Reloaded>,
    doors: Doors,
    engine: Engine,
    signals: Signals,
}

/// Where others may ask.
#[derive(Default)]
pub(super) struct Doors {
    pub(super) control: Option<server::Server>,
    pub(super) metrics: Option<http::Server>,
}

/// An export that is wanted, or was.
#[derive(Default)]
struct Served {
    actual: Actual,
    target: Option<TargetId>,
    disk: Option<(Arc<Disk>, DeviceInfo)>,
    /// Which opening of the disk counts.
    ticket: u64,
    /// When the disk is tried again.
    retry: Option<Instant>,
    /// Why it is not served, or not as it is wanted.
    why: Option<String>,
    /// A look at its disk is under way.
    looking: bool,
    trace: Option<Trace>,
}

impl Manager {
    /// Takes over what is wanted. Nothing is opened yet.
    pub(super) fn new(
        file: PathBuf,
        config: Config,
        state_dir: Option<PathBuf>,
        doors: Doors,
        engine: Engine,
        signals: Signals,
    ) -> io::Result<Self> {
        let mut manager = Self {
            file,
            state_dir,
            wanted: BTreeMap::new(),
            exports: BTreeMap::new(),
            ports: BTreeMap::new(),
            claims: BTreeMap::new(),
            names: BTreeMap::new(),
            troubles: BTreeMap::new(),
            interfaces: Interfaces::watch()?,
            locks: Arc::default(),
            workers: Workers::new()?,
            closing: 0,
            tickets: 0,
            next_look: Instant::now() + LOOK,
            dirty: true,
            notify: Notify::new(),
            started: Instant::now(),
            reloaded: None,
            doors,
            engine,
            signals,
            config,
        };
        manager.read_names();
        manager.want();
        Ok(manager)
    }

    /// Serves until a signal to end comes, then answers what was taken. Returns how many requests were left.
    ///
    /// # Errors
    ///
    /// What ended the thread that serves, or waiting.
    pub(super) fn run(mut self) -> io::Result<usize> {
        let served = self.serve();
        self.notify.stopping();
        drop(std::mem::take(&mut self.doors));
        let Self { engine, exports, mut workers, mut closing, .. } = self;
        if served.is_ok() {
            info!("ending");
        }
        let left = engine.stop()?;
        for disk in exports.into_values().filter_map(|export| export.disk) {
            closing += 1;
            disks::close(&mut workers, disk.0);
        }
        let deadline = Instant::now() + SETTLE;
        let mut waiter = Waiter::default();
        while closing != 0 && Instant::now() < deadline {
            waiter.readable([workers.event()].into_iter(), RETRY)?;
            let closed = workers.take().into_iter().filter(|outcome| matches!(outcome, Outcome::Closed));
            closing -= closed.count();
        }
        if closing != 0 {
            warn!(
                "{closing} disks have not made durable what was written to them within {} s",
                SETTLE.as_secs()
            );
        }
        served.map_err(io::Error::other)?;
        Ok(left)
    }

    fn serve(&mut self) -> Result<(), Ended> {
        self.settle()?;
        self.notify.ready(&self.status());
        let mut waiter = Waiter::default();
        while !self.signals.stop() {
            if self.signals.take_reread() {
                self.reload()?;
            }
            self.step()?;
            self.answer();
            // One that came while this waited for disks was shown then.
            if !self.signals.is_told() {
                self.wait(&mut waiter)?;
            }
        }
        Ok(())
    }

    /// Goes on until every disk that can be opened is, and what leaves has left, but not for long, and not after a signal to end.
    fn settle(&mut self) -> Result<(), Ended> {
        let deadline = Instant::now() + SETTLE;
        let mut waiter = Waiter::default();
        loop {
            self.step()?;
            let busy = |export: &Served| export.actual.opening.is_some() || export.actual.leaving;
            if self.signals.stop()
                || Instant::now() >= deadline
                || !self.dirty && !self.exports.values().any(busy)
            {
                return Ok(());
            }
            self.wait(&mut waiter)?;
        }
    }

    /// Takes up everything that has happened, and does what follows from it.
    fn step(&mut self) -> Result<(), Ended> {
        for outcome in self.workers.take() {
            self.take_up(outcome)?;
        }
        self.dirty |= self.interfaces.changed();
        let now = Instant::now();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.look_at_disks();
            // Netlink may have lost a word.
            self.dirty = true;
        }
        for export in self.exports.values_mut() {
            if export.retry.is_some_and(|retry| now >= retry) {
                export.retry = None;
                export.actual.due = true;
                self.dirty = true;
            }
        }
        self.end_traces_that_are_over()?;
        self.see_off()?;
        if std::mem::take(&mut self.dirty) {
            self.reconcile()?;
        }
        self.notify.alive(self.engine.turns());
        Ok(())
    }

    /// Waits until something happens, or is due.
    fn wait(&mut self, waiter: &mut Waiter) -> Result<(), Ended> {
        let now = Instant::now();
        let retries = self.exports.values().filter_map(|export| export.retry);
        let mut until = retries.chain([self.next_look]).min().unwrap_or(now).saturating_duration_since(now);
        if self.exports.values().any(|export| export.actual.leaving) {
            until = until.min(LEAVING);
        }
        if self.exports.values().any(|export| export.trace.is_some()) {
            until = until.min(trace::LOOK);
        }
        if self.dirty {
            until = Duration::ZERO;
        }
        if let Some(timeout) = self.notify.timeout() {
            until = until.min(timeout);
        }
        let Doors { control, metrics } = &self.doors;
        let timeouts = [
            control.as_ref().and_then(server::Server::timeout),
            metrics.as_ref().and_then(http::Server::timeout),
        ];
        until = timeouts.into_iter().flatten().chain([until]).min().unwrap_or(until);
        let ended = self.engine.event();
        let own = [ended, self.workers.event(), self.interfaces.event(), self.signals.event()];
        let own = own.into_iter().map(|event| PollFd::from_borrowed_fd(event, PollFlags::IN));
        let asked = control
            .iter()
            .flat_map(server::Server::events)
            .chain(metrics.iter().flat_map(http::Server::events));
        match waiter.ready(own.chain(asked), until) {
            Ok(true) => return Err(Ended),
            Ok(false) => {}
            // It would fail again at once.
            Err(error) => {
                warn!(%error, "cannot wait");
                std::thread::sleep(LEAVING);
            }
        }
        self.signals.quieten();
        Ok(())
    }

    /// Answers who asks.
    fn answer(&mut self) {
        let Doors { mut control, mut metrics } = std::mem::take(&mut self.doors);
        if let Some(control) = &mut control {
            control.serve(self);
        }
        if let Some(metrics) = &mut metrics {
            metrics.serve(&mut || self.snapshot().unwrap_or_default());
        }
        self.doors = Doors { control, metrics };
    }

    /// Warns of what is wrong with `what`, once until it is right or wrong in another way.
    fn trouble(&mut self, what: &str, why: Option<String>) {
        match why {
            None => drop(self.troubles.remove(what)),
            Some(why) if self.troubles.get(what) == Some(&why) => {}
            Some(why) => {
                warn!("{why}");
                self.troubles.insert(what.to_owned(), why);
            }
        }
    }

    /// How things are, in one line.
    fn status(&self) -> String {
        let down = self.exports.values().filter(|export| export.why.is_some()).count();
        let served = self.exports.len() - down;
        let mut status = format!("{served} exports on {} interfaces", self.ports.len());
        if down != 0 {
            status += &format!("; {down} are not served, see the log");
        }
        status
    }
}
