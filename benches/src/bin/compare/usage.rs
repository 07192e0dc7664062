//! What a processor and a process have done, as Linux counts it in proc(5).

use std::fs;
use std::io;
use std::ops::Sub;

/// The processor that targets are bound to.
pub(crate) const TARGET_PROCESSOR: u32 = 0;
/// The processor that the client is bound to.
pub(crate) const CLIENT_PROCESSOR: u32 = 1;

/// Work done so far, in microseconds, to a hundredth of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// By the targets' processor, for whatever it was.
    pub(crate) processor_us: f64,
    /// For the process, on any processor.
    pub(crate) process_us: f64,
}

impl Usage {
    /// Up to now; of no process if there is none.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(crate) fn now(process: Option<u32>) -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let processor = busy(&stat, TARGET_PROCESSOR).ok_or_else(|| unclear("/proc/stat"))?;
        let process = match process {
            Some(id) => {
                let path = format!("/proc/{id}/stat");
                worked(&fs::read_to_string(&path)?).ok_or_else(|| unclear(&path))?
            }
            None => 0,
        };
        let tick = 1e6 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self { processor_us: processor as f64 * tick, process_us: process as f64 * tick })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            processor_us: self.processor_us - earlier.processor_us,
            process_us: self.process_us - earlier.process_us,
        }
    }
}

fn unclear(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not as in proc(5)"))
}

/// Ticks that a processor was neither idle nor waiting, nor taken away by a host.
fn busy(stat: &str, processor: u32) -> Option<u64> {
    let name = format!("cpu{processor}");
    let mut words = stat
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut words| (words.next()? == name).then_some(words))?;
    let mut next = || words.next()?.parse::<u64>().ok();
    let (user, nice, system) = (next()?, next()?, next()?);
    let (_idle, _iowait) = (next()?, next()?);
    let (irq, softirq) = (next()?, next()?);
    Some(user + nice + system + irq + softirq)
}

/// Ticks that a process was running, its user's and the kernel's part.
fn worked(stat: &str) -> Option<u64> {
    // The name, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_busy_unless_it_idles_waits_or_is_taken_away() {
        let stat =
            "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 10 20 30 4000 5000 60 70 8000 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!([busy(stat, 0), busy(stat, 1), busy(stat, 2)], [Some(190), Some(19), None]);
        assert_eq!(busy("cpu0 1 2", 0), None);
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "77 (a ) (b) S 1 77 77 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 1 0 500 0 0";
        assert_eq!(worked(stat), Some(168));
        assert_eq!(worked("77 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_found() {
        let usage = Usage::now(Some(std::process::id())).expect("Linux");
        assert!(usage.processor_us > 0.0);
    }
}
