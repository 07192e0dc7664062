//! A cable of poor quality: a thread that carries AoE frames between two interfaces and loses, doubles, delays and
//! overtakes some of them. The kernel's own (netem) is not everywhere to be had, and repeats nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::SECTOR;
use crate::client::open_socket;
use crate::net::WIRE;
use crate::rng::Rng;

/// Where the data of an ATA frame begins.
const DATA: usize = 36;
/// Frames of one direction that are carried before the other is looked at.
const BURST: usize = 64;
/// How long the thread may overlook that it has to end.
const NAP: Duration = Duration::from_millis(10);
/// How much later than its successors a frame that is overtaken arrives, at least; at most twice that.
const HELD_BACK: Duration = Duration::from_millis(1);

/// What happens to frames on their way, in each direction alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Of a thousand frames, so many are lost.
    pub loss: u64,
    /// Of a thousand frames, so many arrive twice.
    pub duplicate: u64,
    /// Of a thousand frames, so many are overtaken by those of the next millisecond or two.
    pub reorder: u64,
    /// Of a thousand frames with data, so many arrive with one bit of it changed, and one bit only.
    pub corrupt: u64,
    /// How long all of them take.
    pub delay: Duration,
}

/// What has happened to frames so far, both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Frames that came in at either end.
    pub taken: u64,
    /// Those of them that are requests.
    pub requests: u64,
    /// Frames lost on purpose, those of a cut cable included.
    pub lost: u64,
    /// Frames that arrived twice.
    pub doubled: u64,
    /// Frames held back for others to overtake them.
    pub overtaken: u64,
    /// Frames an interface did not accept: it was down, or had no room.
    pub refused: u64,
}

/// The cable, until dropped.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    cut: AtomicBool,
    taken: AtomicU64,
    requests: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    overtaken: AtomicU64,
    refused: AtomicU64,
}

impl Wire {
    /// Joins the interfaces [`WIRE`], which must be up, in the namespace of the calling thread.
    #[track_caller]
    #[must_use]
    pub fn start(weather: Weather, seed: u64) -> Self {
        Self::between(WIRE, weather, seed)
    }

    /// [`Wire::start`] between two other interfaces.
    #[track_caller]
    #[must_use]
    pub fn between(interfaces: [&str; 2], weather: Weather, seed: u64) -> Self {
        let ends = interfaces.map(|name| open_socket(name).expect("a raw socket"));
        let shared = Arc::new(Shared::default());
        let carrier = Carrier {
            ends,
            weather,
            rng: Rng::new(seed),
            waiting: BinaryHeap::new(),
            sequence: 0,
            spare: Vec::new(),
            shared: Arc::clone(&shared),
        };
        let thread = thread::spawn(move || carrier.run());
        Self { shared, thread: Some(thread) }
    }

    /// Loses everything from now on.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }

    /// Undoes [`Wire::cut`].
    pub fn mend(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Shared { taken, requests, lost, doubled, overtaken, refused, .. } = &*self.shared;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            taken: load(taken),
            requests: load(requests),
            lost: load(lost),
            doubled: load(doubled),
            overtaken: load(overtaken),
            refused: load(refused),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the wire panicked");
    }
}

/// A frame under way: when it arrives, its number, where.
type Waiting = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Carrier {
    ends: [OwnedFd; 2],
    weather: Weather,
    rng: Rng,
    waiting: BinaryHeap<Waiting>,
    sequence: u64,
    /// Buffers of frames that have arrived.
    spare: Vec<Vec<u8>>,
    shared: Arc<Shared>,
}

impl Carrier {
    fn run(mut self) {
        let mut buffer = vec![0; 1 << 16];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.deliver_what_is_due();
            self.wait();
            for from in [0, 1] {
                for _ in 0..BURST {
                    // An interface that is down says so here; it is asked again after the next wait.
                    let Ok((_, len)) = recv(&self.ends[from], buffer.as_mut_slice(), RecvFlags::DONTWAIT)
                    else {
                        break;
                    };
                    self.carry(1 - from, &buffer[..len]);
                }
            }
        }
    }

    fn wait(&self) {
        let due = self.waiting.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        let nap = Timespec::try_from(due.unwrap_or(NAP).min(NAP)).expect("a short time");
        let mut fds = self.ends.each_ref().map(|end| PollFd::new(end, PollFlags::IN));
        // Interrupted or not, the sockets are asked next.
        let _ = poll(&mut fds, Some(&nap));
    }

    /// Decides what becomes of a frame.
    fn carry(&mut self, to: usize, frame: &[u8]) {
        count(&self.shared.taken);
        if frame.get(14).is_some_and(|flags| flags & 8 == 0) {
            count(&self.shared.requests);
        }
        if self.shared.cut.load(Ordering::Relaxed) || self.happens(self.weather.loss) {
            return count(&self.shared.lost);
        }
        if self.happens(self.weather.duplicate) {
            count(&self.shared.doubled);
            self.pass(to, frame);
        }
        self.pass(to, frame);
    }

    fn pass(&mut self, to: usize, frame: &[u8]) {
        let mut spoilt = Vec::new();
        let mut frame = frame;
        if frame.len() >= DATA + SECTOR && self.happens(self.weather.corrupt) {
            spoilt.extend_from_slice(frame);
            let at = DATA + self.rng.index(frame.len() - DATA);
            spoilt[at] ^= 1 << self.rng.below(8);
            frame = &spoilt;
        }
        let mut delay = self.weather.delay;
        if self.happens(self.weather.reorder) {
            count(&self.shared.overtaken);
            delay += HELD_BACK + HELD_BACK.mul_f64(self.rng.below(1000) as f64 / 1000.0);
        }
        if delay.is_zero() {
            return self.emit(to, frame);
        }
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(frame);
        self.sequence += 1;
        self.waiting.push(Reverse((Instant::now() + delay, self.sequence, to, copy)));
    }

    fn deliver_what_is_due(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((.., to, frame))) = self.waiting.pop() else { return };
            self.emit(to, &frame);
            self.spare.push(frame);
        }
    }

    fn emit(&self, to: usize, frame: &[u8]) {
        if send(&self.ends[to], frame, SendFlags::empty()).is_err() {
            count(&self.shared.refused);
        }
    }

    fn happens(&mut self, per_thousand: u64) -> bool {
        per_thousand > 0 && self.rng.below(1000) < per_thousand
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
