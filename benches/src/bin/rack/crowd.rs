//! What it takes to ask a daemon whose many exports have several initiators each: [`measure`].

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aoe_initiator::{Link, MacAddr};
use aoe_link::{Accept, NetifOptions, PacketLink};
use aoe_wire::{AFlags, AtaArg, AtaCommand, Lba, RequestHeader, Tag, build_ata};
use bdev::IoBuf;
use serde_json::json;

use crate::daemon::{Daemon, METRICS};
use crate::exports::{MOST, address, plain};
use crate::figures::Work;
use crate::{CABLES, Error, MACS};

/// Initiators of each export.
const INITIATORS: u8 = 8;
/// Frames that are sent before their answers are waited for.
const BATCH: usize = 64;
/// How long requests may take to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// One way to ask.
struct Row {
    what: &'static str,
    bytes: usize,
    /// From the question to the whole answer, by the middle of all.
    took: Duration,
    /// Of the daemon, for each.
    work: Work,
}

/// What was measured.
pub(crate) struct Outcome {
    times: u32,
    rows: Vec<Row>,
}

/// Asks so many times in each way.
pub(crate) fn measure(programs: &Path, directory: &Path, times: u32) -> Result<Outcome, Error> {
    let daemon = Daemon::start(programs, directory, &plain(directory, MOST))?;
    gather(&daemon)?;
    let ctl = |words: &[&str]| {
        let mut command = Command::new(programs.join("vbladectl"));
        command.arg("--socket").arg(daemon.socket()).args(words).stdin(Stdio::null());
        let output = command.output()?;
        let why = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(Error::from(why())) }
    };
    let rows = vec![
        row(&daemon, times, "`GET /metrics`", scrape)?,
        row(&daemon, times, "`vbladectl stats`", || ctl(&["stats"]))?,
        row(&daemon, times, "`vbladectl --json stats`", || ctl(&["--json", "stats"]))?,
        row(&daemon, times, "`vbladectl exports`", || ctl(&["exports"]))?,
        row(&daemon, times, "`vbladectl version`", || ctl(&["version"]))?,
    ];
    Ok(Outcome { times, rows })
}

fn row(
    daemon: &Daemon,
    times: u32,
    what: &'static str,
    ask: impl Fn() -> Result<Vec<u8>, Error>,
) -> Result<Row, Error> {
    let before = Work::of(daemon.id())?;
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..times {
        let start = Instant::now();
        bytes = ask().map_err(|error| format!("{what}: {error}"))?.len();
        took.push(start.elapsed());
    }
    let work = Work::of(daemon.id())? - before;
    took.sort();
    let work = Work { all: work.all / times, serving: work.serving / times, sleeps: 0 };
    Ok(Row { what, bytes, took: took[took.len() / 2], work })
}

fn scrape() -> Result<Vec<u8>, Error> {
    let mut stream = TcpStream::connect(METRICS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"# EOF\n") {
        return Ok(answer);
    }
    Err(String::from_utf8_lossy(&answer[..answer.len().min(100)]).into_owned().into())
}

/// Has every initiator read a sector of every export, and sees to it that the daemon knows them all.
fn gather(daemon: &Daemon) -> Result<(), Error> {
    let options = NetifOptions { accept: Accept::Initiator, ..NetifOptions::default() };
    let mut link = PacketLink::open(CABLES[0].1, options)?;
    let stations = (0..MOST).flat_map(|number| (0..INITIATORS).map(move |station| (number, station)));
    let stations: Vec<_> = stations.collect();
    for batch in stations.chunks(BATCH) {
        let mut frames = VecDeque::new();
        for (number, station) in batch {
            let mut frame = link.alloc().ok_or("no frame is free")?;
            let src = MacAddr([2, 0, 0, 1, 0, *station]);
            let header =
                RequestHeader { dst: MACS[0].0, src, address: address(*number), tag: Tag::from_u32(1) };
            let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, Lba::ZERO, 1);
            frame.set_len(60);
            build_ata(frame.bytes_mut(), header, arg, &[0; 24])?;
            frames.push_back(frame);
        }
        link.send(&mut frames)?;
        if !frames.is_empty() {
            return Err("the interface takes no more frames".into());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = daemon.ask("initiators", &json!({}))?;
        let known = list.as_array().into_iter().flatten();
        let known: usize = known.filter_map(|of| of["initiators"].as_array().map(Vec::len)).sum();
        if known == stations.len() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the daemon knows {known} initiators of {}", stations.len()).into());
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "To ask a daemon with {MOST} exports of {INITIATORS} initiators each, {} times\n",
            self.times
        )?;
        writeln!(
            f,
            "| question | answer, KiB | takes, ms | the daemon's processor, ms | of it the thread that serves, ms |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for Row { what, bytes, took, work } in &self.rows {
            let [took, all, serving] = [*took, work.all, work.serving].map(|time| time.as_secs_f64() * 1e3);
            let kib = *bytes as f64 / 1024.0;
            writeln!(f, "| {what} | {kib:.1} | {took:.1} | {all:.2} | {serving:.2} |")?;
        }
        Ok(())
    }
}
