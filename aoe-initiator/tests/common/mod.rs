//! A target on a thread, and links with an event between it and the test.
#![expect(dead_code, reason = "each test binary uses its part")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aoe_initiator::bdev::{Backend, Inline, MemDisk};
use aoe_initiator::{Address, Link, LinkInfo, MacAddr};
use aoe_target::{Server, State, Target, TargetOptions};
use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(crate) const OWN: Address = Address::new(7, 3);
pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const S: Duration = Duration::from_secs(1);
/// Sectors of the disk at first.
pub(crate) const SECTORS: u64 = 4096;

/// Frames that one call of `recv` delivers at most.
const BURST: usize = 8;
const LONGEST: usize = 1514;

/// What is wrong with a link, to be changed while it is in use.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// ATA frames that are to be sent next and lost.
    pub(crate) lose: AtomicU32,
    /// Each look takes longer than a reply.
    pub(crate) slow: AtomicBool,
    /// Every look finds one more frame, of somebody else's.
    pub(crate) flood: AtomicBool,
    /// It can never work again.
    pub(crate) broken: AtomicBool,
}

/// One end of a pair of sockets that carry frames.
pub(crate) struct SocketLink {
    pub(crate) socket: UnixDatagram,
    mac: MacAddr,
    trouble: Arc<Trouble>,
}

/// Two links joined by a cable.
pub(crate) fn pair() -> [SocketLink; 2] {
    let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
    let mut number = 0;
    [near, far].map(|socket| {
        socket.set_nonblocking(true).expect("a socket that does not block");
        number += 1;
        SocketLink { socket, mac: MacAddr([2, 0, 0, 0, 0, number]), trouble: Arc::default() }
    })
}

impl Link for SocketLink {
    type Frame = BytesMut;

    fn info(&self) -> LinkInfo {
        LinkInfo { mac: self.mac, mtu: 1500, payload_align: 1, up: true, generation: 0 }
    }

    fn alloc(&mut self) -> Option<BytesMut> {
        Some(BytesMut::with_capacity(LONGEST))
    }

    fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
        if self.trouble.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.trouble.flood.load(Ordering::Relaxed) {
            rx.push(BytesMut::zeroed(60));
        }
        if self.trouble.slow.load(Ordering::Relaxed) {
            thread::sleep(3 * MS);
        }
        for _ in 0..BURST {
            let mut bytes = [0; LONGEST];
            let Ok(len) = self.socket.recv(&mut bytes) else { break };
            let mut frame = BytesMut::with_capacity(LONGEST);
            frame.extend_from_slice(&bytes[..len]);
            rx.push(frame);
        }
        Ok(())
    }

    fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
        while let Some(frame) = tx.front() {
            let lose = &self.trouble.lose;
            let is_lost = frame[19] == 0
                && lose
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok();
            if !is_lost && self.socket.send(frame).is_err() {
                break;
            }
            tx.pop_front();
        }
        Ok(())
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

/// A target that serves a disk on as many links as are asked for, each on a thread that ends with it.
#[derive(Default)]
pub(crate) struct Machine {
    stop: Arc<AtomicBool>,
    /// The size of the disk, if it has another now.
    pub(crate) sectors: Arc<AtomicU64>,
    /// Of the target's end.
    pub(crate) far: Arc<Trouble>,
    /// Of our end.
    pub(crate) near: Arc<Trouble>,
}

impl Machine {
    pub(crate) fn open(&self) -> SocketLink {
        connect(&self.stop, &self.sectors, [&self.near, &self.far])
    }

    pub(crate) fn opener(&self) -> impl Fn() -> io::Result<Vec<SocketLink>> + Send + Sync + 'static {
        let (stop, sectors) = (Arc::clone(&self.stop), Arc::clone(&self.sectors));
        let (near, far) = (Arc::clone(&self.near), Arc::clone(&self.far));
        move || Ok(vec![connect(&stop, &sectors, [&near, &far])])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A link with a target at its other end.
fn connect(stop: &Arc<AtomicBool>, sectors: &Arc<AtomicU64>, troubles: [&Arc<Trouble>; 2]) -> SocketLink {
    let [mut near, mut far] = pair();
    [near.trouble, far.trouble] = troubles.map(Arc::clone);
    let (stop, sectors) = (Arc::clone(stop), Arc::clone(sectors));
    thread::spawn(move || serve(far, &sectors, &stop));
    near
}

fn serve(link: SocketLink, sectors: &AtomicU64, stop: &AtomicBool) {
    let mut server = Server::new();
    let link = server.add_link(link);
    let disk = Inline::new(MemDisk::new(SECTORS as usize));
    let mut info = Backend::<BytesMut>::info(&disk);
    let target = Target::new(TargetOptions::new(OWN), info, State::default());
    let queue = disk.open_queue(16).expect("a queue");
    let id = server.add_target(target, queue, Box::new(|_| Ok(())), &[link]).expect("a free address");
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = sectors.load(Ordering::Relaxed);
        if now != 0 && now != info.sectors {
            info.sectors = now;
            server.set_disk(id, info);
        }
        match server.turn(start.elapsed()) {
            Ok(progress) if progress.is_idle() => thread::sleep(Duration::from_micros(50)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// Whether something becomes readable in time.
pub(crate) fn is_readable(event: BorrowedFd<'_>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).expect("a short time");
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&limit)).expect("poll") > 0
}

/// What `run` returns, if it does in time.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    run: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || sender.send(run()));
    receiver.recv_timeout(limit).ok()
}
