//! `aoe discover`: who is there.

mod sighting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aoe_initiator::{Address, Answer, AttachOptions, Control, Event, Found, RemoteId, RequestId};
use aoe_link::Link;
use aoe_wire::{AFlags, AtaArg, AtaCommand, ConfigCommand, IdentifyDevice, Lba, SECTOR};
use serde::Serialize;

use self::sighting::{Disk, Key, Sighting};
use crate::cli::{DiscoverArgs, Global};
use crate::error::Error;
use crate::host::{Host, TICK};
use crate::{config, output, text};

/// How long a target has to say what its disk is, unless `--timeout` says otherwise.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// Queries in the time of `--wait`, so that a lost one is made up for.
const ROUNDS: u32 = 4;

/// From one query to the next while watching.
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// A path that has been silent for so long has disappeared.
const GONE: Duration = Duration::from_secs(5);

/// How often a disk is identified again while watching: it may have another size.
const REVISIT: Duration = Duration::from_secs(30);

/// Paths that are kept at most: anybody on the segment may make up any number of them.
const MOST_PATHS: usize = 4096;

pub(crate) fn run(args: &DiscoverArgs, global: &Global) -> Result<(), Error> {
    let prefix = config::bytes(args.config.as_ref().unwrap_or(&OsString::new()))?;
    let mut survey = Survey::new(Host::open(global, &args.netifs)?, prefix);
    if args.watch { survey.watch(args.json) } else { survey.list(args.wait, args.json) }
}

/// Everything that has answered.
struct Survey<L: Link> {
    host: Host<L>,
    /// Only targets whose config string begins so.
    prefix: Vec<u8>,
    seen: BTreeMap<Key, Sighting>,
    remotes: HashMap<Address, RemoteId>,
    asked: HashMap<RequestId, Key>,
    /// Nothing new is taken any more.
    closed: bool,
    /// There were more than [`MOST_PATHS`].
    crowded: bool,
}

impl<L: Link> Survey<L> {
    fn new(host: Host<L>, prefix: Vec<u8>) -> Self {
        Self {
            host,
            prefix,
            seen: BTreeMap::new(),
            remotes: HashMap::new(),
            asked: HashMap::new(),
            closed: false,
            crowded: false,
        }
    }

    /// Asks for `wait`, then prints all; what there is when it is interrupted.
    fn list(&mut self, wait: Duration, json: bool) -> Result<(), Error> {
        let start = Instant::now();
        let interrupted = match self.gather(start, wait) {
            Ok(()) => false,
            Err(Error::Interrupted) => true,
            Err(error) => return Err(error),
        };
        let entries: Vec<_> = self.seen.iter().map(|(key, sighting)| sighting.entry(key)).collect();
        match json {
            true => output::json(&entries)?,
            false if entries.is_empty() => {}
            false => output::print(&text::table(&sighting::rows(&entries)))?,
        }
        match entries.is_empty() {
            _ if interrupted => Err(Error::Interrupted),
            true => Err(Error::NothingFound { asked: self.host.netifs(), waited: start.elapsed() }),
            false => Ok(()),
        }
    }

    /// Takes what answers until `wait` is over, then only what the disks are that have been asked. Whatever comes, it ends when these
    /// have had their time.
    fn gather(&mut self, start: Instant, wait: Duration) -> Result<(), Error> {
        let end = wait.saturating_add(self.host.timeout(IDENTIFY_TIMEOUT)).saturating_add(TICK);
        let mut due = Duration::ZERO;
        loop {
            let passed = start.elapsed();
            if due <= passed && due < wait {
                self.query()?;
                due += wait / ROUNDS;
            }
            self.closed = passed >= wait;
            self.take_events();
            if self.closed && (self.asked.is_empty() || passed >= end) {
                self.give_up();
                return Ok(());
            }
            let next = if due < wait { due } else { wait };
            self.host.step(next.checked_sub(passed).unwrap_or(TICK))?;
        }
    }

    /// Of those that have not said by now what their disk is, nobody waits for it.
    fn give_up(&mut self) {
        for (_, key) in self.asked.drain() {
            if let Some(sighting) = self.seen.get_mut(&key)
                && matches!(sighting.disk, Disk::Asked)
            {
                sighting.disk = Disk::Silent("no answer in time".to_owned());
            }
        }
    }

    /// Tells what comes, changes and goes, until interrupted.
    fn watch(&mut self, json: bool) -> Result<(), Error> {
        let mut due = Instant::now();
        loop {
            if due <= Instant::now() {
                self.query()?;
                due = Instant::now() + WATCH_PAUSE;
            }
            self.take_events();
            self.tell(json)?;
            self.host.step(due.saturating_duration_since(Instant::now()))?;
        }
    }

    /// Asks everybody, on every link.
    fn query(&mut self) -> Result<(), Error> {
        let command = if self.prefix.is_empty() { ConfigCommand::READ } else { ConfigCommand::PREFIX };
        // The answers' round trip is counted from the last turn.
        self.host.turn()?;
        self.host.driver.discover(Address::WILDCARD, command, &self.prefix);
        Ok(())
    }

    fn take_events(&mut self) {
        while let Some(event) = self.host.driver.poll() {
            match event {
                Event::Found(found) => self.found(found),
                Event::Answer(request, result) => {
                    let Some(key) = self.asked.remove(&request) else { continue };
                    let disk = match result.map(|reply| page(reply.answer)) {
                        Ok(Ok(page)) => Disk::Known(Box::new(page)),
                        Ok(Err(why)) => Disk::Silent(why),
                        Err(failure) => Disk::Silent(failure.to_string()),
                    };
                    if let Some(sighting) = self.seen.get_mut(&key) {
                        sighting.disk = disk;
                    }
                }
                _ => {}
            }
        }
    }

    fn found(&mut self, found: Found) {
        // What is heard unasked may be anybody.
        if !found.string.starts_with(&self.prefix) {
            return;
        }
        let key =
            Key { address: found.address, netif: self.host.netif(found.link).to_owned(), mac: found.mac };
        let now = Instant::now();
        let unasked = found.rtt.is_none();
        let is_full = self.seen.len() >= MOST_PATHS;
        let revisit = match self.seen.get_mut(&key) {
            None if self.closed => return,
            None if is_full => return self.refuse(),
            None => {
                self.seen.insert(key.clone(), Sighting::new(&found, now));
                true
            }
            Some(sighting) => {
                sighting.again(&found, now);
                !self.closed && (unasked || now.duration_since(sighting.visited) >= REVISIT)
            }
        };
        if revisit && !self.asked.values().any(|asked| *asked == key) {
            self.identify(&found, key);
        }
    }

    /// There is no room for another path, which is told once.
    fn refuse(&mut self) {
        if !self.crowded {
            self.crowded = true;
            output::note(&format!(
                "more than {MOST_PATHS} paths answer; the others are left out: choose by -i and --config"
            ));
        }
    }

    /// Asks by this path what the disk is.
    fn identify(&mut self, found: &Found, key: Key) {
        let deadline = self.host.timeout(IDENTIFY_TIMEOUT);
        let options = AttachOptions { deadline, identify: false, ..AttachOptions::default() };
        let driver = &mut self.host.driver;
        let remote =
            *self.remotes.entry(found.address).or_insert_with(|| driver.attach(found.address, options));
        let arg = AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags::NONE, Lba::ZERO, 1);
        let control = Control::Ata { arg, data: Vec::new(), expect: SECTOR };
        let request = driver.control_by(remote, found.link, found.mac, control, Some(deadline));
        if let Some(sighting) = self.seen.get_mut(&key) {
            sighting.visited = Instant::now();
        }
        self.asked.insert(request, key);
    }

    /// Tells what has happened since the last time.
    fn tell(&mut self, json: bool) -> Result<(), Error> {
        let now = Instant::now();
        for (key, sighting) in &mut self.seen {
            let Some(change) = sighting.change(key) else { continue };
            let event = if change.is_empty() { "appeared" } else { "changed" };
            say(event, key, sighting, &change, json)?;
        }
        let gone = |sighting: &Sighting| now.duration_since(sighting.heard) >= GONE;
        for (key, sighting) in self.seen.iter().filter(|(_, sighting)| gone(sighting)) {
            say("disappeared", key, sighting, "", json)?;
        }
        let before = self.seen.len();
        self.seen.retain(|_, sighting| !gone(sighting));
        if self.seen.len() < before {
            self.forget();
        }
        Ok(())
    }

    /// Lets go of the targets that no path leads to any more.
    fn forget(&mut self) {
        let alive: HashSet<Address> =
            self.seen.keys().chain(self.asked.values()).map(|key| key.address).collect();
        let driver = &mut self.host.driver;
        self.remotes.retain(|address, remote| {
            let stays = alive.contains(address);
            if !stays {
                driver.detach(*remote);
            }
            stays
        });
    }
}

#[derive(Serialize)]
struct Happening<'a> {
    event: &'static str,
    /// Seconds since 1970.
    time: f64,
    #[serde(flatten)]
    entry: &'a sighting::Entry,
}

fn say(event: &'static str, key: &Key, sighting: &Sighting, change: &str, json: bool) -> Result<(), Error> {
    let entry = sighting.entry(key);
    if json {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        return output::json_line(&Happening { event, time, entry: &entry });
    }
    let what = match event {
        "appeared" => format!(": {}", entry.summary()),
        _ if change.is_empty() => String::new(),
        _ => format!(": {change}"),
    };
    output::print(&format!("{} by {} at {}: {event}{what}\n", entry.address, entry.netif, entry.mac))
}

/// The IDENTIFY data, or why there are none.
fn page(answer: Answer) -> Result<IdentifyDevice, String> {
    let Answer::Ata { arg, data } = answer else { return Err("another kind of answer".to_owned()) };
    if arg.status().is_failure() {
        return Err(format!("status {}, error {}", arg.status(), arg.error()));
    }
    IdentifyDevice::parse(&data).copied().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use aoe_initiator::MacAddr;
    use aoe_link::MemLink;
    use aoe_wire::ConfigInfo;
    use bytes::BytesMut;

    use super::*;
    use crate::signals::Signals;

    const STATION: MacAddr = MacAddr([2, 0, 0, 0, 7, 3]);

    /// A survey over a wire, its other end, and what interrupts it.
    fn survey() -> (Survey<MemLink>, MemLink, Arc<AtomicBool>) {
        let (near, far) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 0xa1]), STATION, 1500);
        let stop = Arc::new(AtomicBool::new(false));
        let signals = Signals::with_flag(Arc::clone(&stop));
        let timeout = Some(Duration::from_millis(300));
        let host = Host::new(vec![near], vec!["mem0".into()], signals, timeout).expect("a host");
        (Survey::new(host, Vec::new()), far, stop)
    }

    /// The address of the target of this number.
    fn address(number: u16) -> Address {
        Address::new(1 + number / 200, u8::try_from(number % 200).expect("a slot"))
    }

    /// A config reply to nobody's query (AoEr11 §3.2).
    fn advertisement(number: u16) -> BytesMut {
        let Address { major, minor } = address(number);
        let mut frame = vec![0xff; 6];
        frame.extend(STATION.0);
        frame.extend([0x88, 0xa2, 0x18, 0]);
        frame.extend(major.to_be_bytes());
        frame.extend([minor, 1, 0, 0, 0, 0, 0, 16, 0, 1, 2, 0x10, 0, 0]);
        frame.resize(60, 0);
        BytesMut::from(&frame[..])
    }

    #[test]
    fn targets_that_never_stop_appearing_do_not_hold_up_its_end() {
        let (mut survey, mut far, stop) = survey();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let flood = std::thread::spawn(move || {
            let start = Instant::now();
            let mut number = 0;
            while !until.load(Ordering::Relaxed) {
                // So slow that it is not the room for paths that ends it.
                number = (number + 1) % 30_000;
                far.send(&mut VecDeque::from([advertisement(number)])).expect("a wire");
                std::thread::sleep(Duration::from_millis(1));
                let mut heard = Vec::new();
                far.recv(&mut heard).expect("a wire");
                if start.elapsed() > Duration::from_secs(5) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        });
        let start = Instant::now();
        let gathered = survey.gather(start, Duration::from_millis(200));
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        flood.join().expect("the flood");
        assert!(gathered.is_ok(), "{gathered:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(!survey.seen.is_empty() && !survey.crowded);
        assert!(survey.seen.values().all(|sighting| matches!(sighting.disk, Disk::Silent(_))));
    }

    #[test]
    fn no_more_paths_are_kept_than_there_is_room_for() {
        let (mut survey, _far, _) = survey();
        let link = survey.host.driver.links().next().expect("a link").0;
        let info = ConfigInfo { buffer_count: 16, firmware: 1, sector_count: 2 };
        for number in 0..u16::try_from(MOST_PATHS).expect("a number") + 10 {
            let found =
                Found { link, mac: STATION, address: address(number), info, string: Vec::new(), rtt: None };
            survey.found(found);
        }
        assert_eq!(survey.seen.len(), MOST_PATHS);
        assert!(survey.crowded && survey.remotes.len() == MOST_PATHS);
        survey.seen.clear();
        survey.asked.clear();
        survey.forget();
        assert!(survey.remotes.is_empty());
    }
}
