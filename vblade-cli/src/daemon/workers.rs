//! Work that may wait for a disk or the network, on threads of its own: what hangs, as a file on a dead server does, holds up nothing else.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use tracing::error;

/// Threads that there are at most. What is beyond waits for one of them to end.
const MOST: usize = 32;

type Task<T> = Box<dyn FnOnce(&Reports<T>) + Send>;

/// Threads that report `T`s.
pub(super) struct Workers<T> {
    waiting: VecDeque<Task<T>>,
    running: usize,
    reports: Reports<T>,
    reported: Receiver<Report<T>>,
}

/// What a thread reports to.
pub(super) struct Reports<T> {
    sender: Sender<Report<T>>,
    wake: Arc<OwnedFd>,
}

enum Report<T> {
    Of(T),
    End,
}

impl<T: Send + 'static> Workers<T> {
    /// No thread yet.
    pub(super) fn new() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (sender, reported) = channel();
        Ok(Self { waiting: VecDeque::new(), running: 0, reports: Reports { sender, wake }, reported })
    }

    /// Does `task` on a thread, as soon as there may be one more.
    pub(super) fn start(&mut self, task: impl FnOnce(&Reports<T>) + Send + 'static) {
        self.waiting.push_back(Box::new(task));
        self.run_waiting();
    }

    /// What has been reported since the last call.
    pub(super) fn take(&mut self) -> Vec<T> {
        let _ = rustix::io::read(&self.reports.wake, &mut [0; 8]);
        let mut reports = Vec::new();
        for report in self.reported.try_iter() {
            match report {
                Report::Of(report) => reports.push(report),
                Report::End => self.running -= 1,
            }
        }
        self.run_waiting();
        reports
    }

    /// Readable when something has been reported.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.reports.wake.as_fd()
    }

    fn run_waiting(&mut self) {
        while self.running < MOST
            && let Some(task) = self.waiting.pop_front()
        {
            self.running += 1;
            let end = End(self.reports.clone());
            if let Err(error) = thread::Builder::new().name("open".to_owned()).spawn(move || task(&end.0)) {
                // The task is lost with its thread, as when it hangs; its end has been told.
                error!(%error, "no thread to open a disk");
                return;
            }
        }
    }
}

/// Tells that a thread has ended, however it did.
struct End<T>(Reports<T>);

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.report(Report::End);
    }
}

impl<T> Reports<T> {
    /// Tells the manager. It may have gone.
    pub(super) fn tell(&self, what: T) {
        self.report(Report::Of(what));
    }

    fn report(&self, report: Report<T>) {
        let _ = self.sender.send(report);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), wake: Arc::clone(&self.wake) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::wait::Waiter;

    fn collect(workers: &mut Workers<usize>, count: usize) -> Vec<usize> {
        let (mut reports, start) = (Vec::new(), Instant::now());
        while reports.len() < count {
            Waiter::default()
                .readable([workers.event()].into_iter(), Duration::from_secs(10))
                .expect("a wait");
            reports.extend(workers.take());
            assert!(start.elapsed() < Duration::from_secs(60), "{} of {count}", reports.len());
        }
        reports
    }

    #[test]
    fn more_tasks_than_threads_are_all_done() {
        let mut workers = Workers::new().expect("workers");
        for number in 0..3 * MOST {
            workers.start(move |reports| reports.tell(number));
        }
        let mut reports = collect(&mut workers, 3 * MOST);
        reports.sort_unstable();
        assert_eq!(reports, (0..3 * MOST).collect::<Vec<_>>());
    }

    #[test]
    fn a_task_that_hangs_and_one_that_panics_hold_up_no_other() {
        let mut workers = Workers::new().expect("workers");
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = Arc::clone(&gate);
        workers.start(move |reports| {
            let open = held.0.lock().expect("a lock");
            drop(held.1.wait_while(open, |open| !*open).expect("a lock"));
            reports.tell(usize::MAX);
        });
        for _ in 0..2 * MOST {
            workers.start(|_| panic!("as the test wants it"));
        }
        workers.start(|reports| reports.tell(7));
        assert_eq!(collect(&mut workers, 1), [7]);
        *gate.0.lock().expect("a lock") = true;
        gate.1.notify_all();
        assert_eq!(collect(&mut workers, 1), [usize::MAX]);
    }
}
