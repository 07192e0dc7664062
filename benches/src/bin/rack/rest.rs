//! What a daemon takes that has nothing to do: [`measure`].

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::daemon::Daemon;
use crate::exports::{MOST, plain};
use crate::figures::{Memory, Work};

/// How long it is left alone first: it has just advertised its disks.
const CALM: Duration = Duration::from_secs(1);

/// One size of it.
struct Row {
    exports: u16,
    memory: Memory,
    work: Work,
}

/// What was measured.
pub(crate) struct Outcome {
    time: Duration,
    rows: Vec<Row>,
}

/// Watches daemons of three sizes for so long. A client is connected to the control socket, and the metrics port is open.
pub(crate) fn measure(programs: &Path, directory: &Path, time: Duration) -> Result<Outcome, Error> {
    let row = |exports| {
        let daemon = Daemon::start(programs, directory, &plain(directory, exports))?;
        let _client = UnixStream::connect(daemon.socket())?;
        thread::sleep(CALM.min(time));
        let before = Work::of(daemon.id())?;
        thread::sleep(time);
        let work = Work::of(daemon.id())? - before;
        Ok(Row { exports, memory: Memory::of(daemon.id())?, work })
    };
    let rows = [1, 64, MOST].into_iter().map(row).collect::<Result<_, Error>>()?;
    Ok(Outcome { time, rows })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        writeln!(f, "A daemon at rest, for {seconds} s\n")?;
        writeln!(
            f,
            "| exports | RSS, MiB | PSS, MiB | anonymous, MiB | processor, ms/s | of it the thread that serves | wake-ups/s |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for Row { exports, memory: Memory { resident, proportional, anonymous }, work } in &self.rows {
            let [rss, pss, own] = [resident, proportional, anonymous].map(|kib| *kib as f64 / 1024.0);
            let [all, serving] = [work.all, work.serving].map(|time| time.as_secs_f64() * 1e3 / seconds);
            let sleeps = work.sleeps as f64 / seconds;
            writeln!(
                f,
                "| {exports} | {rss:.1} | {pss:.1} | {own:.1} | {all:.2} | {serving:.2} | {sleeps:.1} |"
            )?;
        }
        Ok(())
    }
}
