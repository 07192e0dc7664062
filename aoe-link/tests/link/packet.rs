//! What only [`PacketLink`] has to show.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use aoe_l2::Link;
use aoe_link::{LinkCounters, NetifOptions, PacketLink};
use bdev::IoBuf;

use crate::conformance::Rig;
use crate::netns::{in_netns, ip, limit, skip};
use crate::veth::{Veth, leave_waiting};
use crate::{FAR, frame, receive, send, until};

const MS: Duration = Duration::from_millis(1);

/// The clock that times are by.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

in_netns! {
    fn one_call_receives_eight_of_what_has_arrived_or_sixteen_of_very_many() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions::default());
        let frames = (0..60).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        let mut rx = Vec::new();
        let sizes = [(); 7].map(|()| {
            let before = rx.len();
            rig.far.recv(&mut rx).unwrap();
            rx.len() - before
        });
        assert_eq!(sizes, [16, 16, 8, 8, 8, 4, 0]);
    }

    fn a_ring_tells_how_many_wait_when_many_do() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions { recv_buffer: 128 << 10, ..NetifOptions::default() });
        let frames = (0..70).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        let mut rx = Vec::new();
        rig.far.recv(&mut rx).unwrap();
        let more_than = |rig: &Veth<PacketLink>, counts: [usize; 2]| counts.map(|count| rig.far.has_more_than(count));
        // The ring holds 64, of which 16 were received.
        assert_eq!(more_than(&rig, [47, 48]), [true, false]);
        assert_eq!(more_than(&rig, [64, 1 << 20]), [false, false], "not those of the next round");
        rig.far.recv(&mut rx).unwrap();
        assert_eq!(more_than(&rig, [31, 32]), [true, false]);
        rx.extend(receive(&mut rig.far, 32));
        assert_eq!((rx.len(), more_than(&rig, [0, 1])), (64, [false, false]));
    }

    fn frames_too_long_for_the_ring_arrive_in_their_order_although_the_link_went_down() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions::default());
        rig.set_mtu(9000);
        until(&mut rig.near, |info| info.mtu == 9000);
        until(&mut rig.far, |info| info.mtu == 9000);
        let lengths = [9014, 60, 1995, 1996, 1997, 2048].into_iter().cycle();
        let frames: Vec<_> = lengths.zip(0..60).map(|(len, n)| frame(&mut rig.near, FAR, len, n)).collect();
        let sent: Vec<_> = frames.iter().map(|frame| frame.bytes().to_vec()).collect();
        leave_waiting(&mut rig, frames);
        ip("link set far down");
        let rx = receive(&mut rig.far, 60);
        assert!(rx.iter().map(IoBuf::bytes).eq(sent.iter().map(Vec::as_slice)));
        until(&mut rig.far, |info| !info.up);
        assert_eq!(rig.far.counters(), LinkCounters::default());
    }

    fn frames_too_long_for_the_ring_are_counted_when_the_socket_has_no_room() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions { recv_buffer: 64 << 10, ..NetifOptions::default() });
        rig.set_mtu(9000);
        until(&mut rig.near, |info| info.mtu == 9000);
        until(&mut rig.far, |info| info.mtu == 9000);
        let frames = (0..100).map(|n| frame(&mut rig.near, FAR, 9014, n)).collect();
        leave_waiting(&mut rig, frames);
        let arrived = receive(&mut rig.far, 100).len() as u64;
        assert!(arrived < 32, "{arrived} frames: not even the ring was full");
        assert_eq!(arrived + rig.far.counters().rx_overflow, 100);
    }

    fn a_ring_goes_round() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions { recv_buffer: 64 << 10, ..NetifOptions::default() });
        for round in 0..40 {
            let frames: Vec<_> = (0..7).map(|n| frame(&mut rig.near, FAR, 60 + round, n)).collect();
            send(&mut rig.near, frames);
            let rx = receive(&mut rig.far, 7);
            let numbers: Vec<_> = rx.iter().map(|frame| frame.bytes()[17]).collect();
            assert_eq!(numbers, (0..7).collect::<Vec<_>>(), "round {round}");
            assert!(rx.iter().all(|frame| frame.bytes().len() == 60 + round));
            rx.into_iter().for_each(|frame| rig.far.recycle(frame));
        }
        assert_eq!(rig.far.counters(), LinkCounters::default());
    }

    fn frames_that_are_refused_leave_no_gap_in_the_pool() {
        let mut rig = Veth::<PacketLink>::with(NetifOptions::default(), NetifOptions { pool: 6, ..NetifOptions::default() });
        rig.set_mtu(9000);
        until(&mut rig.near, |info| info.mtu == 9000);
        let lengths = [9014, 60].into_iter().cycle();
        let frames = lengths.zip(0..12).map(|(len, n)| frame(&mut rig.near, FAR, len, n)).collect();
        leave_waiting(&mut rig, frames);
        ip("link set far mtu 1500");
        let rx = receive(&mut rig.far, 6);
        let numbers: Vec<_> = rx.iter().map(|frame| frame.bytes()[17]).collect();
        assert_eq!(numbers, [1, 3, 5, 7, 9, 11]);
        assert_eq!(rig.far.counters().rx_refused, 6);
        assert!(rig.far.alloc().is_none());
        rx.into_iter().for_each(|frame| rig.far.recycle(frame));
        assert_eq!(std::iter::from_fn(|| rig.far.alloc()).count(), 6);
    }

    fn frames_tell_when_they_arrived_and_not_when_they_were_received() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions::default());
        rig.set_mtu(9000);
        until(&mut rig.near, |info| info.mtu == 9000);
        until(&mut rig.far, |info| info.mtu == 9000);
        let (mut rx, mut times) = (Vec::new(), Vec::new());
        // Who asks for the first time, and who was kept from asking, learns none.
        for _ in 0..1000 {
            let before = now();
            let frames: Vec<_> =
                [60, 9014].map(|len| frame(&mut rig.near, FAR, len, 1)).into_iter().collect();
            leave_waiting(&mut rig, frames);
            thread::sleep(Duration::from_millis(30));
            rx.clear();
            times.clear();
            rig.far.recv(&mut rx).unwrap();
            rig.far.times(&mut times);
            let after = now();
            assert_eq!(rx.len(), 2);
            rx.drain(..).for_each(|frame| rig.far.recycle(frame));
            let known: Vec<Duration> = times.iter().copied().flatten().collect();
            if known.len() == 2 {
                assert!(known[0] <= known[1]);
                for time in known {
                    let (since, waited) = (time.saturating_sub(before), after.saturating_sub(time));
                    assert!(time + MS >= before, "{:?} before it was sent", before - time);
                    assert!(waited + MS >= Duration::from_millis(30), "{waited:?} after {since:?}");
                }
                return;
            }
        }
        panic!("no frame has a time");
    }

    fn more_frames_than_one_call_sends_leave_in_order() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions::default());
        let mut tx: VecDeque<_> = (0..150).map(|n| frame(&mut rig.near, FAR, 60, n)).collect();
        rig.near.send(&mut tx).unwrap();
        assert!(tx.is_empty());
        let numbers: Vec<_> = receive(&mut rig.far, 150).iter().map(|frame| frame.bytes()[17]).collect();
        assert_eq!(numbers, (0..150).collect::<Vec<_>>());
    }

    fn frames_do_not_wait_in_the_queue_of_the_interface() {
        let mut rig = Veth::<PacketLink>::new(NetifOptions::default());
        if !limit("near", "rate 8bit burst 1000 limit 1000") {
            return skip("frames_do_not_wait_in_the_queue_of_the_interface", "tc (iproute2) and the kernel's tbf queue");
        }
        let frames: Vec<_> = (0..200).map(|seed| frame(&mut rig.near, FAR, 900, seed)).collect();
        assert_eq!(send(&mut rig.near, frames), 0);
        assert_eq!(receive(&mut rig.far, 200).len(), 200);
        assert_eq!(rig.near.counters().tx_dropped, 0);
    }
}
