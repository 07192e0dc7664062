//! A remote disk keeps the contract of every backend. The target is ours, on a thread, over a link in memory.
#![cfg(feature = "disk")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aoe_initiator::{Address, AttachOptions, ConnectError, Failure, MacAddr, RemoteDisk};
use aoe_link::MemLink;
use aoe_target::{Server, State, Target, TargetOptions};
use bdev::{Backend, Inline, MemDisk};
use bytes::BytesMut;

const ADDRESS: Address = Address::new(7, 3);

/// A target that serves one disk on as many links as are asked for, each on a thread that ends with it.
struct Machine {
    disk: Arc<Inline<MemDisk>>,
    stop: Arc<AtomicBool>,
}

impl Machine {
    fn new(sectors: usize) -> Self {
        Self { disk: Arc::new(Inline::new(MemDisk::new(sectors))), stop: Arc::default() }
    }

    fn opener(&self) -> impl Fn() -> io::Result<Vec<MemLink>> + Send + Sync + 'static {
        let (disk, stop) = (Arc::clone(&self.disk), Arc::clone(&self.stop));
        move || {
            let (near, far) = MemLink::pair(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 7, 3]), 1500);
            let (disk, stop) = (Arc::clone(&disk), Arc::clone(&stop));
            thread::spawn(move || serve(far, &disk, &stop));
            Ok(vec![near])
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(link: MemLink, disk: &Arc<Inline<MemDisk>>, stop: &AtomicBool) {
    let mut server = Server::new();
    let link = server.add_link(link);
    let info = Backend::<BytesMut>::info(disk);
    let target = Target::new(TargetOptions::new(ADDRESS), info, State::default());
    let queue = disk.open_queue(16).expect("a queue");
    server.add_target(target, queue, Box::new(|_| Ok(())), &[link]).expect("a free address");
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if server.turn(start.elapsed()).expect("a working link").is_idle() {
            thread::sleep(Duration::from_micros(50));
        }
    }
}

#[test]
fn a_remote_disk_keeps_the_contract_of_a_backend() {
    let machine = Machine::new(4096);
    let disk = RemoteDisk::connect(ADDRESS, AttachOptions::default(), machine.opener()).expect("the target");
    assert_eq!(Backend::<BytesMut>::info(&disk).sectors, 4096);
    bdev::testing::conformance(&disk);
}

#[test]
fn a_target_that_is_not_there_is_told_after_the_deadline() {
    let options = AttachOptions { deadline: Duration::from_millis(100), ..AttachOptions::default() };
    let start = Instant::now();
    let error =
        RemoteDisk::connect(Address::new(9, 9), options, Machine::new(8).opener()).expect_err("nobody");
    assert!(matches!(error, ConnectError::Target { source: Failure::NotFound, .. }), "{error:?}");
    assert!(start.elapsed() >= Duration::from_millis(100));
}
