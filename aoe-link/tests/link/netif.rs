//! Every link over a network interface, on real (virtual) ones, each test in a network namespace of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aoe_link::{NetifOptions, OpenError};
use aoe_wire::MacAddr;
use bdev::IoBuf;

use crate::conformance::{self, Rig};
use crate::netns::{inside, ip, skip, tuntap};
use crate::veth::{Netif, TBF, Veth, count_wakeups, create_veth, create_veth_down, leave_waiting, slow_down};
use crate::{FAR, NEAR, frame, receive, receive_now, send, until, wait};

const TUN: &str = "access to /dev/net/tun";

/// Defines the tests `$name` of the link `$link`.
macro_rules! tests_of {
    ($module:ident, $link:ident, [$($name:ident)+]) => {
        mod $module {
            use aoe_link::$link;

            use crate::netns::in_netns;

            in_netns! {$(
                fn $name() {
                    super::$name::<$link>();
                }
            )+}

            #[test]
            fn a_missing_permission_is_told_with_the_remedy() {
                super::a_missing_permission_is_told_with_the_remedy::<$link>(concat!(
                    module_path!(),
                    "::a_missing_permission_is_told_with_the_remedy"
                ));
            }
        }
    };
}

/// Runs tests, which are generic over the link, with each.
macro_rules! over_every_link {
    ($(fn $name:ident<L>() $body:block)+) => {
        $(fn $name<L: Netif>() $body)+

        #[cfg(feature = "pnet")]
        tests_of!(pnet, PnetLink, [$($name)+]);
        #[cfg(feature = "packet")]
        tests_of!(packet, PacketLink, [$($name)+]);
    };
}

over_every_link! {
    fn the_link_conforms<L>() {
        conformance::run(&mut Veth::<L>::new(NetifOptions::default()));
    }

    fn the_link_conforms_with_payloads_aligned_to_pages<L>() {
        let mut rig = Veth::<L>::new(NetifOptions { payload_align: 4096, ..NetifOptions::default() });
        assert_eq!(rig.near.info().payload_align, 4096);
        conformance::run(&mut rig);
    }

    fn an_interface_that_is_down_is_opened_and_serves_when_it_comes_up<L>() {
        create_veth();
        ip("link set near down");
        let mut rig = Veth::<L>::open(NetifOptions::default());
        assert!(!rig.near.info().up);
        rig.set_up(true);
        until(&mut rig.near, |info| info.up);
        let request = frame(&mut rig.far, NEAR, 60, 1);
        send(&mut rig.far, [request]);
        assert_eq!(receive(&mut rig.near, 1).len(), 1);
    }

    fn a_link_that_is_down_does_not_spin<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        rig.set_up(false);
        until(&mut rig.near, |info| !info.up);
        let wakeups = count_wakeups(&mut rig.near, Duration::from_millis(200));
        assert!(wakeups < 10, "{wakeups} wakeups in 200 ms");
        let wakeups = count_wakeups(&mut rig.far, Duration::from_millis(200));
        assert!(wakeups < 10, "{wakeups} wakeups of the other end in 200 ms");
    }

    fn a_lost_carrier_takes_the_link_down<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link set far down");
        until(&mut rig.near, |info| !info.up);
        ip("link set far up");
        until(&mut rig.near, |info| info.up);
    }

    fn frames_sent_without_a_carrier_take_no_time<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link set far down");
        until(&mut rig.near, |info| !info.up);
        let frames: Vec<_> = (0..200).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        let start = Instant::now();
        send(&mut rig.near, frames);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }

    fn an_interface_that_was_created_anew_is_told_although_it_looks_the_same<L>() {
        create_veth_down();
        let mut link = L::open("near", NetifOptions::default()).unwrap();
        receive_now(&mut link);
        let before = link.info();
        ip("link del near");
        create_veth_down();
        until(&mut link, |info| info.generation > before.generation);
        assert_eq!((link.info().up, link.info().mac), (false, before.mac));
    }

    fn down_and_up_before_anybody_looked_is_told<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        receive_now(&mut rig.near);
        let before = rig.near.info();
        rig.set_up(false);
        rig.set_up(true);
        until(&mut rig.near, |info| info.generation > before.generation && info.up);
    }

    fn a_frame_sent_before_anybody_looked_is_not_lost_to_what_the_socket_had_to_tell<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        receive_now(&mut rig.near);
        let before = rig.near.info().generation;
        rig.set_up(false);
        rig.set_up(true);
        let request = frame(&mut rig.near, FAR, 60, 1);
        rig.near.send(&mut VecDeque::from([request])).unwrap();
        assert_eq!(rig.near.counters().tx_dropped, 0);
        until(&mut rig.near, |info| info.generation > before && info.up);
    }

    fn another_address_is_followed<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        let before = rig.near.info().generation;
        ip("link set near address 02:00:00:00:00:0c");
        let mac = MacAddr([2, 0, 0, 0, 0, 0x0c]);
        until(&mut rig.near, |info| info.mac == mac && info.generation > before);
        let request = frame(&mut rig.far, mac, 60, 1);
        send(&mut rig.far, [request]);
        assert_eq!(receive(&mut rig.near, 1).len(), 1);
    }

    fn an_interface_that_is_removed_and_created_anew_serves_again<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link del near");
        for link in [&mut rig.near, &mut rig.far] {
            until(link, |info| !info.up);
            let wakeups = count_wakeups(link, Duration::from_millis(50));
            assert!(wakeups < 10, "{wakeups} wakeups in 50 ms");
            let lost = frame(link, FAR, 60, 1);
            send(link, [lost]);
            assert_eq!(link.counters().tx_dropped, 1);
        }
        let gone = rig.near.info().generation;
        create_veth();
        until(&mut rig.near, |info| info.up && info.generation > gone);
        until(&mut rig.far, |info| info.up);
        let request = frame(&mut rig.near, FAR, 60, 2);
        send(&mut rig.near, [request]);
        assert_eq!(receive(&mut rig.far, 1)[0].bytes()[14..18], [0, 0, 0, 2]);
        let reply = frame(&mut rig.far, NEAR, 1514, 3);
        send(&mut rig.far, [reply]);
        assert_eq!(receive(&mut rig.near, 1)[0].bytes()[14..18], [0, 0, 0, 3]);
    }

    fn one_that_is_no_ethernet_in_the_place_of_the_interface_does_not_serve<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link del near");
        until(&mut rig.near, |info| !info.up);
        if !tuntap("near", "tun") {
            return skip("one_that_is_no_ethernet_in_the_place_of_the_interface_does_not_serve", TUN);
        }
        let before = rig.near.info().generation;
        count_wakeups(&mut rig.near, Duration::from_millis(50));
        assert!(!rig.near.info().up);
        assert_eq!(rig.near.info().generation, before);
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

    fn an_mtu_that_carries_no_sector_takes_the_link_down<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        rig.set_mtu(547);
        until(&mut rig.near, |info| info.mtu == 547 && !info.up);
        rig.set_mtu(1500);
        until(&mut rig.near, |info| info.mtu == 1500 && info.up);
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

    fn frames_for_other_hosts_do_not_arrive_on_a_promiscuous_interface<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link set far promisc on");
        let other = frame(&mut rig.near, MacAddr([2, 0, 0, 0, 0, 0x0c]), 60, 1);
        let ours = frame(&mut rig.near, FAR, 60, 2);
        send(&mut rig.near, [other, ours]);
        let rx = receive(&mut rig.far, 2);
        assert_eq!(rx.len(), 1);
        assert_eq!(rx[0].bytes()[14..18], [0, 0, 0, 2]);
    }

    fn frames_of_a_vlan_without_interface_do_not_arrive<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        for (vid, arrive) in [(5, 0), (0, 1)] {
            let mut tagged = frame(&mut rig.near, FAR, 64, 1);
            tagged.bytes_mut()[12..18].copy_from_slice(&[0x81, 0, 0, vid, 0x88, 0xa2]);
            send(&mut rig.near, [tagged]);
            let rx = receive(&mut rig.far, 1);
            assert_eq!(rx.len(), arrive, "VLAN {vid}");
            assert!(rx.iter().all(|frame| frame.bytes().len() == 60), "the tag is not stripped");
        }
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
        let mut rig = Veth::<L>::new(NetifOptions { pool: 4, ..NetifOptions::default() });
        rig.near = L::open("near", NetifOptions::default()).unwrap();
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

    fn a_link_is_readable_until_it_is_read_to_its_end_and_when_frames_come_after_that<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        for round in 0..3 {
            let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
            leave_waiting(&mut rig, frames);
            let mut rx = Vec::new();
            while rx.len() < 100 {
                assert!(wait(&rig.far, Duration::ZERO), "round {round}: not readable after {} frames", rx.len());
                rig.far.recv(&mut rx).unwrap();
            }
            assert!(receive_now(&mut rig.far).is_empty());
            assert!(!wait(&rig.far, Duration::from_millis(20)), "round {round}: readable although all is read");
            rx.into_iter().for_each(|frame| rig.far.recycle(frame));
        }
    }

    fn frames_that_wait_while_the_pool_runs_dry_are_told_of_when_it_does_not<L>() {
        let mut rig = Veth::<L>::new(NetifOptions { pool: 32, ..NetifOptions::default() });
        rig.near = L::open("near", NetifOptions::default()).unwrap();
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

    fn a_peer_that_takes_no_long_frames_does_not_hold_up_short_ones<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link set near mtu 9000");
        until(&mut rig.near, |info| info.mtu == 9000);
        let frames = [9014, 60, 9014, 60].map(|len| frame(&mut rig.near, FAR, len, len as u32));
        send(&mut rig.near, frames);
        assert_eq!(receive(&mut rig.far, 2).len(), 2);
    }

    fn the_loopback_interface_serves<L>() {
        ip("link set lo up");
        let mut link = L::open("lo", NetifOptions::default()).unwrap();
        assert_eq!((link.info().mac, link.info().mtu), (MacAddr::ZERO, 65_536));
        let longest = frame(&mut link, MacAddr::ZERO, 65_536 + 14, 1);
        let sent = longest.bytes().to_vec();
        send(&mut link, [longest]);
        let rx = receive(&mut link, 1);
        assert_eq!(rx.len(), 1);
        assert!(rx[0].bytes() == sent);
    }

    fn an_mtu_beyond_every_aoe_frame_takes_no_more_memory<L>() {
        ip("link set lo up mtu 2000000000");
        let mut link = L::open("lo", NetifOptions::default()).unwrap();
        assert!(link.info().mtu >= 255 * 512 + 22, "255 sectors fit");
        assert!(link.alloc().unwrap().capacity() <= 128 << 10);
    }

    fn an_unknown_interface_is_refused_with_those_that_exist<L>() {
        create_veth();
        for name in ["eth9", "", "a-name-of-more-than-15-bytes", "near\0"] {
            let error = L::open(name, NetifOptions::default()).unwrap_err();
            assert!(matches!(error, OpenError::Unknown { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{name:?} does not exist")), "{text}");
            assert!(["lo", "near", "far"].iter().all(|name| text.contains(name)), "{text}");
        }
    }

    fn an_interface_that_is_not_ethernet_like_is_refused<L>() {
        if !tuntap("tun0", "tun") || !tuntap("tap0", "tap") {
            return skip("an_interface_that_is_not_ethernet_like_is_refused", TUN);
        }
        let error = L::open("tun0", NetifOptions::default()).unwrap_err();
        assert!(error.to_string().contains(r#"interface "tun0" is not Ethernet-like"#), "{error}");
        L::open("tap0", NetifOptions::default()).unwrap();
        ip("link add name bridge0 type bridge");
        L::open("bridge0", NetifOptions::default()).unwrap();
    }

    fn an_mtu_below_548_is_refused_with_the_remedy<L>() {
        create_veth();
        ip("link set near mtu 547");
        let error = L::open("near", NetifOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"interface "near" has an MTU of 547, below 548: ip link set near mtu 1500"#
        );
        ip("link set near mtu 548");
        L::open("near", NetifOptions::default()).unwrap();
    }
}

/// Runs the test called `name` again without `CAP_NET_RAW`.
fn a_missing_permission_is_told_with_the_remedy<L: Netif>(name: &str) {
    let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        return skip(name, "setpriv (util-linux)");
    }
    if inside(name, &without) {
        let error = L::open("lo", NetifOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::Permission { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(r#"interface "lo": no permission to open a raw socket: run as root"#),
            "{text}"
        );
        assert!(text.contains("setcap cap_net_raw+ep /"), "{text}");
        // What does not need the permission is told first.
        let error = L::open("eth9", NetifOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::Unknown { .. }), "{error}");
    }
}
