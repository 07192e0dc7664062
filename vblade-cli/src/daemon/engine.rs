//! The thread that serves. It owns the [`Server`], waits for frames and disks, and between two turns does what the manager asks of it.
//!
//! It is shut in as `vblade` is: it has no capability, opens nothing but state files, and makes no other system calls than serving takes. What
//! it is to serve comes to it open, by a [job](Engine::with).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tracing::warn;

use crate::link::NetLink;
use crate::privileges;
use crate::sandbox::{Reach, Sandbox};
use crate::serve::{self, Orders};

/// The server that the thread runs.
pub(super) type Server = aoe_target::Server<NetLink>;

/// What the manager asks for.
type Job = Box<dyn FnOnce(&mut Server) + Send>;

/// Jobs that are done before the next turn; the others wait for the one after it.
const JOBS: usize = 8;

/// How long requests that were taken may last after the word to end.
const GRACE: Duration = Duration::from_secs(10);

/// The manager's hold on the thread.
pub(super) struct Engine {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    /// The other end is the thread's, and closed when it ends.
    life: UnixStream,
    thread: JoinHandle<io::Result<usize>>,
    began: Instant,
    sandbox: String,
}

struct Shared {
    wake: OwnedFd,
    stop: AtomicBool,
    turns: AtomicU64,
}

/// The thread that serves has ended, which nobody asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that serves has ended")]
pub(super) struct Ended;

impl Engine {
    /// Starts the thread, and waits until it is shut in. It stores state in `state_dir`.
    ///
    /// # Errors
    ///
    /// The system has no thread or no descriptor left.
    pub(super) fn start(state_dir: Option<&Path>, sandbox: bool) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, stop: AtomicBool::new(false), turns: AtomicU64::new(0) });
        let (jobs, todo) = channel();
        let (life, alive) = UnixStream::pair()?;
        let (tell, told) = sync_channel(1);
        let orders = Jobs { todo, shared: Arc::clone(&shared) };
        let state_dir = state_dir.map(Path::to_owned);
        let thread = thread::Builder::new().name("serve".to_owned()).spawn(move || {
            let _alive = alive;
            // Nobody is left to tell when this fails.
            let _ = tell.send(shut_in(state_dir, sandbox));
            let mut server = Server::new();
            let left = serve::run(&mut server, orders, false, GRACE)?;
            if left != 0 {
                serve::leave(server);
            }
            Ok(left)
        })?;
        let sandbox = told.recv().map_err(|_| io::Error::other(Ended))?;
        Ok(Self { jobs, shared, life, thread, began: Instant::now(), sandbox })
    }

    /// Has the thread do `job` between two turns, and waits for what comes of it.
    pub(super) fn with<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Server) -> R + Send + 'static,
    ) -> Result<R, Ended> {
        let (tell, told) = sync_channel(1);
        let job = move |server: &mut Server| {
            // Who asked is waiting.
            let _ = tell.send(job(server));
        };
        self.jobs.send(Box::new(job)).map_err(|_| Ended)?;
        self.wake();
        told.recv().map_err(|_| Ended)
    }

    /// Turns of the thread so far: while it lives there is one every second or so, also when there is nothing to do.
    pub(super) fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::Relaxed)
    }

    /// The time by the server's clock, but for the moment that the thread took to begin.
    pub(super) fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    /// What the thread is shut in by.
    pub(super) fn sandbox(&self) -> &str {
        &self.sandbox
    }

    /// Readable when the thread has ended.
    pub(super) fn event(&self) -> BorrowedFd<'_> {
        self.life.as_fd()
    }

    /// Has the thread answer what it has taken, and end. Returns how many requests were left.
    ///
    /// # Errors
    ///
    /// What ended it, if it was not this.
    pub(super) fn stop(self) -> io::Result<usize> {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that serves has panicked")))
    }

    fn wake(&self) {
        // Fails when the counter is full: then it is readable anyway.
        let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
    }
}

/// What the thread is told to do.
struct Jobs {
    todo: Receiver<Job>,
    shared: Arc<Shared>,
}

impl Orders<NetLink> for Jobs {
    fn stop(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    fn carry_out(&mut self, server: &mut Server) {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        let mut done = 0;
        for job in self.todo.try_iter().take(JOBS) {
            job(server);
            done += 1;
        }
        if done == JOBS {
            // There may be more, and the event was perhaps quietened for all of them.
            let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        }
    }

    fn event(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    fn quieten(&self) {
        let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
    }
}

/// Gives up what the thread does not need. What is in force then, in words.
fn shut_in(state_dir: Option<PathBuf>, sandbox: bool) -> String {
    let given_up = privileges::give_up(state_dir.as_deref());
    if let Err(error) = &given_up {
        warn!("privileges that are not needed to serve could not be given up: {error}");
    }
    let capabilities = if given_up.is_ok() { "no capabilities, " } else { "" };
    if !sandbox {
        return format!("{capabilities}no sandbox, as configured");
    }
    format!("{capabilities}{}", Sandbox::enter(state_dir.as_deref(), Reach::Thread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        Engine::start(None, false).expect("a thread")
    }

    #[test]
    fn jobs_are_done_in_their_order_while_the_server_has_nothing_to_do() {
        let engine = engine();
        let start = Instant::now();
        let numbers: Vec<_> = (0..3 * JOBS).map(|n| engine.with(move |_| n).expect("an answer")).collect();
        assert_eq!(numbers, (0..3 * JOBS).collect::<Vec<_>>());
        assert!(start.elapsed() < Duration::from_secs(20), "none waited for the next look at disks");
        assert!(engine.turns() > 0);
        assert_eq!(engine.stop().expect("an orderly end"), 0);
    }

    #[test]
    fn a_burst_of_jobs_is_done_whatever_its_size() {
        let engine = engine();
        let (tell, told) = channel();
        for number in 0..100 * JOBS {
            let tell = tell.clone();
            let tell = move |_: &mut Server| tell.send(number).unwrap_or_default();
            engine.jobs.send(Box::new(tell)).expect("a listener");
        }
        engine.wake();
        drop(tell);
        assert_eq!(told.iter().count(), 100 * JOBS);
        engine.stop().expect("an orderly end");
    }

    #[test]
    fn a_panic_of_the_thread_is_an_error_for_who_asks_and_for_who_waits() {
        let engine = engine();
        assert_eq!(engine.with(|_| panic!("as the test wants it")), Err::<(), _>(Ended));
        let mut waiter = crate::wait::Waiter::default();
        assert!(waiter.readable([engine.event()].into_iter(), Duration::from_secs(60)).expect("a wait"));
        assert_eq!(engine.with(|_| ()), Err(Ended));
        assert!(engine.stop().is_err());
    }
}
