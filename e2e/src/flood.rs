//! A station that sends requests as fast as it can and looks at no answer.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use crate::client::open_socket;
use crate::sys;

/// How long it may take until the flood has risen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Frames that are sent at a time.
const BATCH: usize = 64;

/// The flood, until dropped.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    start: Instant,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
}

impl Flood {
    /// Sends `frames` over and over, by an interface of the calling thread's namespace. Returns when it has sent more than any target's
    /// socket has room for.
    #[track_caller]
    #[must_use]
    pub fn start(interface: &str, frames: Vec<Vec<u8>>) -> Self {
        let socket = open_socket(interface).expect("a raw socket");
        // The answers are the kernel's to drop.
        sockopt::set_socket_recv_buffer_size(&socket, 0).expect("SO_RCVBUF");
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &socket, &frames)
        });
        let flood = Self { shared, start: Instant::now(), thread: Some(thread) };
        while flood.sent() < 20_000 {
            assert!(flood.start.elapsed() < PATIENCE, "no flood to be had: {} frames", flood.sent());
            thread::sleep(Duration::from_millis(1));
        }
        flood
    }

    /// Frames that have been sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Frames sent per second, since it began.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.sent() as f64 / self.start.elapsed().as_secs_f64()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the flood panicked");
    }
}

fn run(shared: &Shared, socket: &OwnedFd, frames: &[Vec<u8>]) {
    for frames in frames.chunks(BATCH).cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        // What the interface has no room for is as good as lost.
        let sent = sys::send_all(socket, frames).unwrap_or(0);
        shared.sent.fetch_add(sent as u64, Ordering::Relaxed);
    }
}
