//! `aoe ping`: how fast a target answers, and how often it does not.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use aoe_initiator::{Address, Event, Found, LinkId, MacAddr};
use aoe_link::Link;
use aoe_wire::ConfigCommand;
use serde::Serialize;

use crate::cli::{Global, PingArgs};
use crate::error::Error;
use crate::host::{self, Host};
use crate::output;

/// How long after the last query answers count, unless `--timeout` says otherwise.
const LINGER: Duration = Duration::from_secs(1);

/// Answers to queries that are closer together cannot be told apart.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) fn run(args: &PingArgs, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    if args.interval < SHORTEST_INTERVAL {
        return Err(Error::Usage("--interval: too short; give at least 0.001".to_owned()));
    }
    let mut ping = Ping::new(Host::open(global, &[])?, address, !args.json);
    let ended = ping.run(args.count, args.interval);
    let interrupted = match ended {
        Ok(()) => false,
        Err(Error::Interrupted) => true,
        Err(error) => return Err(error),
    };
    let report = ping.report();
    match args.json {
        true => output::json(&report)?,
        false => output::print(&report.text())?,
    }
    match report.answered {
        _ if interrupted => Err(Error::Interrupted),
        0 => Err(Error::NotFound { address, asked: ping.host.netifs(), waited: ping.start.elapsed() }),
        _ => Ok(()),
    }
}

struct Ping<L: Link> {
    host: Host<L>,
    address: Address,
    /// Whether to tell of each reply at once.
    tell: bool,
    start: Instant,
    /// When each query was sent, on the driver's clock.
    sent: Vec<Duration>,
    replies: Vec<Reply>,
    /// Which paths have answered which query.
    known: HashSet<(usize, LinkId, MacAddr)>,
}

/// One answer.
#[derive(Clone, Debug, Serialize)]
struct Reply {
    /// Of the query, from 1 on.
    seq: usize,
    netif: String,
    mac: String,
    time_ms: f64,
    /// By this path this query was answered before.
    duplicate: bool,
}

impl<L: Link> Ping<L> {
    fn new(host: Host<L>, address: Address, tell: bool) -> Self {
        let start = Instant::now();
        Self { host, address, tell, start, sent: Vec::new(), replies: Vec::new(), known: HashSet::new() }
    }

    fn run(&mut self, count: u32, interval: Duration) -> Result<(), Error> {
        let linger = self.host.timeout(LINGER);
        let mut due = Duration::ZERO;
        loop {
            let all_sent = self.sent.len() as u64 >= u64::from(count);
            let now = self.host.driver.now();
            if all_sent && (now >= due || self.is_complete()) {
                return Ok(());
            }
            if !all_sent && now >= due {
                // Round trips are counted from the last turn.
                self.host.turn()?;
                let now = self.host.driver.now();
                self.host.driver.discover(self.address, ConfigCommand::READ, &[]);
                self.sent.push(now);
                let is_last = self.sent.len() as u64 == u64::from(count);
                due = now + if is_last { linger } else { interval };
            }
            self.host.step(due.saturating_sub(self.host.driver.now()))?;
            while let Some(event) = self.host.driver.poll() {
                match event {
                    Event::Found(found) if found.address == self.address => self.answered(&found)?,
                    _ => {}
                }
            }
        }
    }

    /// Whether the last query was answered by every path that has answered any.
    fn is_complete(&self) -> bool {
        let last = self.sent.len();
        !self.known.is_empty()
            && self.known.iter().all(|&(_, link, mac)| self.known.contains(&(last, link, mac)))
    }

    fn answered(&mut self, found: &Found) -> Result<(), Error> {
        // An advertisement, which nobody asked for.
        let Some(rtt) = found.rtt else { return Ok(()) };
        let at = self.host.driver.now().saturating_sub(rtt);
        let Some(seq) = nearest(&self.sent, at) else { return Ok(()) };
        let duplicate = !self.known.insert((seq, found.link, found.mac));
        let (netif, mac) = (self.host.netif(found.link).to_owned(), found.mac.to_string());
        let reply = Reply { seq, netif, mac, time_ms: rtt.as_secs_f64() * 1e3, duplicate };
        if self.tell {
            let again = if reply.duplicate { " (duplicate)" } else { "" };
            output::print(&format!(
                "{} at {} by {}: seq {} time {:.3} ms{again}\n",
                self.address, reply.mac, reply.netif, reply.seq, reply.time_ms
            ))?;
        }
        self.replies.push(reply);
        Ok(())
    }

    fn report(&self) -> Report {
        Report::new(self.address, self.sent.len(), self.replies.clone())
    }
}

/// Which of the queries, in the order of their sending and numbered from 1 on, was sent at `at`, or nearly then.
fn nearest(sent: &[Duration], at: Duration) -> Option<usize> {
    let next = sent.partition_point(|sent| *sent < at);
    let around = next.saturating_sub(1)..=next;
    let (_, index) = around.filter_map(|index| Some((sent.get(index)?.abs_diff(at), index))).min()?;
    Some(index + 1)
}

/// The end of it.
#[derive(Debug, Serialize)]
struct Report {
    address: String,
    queries: usize,
    /// Queries that were answered, by any path.
    answered: usize,
    loss_percent: f64,
    paths: Vec<PathReport>,
    replies: Vec<Reply>,
}

#[derive(Debug, Serialize)]
struct PathReport {
    netif: String,
    mac: String,
    answered: usize,
    duplicates: usize,
    min_ms: f64,
    avg_ms: f64,
    max_ms: f64,
    /// Standard deviation.
    mdev_ms: f64,
}

impl Report {
    fn new(address: Address, queries: usize, replies: Vec<Reply>) -> Self {
        let mut answered = vec![false; queries];
        let mut paths: BTreeMap<(&str, &str), Vec<&Reply>> = BTreeMap::new();
        for reply in &replies {
            if let Some(answered) = reply.seq.checked_sub(1).and_then(|at| answered.get_mut(at)) {
                *answered = true;
            }
            paths.entry((&reply.netif, &reply.mac)).or_default().push(reply);
        }
        let paths =
            paths.into_iter().map(|((netif, mac), replies)| PathReport::new(netif, mac, &replies)).collect();
        let answered = answered.into_iter().filter(|answered| *answered).count();
        Self {
            address: address.to_string(),
            queries,
            answered,
            loss_percent: loss(queries, answered),
            paths,
            replies,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "--- {}: {} queries, {} answered, {:.0} % loss\n",
            self.address, self.queries, self.answered, self.loss_percent
        );
        for path in &self.paths {
            let PathReport { netif, mac, answered, duplicates, min_ms, avg_ms, max_ms, mdev_ms } = path;
            let counts = match (self.paths.len(), duplicates) {
                (1, 0) => String::new(),
                (_, 0) => format!(" {answered} answered,"),
                _ => format!(" {answered} answered, {duplicates} duplicates,"),
            };
            text.push_str(&format!(
                "{mac} by {netif}:{counts} min/avg/max/mdev {min_ms:.3}/{avg_ms:.3}/{max_ms:.3}/{mdev_ms:.3} ms\n"
            ));
        }
        text
    }
}

impl PathReport {
    fn new(netif: &str, mac: &str, replies: &[&Reply]) -> Self {
        let times: Vec<f64> =
            replies.iter().filter(|reply| !reply.duplicate).map(|reply| reply.time_ms).collect();
        let count = times.len().max(1) as f64;
        let avg_ms = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - avg_ms).powi(2)).sum::<f64>() / count;
        Self {
            netif: netif.to_owned(),
            mac: mac.to_owned(),
            answered: times.len(),
            duplicates: replies.len() - times.len(),
            min_ms: times.iter().copied().reduce(f64::min).unwrap_or_default(),
            avg_ms,
            max_ms: times.iter().copied().reduce(f64::max).unwrap_or_default(),
            mdev_ms: variance.sqrt(),
        }
    }
}

fn loss(queries: usize, answered: usize) -> f64 {
    if queries == 0 { 0.0 } else { 100.0 * (queries - answered.min(queries)) as f64 / queries as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(seq: usize, mac: &str, time_ms: f64, duplicate: bool) -> Reply {
        Reply { seq, netif: "eth0".into(), mac: mac.into(), time_ms, duplicate }
    }

    #[test]
    fn a_reply_belongs_to_the_query_that_was_sent_then() {
        let sent = [0, 1000, 2000].map(Duration::from_millis);
        assert_eq!(nearest(&sent, Duration::from_micros(1_000_040)), Some(2));
        assert_eq!(nearest(&sent, Duration::from_micros(1_999_990)), Some(3));
        assert_eq!(nearest(&sent, Duration::ZERO), Some(1));
        assert_eq!(nearest(&[], Duration::ZERO), None);
    }

    #[test]
    fn the_summary_counts_queries_and_not_replies() {
        let replies = vec![
            reply(1, "a", 1.0, false),
            reply(1, "b", 5.0, false),
            reply(1, "a", 9.0, true),
            reply(3, "a", 3.0, false),
        ];
        let report = Report::new(Address::new(7, 3), 4, replies);
        assert_eq!((report.answered, report.loss_percent), (2, 50.0));
        assert_eq!(
            report.text(),
            "--- e7.3: 4 queries, 2 answered, 50 % loss\n\
             a by eth0: 2 answered, 1 duplicates, min/avg/max/mdev 1.000/2.000/3.000/1.000 ms\n\
             b by eth0: 1 answered, min/avg/max/mdev 5.000/5.000/5.000/0.000 ms\n"
        );
    }

    #[test]
    fn silence_is_a_loss_of_everything() {
        let report = Report::new(Address::new(7, 3), 4, Vec::new());
        assert_eq!(report.text(), "--- e7.3: 4 queries, 0 answered, 100 % loss\n");
        assert_eq!(Report::new(Address::new(7, 3), 0, Vec::new()).loss_percent, 0.0);
    }
}
