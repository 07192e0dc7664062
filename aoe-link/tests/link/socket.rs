//! Every link that has a packet socket only: what becomes of frames in its buffers and queues.

use std::time::{Duration, Instant};

use aoe_l2::Frame;
use aoe_link::NetifOptions;
use aoe_wire::MacAddr;
use bdev::IoBuf;

use crate::conformance::{self, Rig};
use crate::netif::tests_of;
use crate::netns::{ip, skip};
use crate::veth::{Netif, TBF, Veth, count_wakeups, create_veth, leave_waiting, slow_down};
use crate::{FAR, frame, receive, receive_now, send, until, wait, whole};

/// Runs tests, which are generic over the link, with each.
macro_rules! over_every_socket {
    ($(fn $name:ident<L>() $body:block)+) => {
        $(fn $name<L: Netif>() $body)+

        #[cfg(feature = "pnet")]
        tests_of!(pnet, PnetLink, [$($name)+]);
        #[cfg(feature = "packet")]
        tests_of!(packet, PacketLink, [$($name)+]);
    };
}

over_every_socket! {
    fn the_link_conforms_with_payloads_aligned_to_pages<L>() {
        let mut rig = Veth::<L>::new(NetifOptions { payload_align: 4096, ..NetifOptions::default() });
        assert_eq!(rig.near.info().payload_align, 4096);
        conformance::run(&mut rig);
    }

    fn frames_that_wait_survive_a_larger_mtu<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 1514, seed)).collect();
        leave_waiting(&mut rig, frames);
        rig.set_mtu(9000);
        let rx = receive(&mut rig.far, 100);
        assert_eq!(rx.len(), 100);
        assert!(rx.iter().all(|frame| frame.capacity() >= 9014));
        assert_eq!(rig.far.info().mtu, 9000);
    }

    fn frames_that_wait_survive_the_link_going_down<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        ip("link set far down");
        assert_eq!(receive(&mut rig.far, 100).len(), 100);
        assert!(!rig.far.info().up);
    }

    fn a_frame_longer_than_the_mtu_allows_is_refused_and_counted<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        rig.set_mtu(9000);
        until(&mut rig.near, |info| info.mtu == 9000);
        let frames = vec![frame(&mut rig.near, FAR, 9014, 1), frame(&mut rig.near, FAR, 60, 2)];
        leave_waiting(&mut rig, frames);
        ip("link set far mtu 1500");
        let rx = receive(&mut rig.far, 1);
        assert_eq!(rx.len(), 1);
        assert_eq!(rx[0].bytes().len(), 60);
        assert_eq!(rig.far.counters().rx_refused, 1);
    }

    fn frames_that_nobody_reads_are_counted<L>() {
        let mut rig = Veth::<L>::new(NetifOptions { recv_buffer: 64 << 10, ..NetifOptions::default() });
        let frames = (0..500).map(|seed| frame(&mut rig.near, FAR, 1000, seed)).collect();
        leave_waiting(&mut rig, frames);
        let arrived = receive_now(&mut rig.far).len() as u64;
        let lost = rig.far.counters().rx_overflow;
        assert!(lost > 0);
        assert_eq!(arrived + lost, 500);
        assert_eq!(rig.far.counters().rx_overflow, lost, "reading the counter does not change it");
    }

    fn the_receive_buffer_is_as_large_as_asked_for_or_as_the_system_allows<L>() {
        create_veth();
        let link = L::open("near", NetifOptions::default()).unwrap();
        let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
        let limit: usize = limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(212_992);
        assert!(link.recv_buffer() >= (8 << 20).min(limit), "{} bytes", link.recv_buffer());
        let small = L::open("near", NetifOptions { recv_buffer: 65_536, ..NetifOptions::default() }).unwrap();
        assert!(small.recv_buffer() < link.recv_buffer());
        let large = L::open("near", NetifOptions { recv_buffer: usize::MAX, ..NetifOptions::default() }).unwrap();
        assert!(large.recv_buffer() >= link.recv_buffer());
    }

    fn an_exhausted_pool_leaves_frames_in_the_socket_without_spinning<L>() {
        let mut rig = Veth::<L>::with(NetifOptions::default(), NetifOptions { pool: 4, ..NetifOptions::default() });
        let frames = (0..10).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        let mut rx = receive(&mut rig.far, 4);
        assert_eq!(rx.len(), 4);
        let mut more = Vec::new();
        rig.far.recv(&mut more).unwrap();
        assert!(more.is_empty() && rig.far.alloc().is_none());
        assert!(!wait(&rig.far, Duration::from_millis(20)), "readable although nothing can be received");

        let mut seen = 4;
        while let Some(frame) = rx.pop() {
            rig.far.recycle(frame);
            if seen < 10 {
                assert!(wait(&rig.far, Duration::from_secs(5)), "not readable although there is room again");
                rig.far.recv(&mut rx).unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, 10);
        assert_eq!(rig.far.counters().rx_overflow, 0);
    }

    fn frames_that_wait_while_the_pool_runs_dry_are_told_of_when_it_does_not<L>() {
        let mut rig = Veth::<L>::with(NetifOptions::default(), NetifOptions { pool: 32, ..NetifOptions::default() });
        let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        let mut seen = 0;
        while seen < 100 {
            let rx = receive_now(&mut rig.far);
            seen += rx.len();
            assert!(rx.len() == 32 || seen == 100, "{} of 32 frames", rx.len());
            assert!(!wait(&rig.far, Duration::from_millis(20)), "readable although nothing can be received");
            rx.into_iter().for_each(|frame| rig.far.recycle(frame));
        }
    }

    fn a_full_queue_of_the_interface_delays_frames_and_loses_none<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        if !slow_down(&mut rig, "rate 50mbit burst 2000 limit 4000") {
            return skip("a_full_queue_of_the_interface_delays_frames_and_loses_none", TBF);
        }
        let frames: Vec<_> = (0..100).map(|seed| frame(&mut rig.near, FAR, 1000, seed)).collect();
        let turns = send(&mut rig.near, frames);
        assert!(turns > 0, "the queue was never full");
        assert!(turns < 1000, "{turns} turns: spins");
        assert_eq!(receive(&mut rig.far, 100).len(), 100);
        assert_eq!(rig.near.counters().tx_dropped, 0);
    }

    fn a_queue_that_stays_full_costs_frames_and_no_time<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        if !slow_down(&mut rig, "rate 8bit burst 1000 limit 1000") {
            return skip("a_queue_that_stays_full_costs_frames_and_no_time", TBF);
        }
        let frames: Vec<_> = (0..200).map(|seed| frame(&mut rig.near, FAR, 900, seed)).collect();
        let start = Instant::now();
        send(&mut rig.near, frames);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(rig.near.counters().tx_dropped > 150, "{:?}", rig.near.counters());
    }

    fn a_full_socket_keeps_frames_until_there_is_room<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        if !slow_down(&mut rig, "rate 200mbit burst 5000 limit 10000000") {
            return skip("a_full_socket_keeps_frames_until_there_is_room", TBF);
        }
        let frames: Vec<_> = (0..500).map(|seed| frame(&mut rig.near, FAR, 1514, seed)).collect();
        let turns = send(&mut rig.near, frames);
        assert!(turns > 0, "the socket was never full");
        assert!(turns < 1000, "{turns} turns: spins");
        assert_eq!(receive(&mut rig.far, 500).len(), 500);
        assert_eq!(rig.near.counters().tx_dropped, 0);
        let wakeups = count_wakeups(&mut rig.near, Duration::from_millis(50));
        assert!(wakeups < 3, "{wakeups} wakeups although nothing waits");
    }

    fn who_waits_for_a_disk_is_not_kept_awake<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        assert!(count_wakeups(&mut rig.far, Duration::from_millis(50)) < 10);
        for round in 0..300 {
            let next = frame(&mut rig.near, FAR, 60, round);
            send(&mut rig.near, [next]);
            let held = receive(&mut rig.far, 1);
            assert_eq!(held.len(), 1);
            assert!(receive_now(&mut rig.far).is_empty());
            assert!(!wait(&rig.far, Duration::ZERO), "round {round}: the event is readable, and nothing has come");
            held.into_iter().for_each(|frame| rig.far.recycle(frame));
        }
    }

    fn the_loopback_interface_serves<L>() {
        ip("link set lo up");
        let mut link = L::open("lo", NetifOptions::default()).unwrap();
        assert_eq!((link.info().mac, link.info().mtu), (MacAddr::ZERO, 65_536));
        let longest = frame(&mut link, MacAddr::ZERO, 65_536 + 14, 1);
        let sent = whole(&longest);
        send(&mut link, [longest]);
        let rx = receive(&mut link, 1);
        assert_eq!(rx.len(), 1);
        assert!(whole(&rx[0]) == sent);
    }

    fn an_mtu_beyond_every_aoe_frame_takes_no_more_memory<L>() {
        ip("link set lo up mtu 2000000000");
        let mut link = L::open("lo", NetifOptions::default()).unwrap();
        assert!(link.info().mtu >= 255 * 512 + 22, "255 sectors fit");
        assert!(link.alloc().unwrap().capacity() <= 128 << 10);
    }
}
