//! For tests: a target in memory, served by a thread, and an initiator that has found it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aoe_initiator::{AttachOptions, Driver, Event, RemoteId};
use aoe_link::{Link, MemLink};
use aoe_target::{Backend, Server, State, Target, TargetOptions};
use aoe_wire::{Address, MacAddr};
use bdev::{AlignedBuf, BlockingBackend, Features, Inline};
use bytes::BytesMut;

/// The address of the target.
pub(crate) const ADDRESS: Address = Address::new(7, 3);

/// No signal comes.
pub(crate) const NEVER: &dyn Fn() -> bool = &|| false;

/// A target on a thread, until it is dropped.
pub(crate) struct Scene<L: Link> {
    pub(crate) driver: Driver<L, AlignedBuf>,
    pub(crate) remote: RemoteId,
    served: Served,
}

struct Served {
    stop: Arc<AtomicBool>,
    hold: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scene<MemLink> {
    /// A target with `disk`, at the other end of a wire of MTU `mtu`.
    pub(crate) fn new<D: BlockingBackend>(disk: &Arc<Inline<D>>, mtu: u32) -> Self {
        Self::through(disk, mtu, |link| link)
    }
}

impl<L: Link> Scene<L> {
    /// The same, with `wrap` around the initiator's end of the wire.
    pub(crate) fn through<D: BlockingBackend>(
        disk: &Arc<Inline<D>>,
        mtu: u32,
        wrap: impl FnOnce(MemLink) -> L,
    ) -> Self {
        let (near, far) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 7, 3]), mtu);
        let served = Served::new(Arc::clone(disk), far);
        let mut driver = Driver::new([wrap(near)]).expect("a descriptor");
        let options = AttachOptions { deadline: Duration::from_secs(2), ..AttachOptions::default() };
        let remote = driver.attach(ADDRESS, options);
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(10), "the target was not found");
            let _ = driver.turn().expect("a working link");
            match driver.poll() {
                Some(Event::Ready(_)) => break,
                Some(Event::Failed(_, failure)) => panic!("{failure}"),
                _ => driver.wait(Duration::from_millis(1)).expect("a wait"),
            }
        }
        Self { driver, remote, served }
    }

    /// What makes the target pause while it is true; frames wait for it meanwhile.
    pub(crate) fn hold(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.served.hold)
    }

    /// The target falls silent.
    pub(crate) fn kill(&mut self) {
        self.served.end();
    }
}

impl Served {
    fn new<D: BlockingBackend>(disk: Arc<Inline<D>>, link: MemLink) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let hold = Arc::new(AtomicBool::new(false));
        let (told, held) = (Arc::clone(&stop), Arc::clone(&hold));
        let thread = std::thread::spawn(move || {
            let mut server = Server::new();
            let link = server.add_link(link);
            let info = Backend::<BytesMut>::info(&disk);
            // What the disk may keep in its cache is not flushed with every write.
            let write_cache = info.features.contains(Features::FLUSH);
            let options = TargetOptions { write_cache, ..TargetOptions::new(ADDRESS) };
            let target = Target::new(options, info, State::default());
            let queue = disk.open_queue(64).expect("a queue");
            server.add_target(target, queue, Box::new(|_| Ok(())), &[link]).expect("a free address");
            let start = Instant::now();
            while !told.load(Ordering::Relaxed) {
                if held.load(Ordering::Relaxed)
                    || server.turn(start.elapsed()).expect("a working link").is_idle()
                {
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        Self { stop, hold, thread: Some(thread) }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there shows in what the test finds.
            let _ = thread.join();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}
