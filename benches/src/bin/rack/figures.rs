//! What a process has and does, as Linux tells it in proc(5).

use std::fs;
use std::io;
use std::ops::Sub;
use std::time::Duration;

/// What the threads of a process have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Processor time of all threads, to the nanosecond.
    pub(crate) all: Duration,
    /// Of it that of the thread that serves.
    pub(crate) serving: Duration,
    /// Times that a thread went to sleep.
    pub(crate) sleeps: u64,
}

impl Work {
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let mut work = Self::default();
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            let file = |name| fs::read_to_string(task.join(name));
            // A thread that has ended meanwhile has no files.
            let (Ok(times), Ok(status)) = (file("schedstat"), file("status")) else { continue };
            let ran = times.split(' ').next().and_then(|word| word.parse().ok());
            let ran = Duration::from_nanos(ran.ok_or(io::ErrorKind::InvalidData)?);
            work.all += ran;
            if field(&status, "Name") == Some("serve") {
                work.serving += ran;
            }
            let sleeps = field(&status, "voluntary_ctxt_switches").and_then(|word| word.parse::<u64>().ok());
            work.sleeps += sleeps.unwrap_or_default();
        }
        Ok(work)
    }
}

impl Sub for Work {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            all: self.all.saturating_sub(earlier.all),
            serving: self.serving.saturating_sub(earlier.serving),
            sleeps: self.sleeps.saturating_sub(earlier.sleeps),
        }
    }
}

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Resident, whoever shares it.
    pub(crate) resident: u64,
    /// Resident, shared pages in equal parts.
    pub(crate) proportional: u64,
    /// Its own, not of a file.
    pub(crate) anonymous: u64,
}

impl Memory {
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        parse(&fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn parse(rollup: &str) -> Option<Memory> {
    let of = |name| field(rollup, name)?.strip_suffix(" kB")?.parse().ok();
    Some(Memory { resident: of("Rss")?, proportional: of("Pss")?, anonymous: of("Anonymous")? })
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_name() {
        let text = "55d0-7ffe ---p 0 00:00 0 [rollup]\nRss:  1234 kB\nPss:   99 kB\nPss_Anon: 5 kB\nAnonymous:  7 kB\n";
        assert_eq!(parse(text), Some(Memory { resident: 1234, proportional: 99, anonymous: 7 }));
        assert_eq!(parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_works() {
        let work = Work::of(std::process::id()).expect("Linux");
        assert!(work.all > Duration::ZERO && work.serving == Duration::ZERO);
    }
}
