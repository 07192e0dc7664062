//! The loop: serve until told to end, then finish what was begun.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};
use std::{io, mem};

use aoe_target::{Link, Server};
use tracing::warn;

use crate::wait::{Signals, Waiter};

/// When something is tried again that no event tells of.
const RETRY: Duration = Duration::from_millis(2);

/// The longest wait for events.
const IDLE: Duration = Duration::from_secs(1);

/// How often a station at our address is mentioned, and writes that came too late.
const REMINDER: Duration = Duration::from_secs(60);

/// What a server is told to do while it serves.
pub(crate) trait Orders<L: Link> {
    /// Whether to end.
    fn stop(&self) -> bool;

    /// Does what has been asked for since the last time. Called before every turn.
    fn carry_out(&mut self, server: &mut Server<L>);

    /// Readable from an order on until [`quieten`](Self::quieten).
    fn event(&self) -> BorrowedFd<'_>;

    /// Makes the event wait for the next order.
    fn quieten(&self);
}

/// Orders by signals: to end, and to look at the disk's size, which the function does.
pub(crate) struct BySignals<'a, F>(pub(crate) &'a Signals, pub(crate) F);

impl<L: Link, F: FnMut(&mut Server<L>)> Orders<L> for BySignals<'_, F> {
    fn stop(&self) -> bool {
        self.0.stop()
    }

    fn carry_out(&mut self, server: &mut Server<L>) {
        if self.0.take_reread() {
            (self.1)(server);
        }
    }

    fn event(&self) -> BorrowedFd<'_> {
        self.0.event()
    }

    fn quieten(&self) {
        self.0.quieten();
    }
}

/// Serves until it is told to end, then answers the requests that were taken. Returns how many are left after `grace`.
///
/// `polled` says that a link has no event to wait for.
///
/// # Errors
///
/// When a link or a disk can never work again.
pub(crate) fn run<L: Link>(
    server: &mut Server<L>,
    mut orders: impl Orders<L>,
    polled: bool,
    grace: Duration,
) -> io::Result<usize> {
    let start = Instant::now();
    let (mut waiter, mut reminded, mut told) = (Waiter::default(), None, None);
    while !orders.stop() {
        orders.carry_out(server);
        let progress = server.turn(start.elapsed())?;
        warn_of_conflict(server, &mut reminded);
        warn_of_late_writes(server, &mut told);
        if progress.is_idle() {
            let timeout = if progress.stalled || polled { RETRY } else { IDLE };
            if waiter.readable([orders.event()].into_iter().chain(server.events()), timeout)? {
                orders.quieten();
            }
        }
    }

    server.stop();
    let stopped = Instant::now();
    loop {
        let progress = server.turn(start.elapsed())?;
        if progress.in_flight == 0 && !progress.stalled {
            return Ok(0);
        }
        if stopped.elapsed() >= grace {
            return Ok(progress.in_flight);
        }
        if progress.is_idle() {
            waiter.readable(server.events(), RETRY)?;
        }
    }
}

fn warn_of_conflict<L: Link>(server: &mut Server<L>, reminded: &mut Option<Instant>) {
    let Some((address, station)) = server.take_conflict() else { return };
    if is_due(reminded) {
        warn!(
            %address, %station,
            "ANOTHER STATION ANSWERS AT THIS ADDRESS: initiators mix the two disks up and lose data; stop one of them now"
        );
    }
}

fn warn_of_late_writes<L: Link>(server: &mut Server<L>, told: &mut Option<Instant>) {
    let Some(target) = server.take_late().and_then(|id| server.target(id)) else { return };
    if is_due(told) {
        warn!(
            address = %target.address(), so_far = target.stats().late_writes,
            "dropped writes that newer ones had overtaken on another interface: frames wait for long on one path, look for the cause there"
        );
    }
}

/// Whether something is to be mentioned that was last mentioned then: it is from now on.
fn is_due(last: &mut Option<Instant>) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= REMINDER);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// Leaves `server` as it is: to drop it is to wait for a disk that does not answer.
pub(crate) fn leave<L: Link>(server: Server<L>) {
    mem::forget(server);
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use aoe_link::MemLink;
    use aoe_target::{Address, DeviceInfo, MacAddr, State, Target, TargetOptions};
    use aoe_wire::{
        AFlags, AoeHeader, AtaArg, AtaCommand, Command, Lba, Packet, RequestHeader, Tag, build_ata,
    };
    use bdev::{Done, Io, IoQueue, Status, Submit};
    use bytes::BytesMut;

    use super::*;

    const TARGET: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const INITIATOR: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    /// A disk that finishes a request after some looks at it. Being asked brings about the signal to stop.
    struct SlowQueue {
        stop: Arc<AtomicBool>,
        looks: u32,
        io: Option<Io<BytesMut>>,
    }

    impl IoQueue<BytesMut> for SlowQueue {
        fn submit(&mut self, io: Io<BytesMut>) -> Submit<BytesMut> {
            self.stop.store(true, Ordering::Relaxed);
            self.io = Some(io);
            Submit::Queued
        }

        fn reap(&mut self, done: &mut Vec<Done<BytesMut>>) {
            self.looks = self.looks.saturating_sub(1);
            if self.looks == 0 {
                done.extend(self.io.take().map(|io| io.done(Status::Ok)));
            }
        }

        fn in_flight(&self) -> usize {
            usize::from(self.io.is_some())
        }
    }

    impl Drop for SlowQueue {
        fn drop(&mut self) {
            self.io.take().map(Io::abandon);
        }
    }

    /// What `run` returns when the signal comes while a read is at the disk, and the headers of what was sent.
    fn stopped_with_a_read_in_flight(looks: u32, grace: Duration) -> (usize, Vec<AoeHeader>) {
        let address = Address::new(7, 3);
        let (near, mut far) = MemLink::pair(TARGET, INITIATOR, 1500);
        let mut request = BytesMut::zeroed(60);
        let header = RequestHeader { dst: TARGET, src: INITIATOR, address, tag: Tag(*b"read") };
        let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, Lba::default(), 1);
        build_ata(&mut request, header, arg, &[]).expect("room");
        far.send(&mut VecDeque::from([request])).expect("a working link");

        let stop = Arc::new(AtomicBool::new(false));
        let mut server = Server::new();
        let link = server.add_link(near);
        let disk = DeviceInfo { sectors: 8, ..DeviceInfo::default() };
        let target = Target::new(TargetOptions::new(address), disk, State::default());
        let queue = SlowQueue { stop: Arc::clone(&stop), looks, io: None };
        server.add_target(target, Box::new(queue), Box::new(|_| Ok(())), &[link]).expect("a free address");

        let signals = Signals::with_flag(stop);
        let left =
            run(&mut server, BySignals(&signals, |_: &mut _| {}), true, grace).expect("a working link");
        let mut arrived = Vec::new();
        far.recv(&mut arrived).expect("a working link");
        (left, arrived.iter().map(|frame| *Packet::parse(frame).expect("an AoE frame").aoe).collect())
    }

    #[test]
    fn a_request_that_was_taken_is_answered_after_the_signal() {
        let (left, sent) = stopped_with_a_read_in_flight(5, Duration::from_secs(60));
        assert_eq!(left, 0);
        let [advertisement, reply] = sent[..] else { panic!("{sent:?}") };
        assert_eq!((advertisement.command, reply.command), (Command::CONFIG, Command::ATA));
        assert_eq!((reply.tag, reply.error.0), (Tag(*b"read"), 0));
    }

    #[test]
    fn a_disk_that_does_not_answer_does_not_hold_up_the_end() {
        let (left, sent) = stopped_with_a_read_in_flight(5_000, Duration::from_millis(50));
        assert_eq!((left, sent.len()), (1, 1), "the advertisement, and no reply");
    }
}
