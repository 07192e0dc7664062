//! [`PnetLink`] over real (virtual) interfaces, each test in a network namespace of its own.

use std::time::{Duration, Instant};

use aoe_l2::Link;
use aoe_link::{OpenError, PnetLink, PnetOptions};
use aoe_wire::MacAddr;
use bdev::{AlignedBuf, IoBuf};

use crate::conformance::{self, Rig};
use crate::netns::{in_netns, inside, ip, limit, skip, tuntap};
use crate::{FAR, NEAR, frame, receive, receive_now, send, until, wait};

const TUN: &str = "access to /dev/net/tun";
const TBF: &str = "tc (iproute2) and the kernel's tbf queue";

/// Two interfaces that are each other's wire, both opened.
struct Veth {
    near: PnetLink,
    far: PnetLink,
}

impl Veth {
    fn new(options: PnetOptions) -> Self {
        create_veth();
        let mut veth = Self::open(options);
        // Until then the system drops frames without a word.
        until(&mut veth.near, |info| info.up);
        until(&mut veth.far, |info| info.up);
        veth
    }

    fn open(options: PnetOptions) -> Self {
        Self { near: PnetLink::open("near", options).unwrap(), far: PnetLink::open("far", options).unwrap() }
    }
}

fn create_veth() {
    create_veth_down();
    ip("link set near up");
    ip("link set far up");
}

fn create_veth_down() {
    ip("link add name near address 02:00:00:00:00:0a type veth peer name far address 02:00:00:00:00:0b");
}

/// Sends `frames` from the near end and comes back when they are in the sockets of the far end.
fn leave_waiting(rig: &mut Veth, frames: Vec<AlignedBuf>) {
    let sent = frames.len();
    let mut witness = PnetLink::open("far", PnetOptions::default()).unwrap();
    send(&mut rig.near, frames);
    assert_eq!(receive(&mut witness, sent).len(), sent);
}

impl Rig for Veth {
    type Link = PnetLink;

    fn near(&mut self) -> &mut PnetLink {
        &mut self.near
    }

    fn far(&mut self) -> &mut PnetLink {
        &mut self.far
    }

    fn set_mtu(&mut self, mtu: u32) {
        ip(&format!("link set near mtu {mtu}"));
        ip(&format!("link set far mtu {mtu}"));
    }

    fn set_up(&mut self, up: bool) {
        ip(if up { "link set near up" } else { "link set near down" });
    }

    fn dropped(&mut self) -> u64 {
        self.near.counters().tx_dropped
    }
}

/// Waits and receives for `span`; tells how often the link woke up.
fn count_wakeups(link: &mut PnetLink, span: Duration) -> usize {
    let start = Instant::now();
    let mut wakeups = 0;
    while start.elapsed() < span {
        if wait(link, span.saturating_sub(start.elapsed())) {
            wakeups += 1;
            link.recv(&mut Vec::new()).unwrap();
        }
    }
    wakeups
}

in_netns! {
    fn the_pnet_link_conforms() {
        conformance::run(&mut Veth::new(PnetOptions::default()));
    }

    fn the_pnet_link_conforms_with_payloads_aligned_to_pages() {
        let mut rig = Veth::new(PnetOptions { payload_align: 4096, ..PnetOptions::default() });
        assert_eq!(rig.near.info().payload_align, 4096);
        conformance::run(&mut rig);
    }

    fn an_interface_that_is_down_is_opened_and_serves_when_it_comes_up() {
        create_veth();
        ip("link set near down");
        let mut rig = Veth::open(PnetOptions::default());
        assert!(!rig.near.info().up);
        rig.set_up(true);
        until(&mut rig.near, |info| info.up);
        let request = frame(&mut rig.far, NEAR, 60, 1);
        send(&mut rig.far, [request]);
        assert_eq!(receive(&mut rig.near, 1).len(), 1);
    }

    fn a_link_that_is_down_does_not_spin() {
        let mut rig = Veth::new(PnetOptions::default());
        rig.set_up(false);
        until(&mut rig.near, |info| !info.up);
        let wakeups = count_wakeups(&mut rig.near, Duration::from_millis(200));
        assert!(wakeups < 10, "{wakeups} wakeups in 200 ms");
        let wakeups = count_wakeups(&mut rig.far, Duration::from_millis(200));
        assert!(wakeups < 10, "{wakeups} wakeups of the other end in 200 ms");
    }

    fn a_lost_carrier_takes_the_link_down() {
        let mut rig = Veth::new(PnetOptions::default());
        ip("link set far down");
        until(&mut rig.near, |info| !info.up);
        ip("link set far up");
        until(&mut rig.near, |info| info.up);
    }

    fn an_interface_that_was_created_anew_is_told_although_it_looks_the_same() {
        create_veth_down();
        let mut link = PnetLink::open("near", PnetOptions::default()).unwrap();
        receive_now(&mut link);
        let before = link.info();
        ip("link del near");
        create_veth_down();
        until(&mut link, |info| info.generation > before.generation);
        assert_eq!((link.info().up, link.info().mac), (false, before.mac));
    }

    fn down_and_up_before_anybody_looked_is_told() {
        let mut rig = Veth::new(PnetOptions::default());
        receive_now(&mut rig.near);
        let before = rig.near.info();
        rig.set_up(false);
        rig.set_up(true);
        until(&mut rig.near, |info| info.generation > before.generation && info.up);
    }

    fn another_address_is_followed() {
        let mut rig = Veth::new(PnetOptions::default());
        let before = rig.near.info().generation;
        ip("link set near address 02:00:00:00:00:0c");
        let mac = MacAddr([2, 0, 0, 0, 0, 0x0c]);
        until(&mut rig.near, |info| info.mac == mac && info.generation > before);
        let request = frame(&mut rig.far, mac, 60, 1);
        send(&mut rig.far, [request]);
        assert_eq!(receive(&mut rig.near, 1).len(), 1);
    }

    fn an_interface_that_is_removed_and_created_anew_serves_again() {
        let mut rig = Veth::new(PnetOptions::default());
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

    fn one_that_is_no_ethernet_in_the_place_of_the_interface_does_not_serve() {
        let mut rig = Veth::new(PnetOptions::default());
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

    fn frames_that_wait_survive_a_larger_mtu() {
        let mut rig = Veth::new(PnetOptions::default());
        let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 1514, seed)).collect();
        leave_waiting(&mut rig, frames);
        rig.set_mtu(9000);
        let rx = receive(&mut rig.far, 100);
        assert_eq!(rx.len(), 100);
        assert!(rx.iter().all(|frame| frame.capacity() >= 9014));
        assert_eq!(rig.far.info().mtu, 9000);
    }

    fn frames_that_wait_survive_the_link_going_down() {
        let mut rig = Veth::new(PnetOptions::default());
        let frames = (0..100).map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        leave_waiting(&mut rig, frames);
        ip("link set far down");
        assert_eq!(receive(&mut rig.far, 100).len(), 100);
        assert!(!rig.far.info().up);
    }

    fn an_mtu_that_carries_no_sector_takes_the_link_down() {
        let mut rig = Veth::new(PnetOptions::default());
        rig.set_mtu(547);
        until(&mut rig.near, |info| info.mtu == 547 && !info.up);
        rig.set_mtu(1500);
        until(&mut rig.near, |info| info.mtu == 1500 && info.up);
    }

    fn a_frame_longer_than_the_mtu_allows_is_refused_and_counted() {
        let mut rig = Veth::new(PnetOptions::default());
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

    fn frames_for_other_hosts_do_not_arrive_on_a_promiscuous_interface() {
        let mut rig = Veth::new(PnetOptions::default());
        ip("link set far promisc on");
        let other = frame(&mut rig.near, MacAddr([2, 0, 0, 0, 0, 0x0c]), 60, 1);
        let ours = frame(&mut rig.near, FAR, 60, 2);
        send(&mut rig.near, [other, ours]);
        let rx = receive(&mut rig.far, 2);
        assert_eq!(rx.len(), 1);
        assert_eq!(rx[0].bytes()[14..18], [0, 0, 0, 2]);
    }

    fn frames_of_a_vlan_without_interface_do_not_arrive() {
        let mut rig = Veth::new(PnetOptions::default());
        for (vid, arrive) in [(5, 0), (0, 1)] {
            let mut tagged = frame(&mut rig.near, FAR, 64, 1);
            tagged.bytes_mut()[12..18].copy_from_slice(&[0x81, 0, 0, vid, 0x88, 0xa2]);
            send(&mut rig.near, [tagged]);
            let rx = receive(&mut rig.far, 1);
            assert_eq!(rx.len(), arrive, "VLAN {vid}");
            assert!(rx.iter().all(|frame| frame.bytes().len() == 60), "the tag is not stripped");
        }
    }

    fn frames_that_nobody_reads_are_counted() {
        let mut rig = Veth::new(PnetOptions { recv_buffer: 64 << 10, ..PnetOptions::default() });
        let frames = (0..500).map(|seed| frame(&mut rig.near, FAR, 1000, seed)).collect();
        leave_waiting(&mut rig, frames);
        let arrived = receive_now(&mut rig.far).len() as u64;
        let lost = rig.far.counters().rx_overflow;
        assert!(lost > 0);
        assert_eq!(arrived + lost, 500);
        assert_eq!(rig.far.counters().rx_overflow, lost, "reading the counter does not change it");
    }

    fn the_receive_buffer_is_as_large_as_asked_for_or_as_the_system_allows() {
        create_veth();
        let link = PnetLink::open("near", PnetOptions::default()).unwrap();
        let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
        let limit: usize = limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(212_992);
        assert!(link.recv_buffer() >= (8 << 20).min(limit), "{} bytes", link.recv_buffer());
        let small = PnetLink::open("near", PnetOptions { recv_buffer: 65_536, ..PnetOptions::default() }).unwrap();
        assert!(small.recv_buffer() < link.recv_buffer());
        let large = PnetLink::open("near", PnetOptions { recv_buffer: usize::MAX, ..PnetOptions::default() }).unwrap();
        assert!(large.recv_buffer() >= link.recv_buffer());
    }

    fn an_exhausted_pool_leaves_frames_in_the_socket_without_spinning() {
        let mut rig = Veth::new(PnetOptions { pool: 4, ..PnetOptions::default() });
        rig.near = PnetLink::open("near", PnetOptions::default()).unwrap();
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

    fn a_full_queue_of_the_interface_delays_frames_and_loses_none() {
        let mut rig = Veth::new(PnetOptions::default());
        if !limit("near", "rate 50mbit burst 2000 limit 4000") {
            return skip("a_full_queue_of_the_interface_delays_frames_and_loses_none", TBF);
        }
        let frames: Vec<_> = (0..100).map(|seed| frame(&mut rig.near, FAR, 1000, seed)).collect();
        let turns = send(&mut rig.near, frames);
        assert!(turns > 0, "the queue was never full");
        assert!(turns < 1000, "{turns} turns: spins");
        assert_eq!(receive(&mut rig.far, 100).len(), 100);
        assert_eq!(rig.near.counters().tx_dropped, 0);
    }

    fn a_queue_that_stays_full_costs_frames_and_no_time() {
        let mut rig = Veth::new(PnetOptions::default());
        if !limit("near", "rate 8bit burst 1000 limit 1000") {
            return skip("a_queue_that_stays_full_costs_frames_and_no_time", TBF);
        }
        let frames: Vec<_> = (0..200).map(|seed| frame(&mut rig.near, FAR, 900, seed)).collect();
        let start = Instant::now();
        send(&mut rig.near, frames);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(rig.near.counters().tx_dropped > 150, "{:?}", rig.near.counters());
    }

    fn a_full_socket_keeps_frames_until_there_is_room() {
        let mut rig = Veth::new(PnetOptions::default());
        if !limit("near", "rate 200mbit burst 5000 limit 10000000") {
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

    fn a_peer_that_takes_no_long_frames_does_not_hold_up_short_ones() {
        let mut rig = Veth::new(PnetOptions::default());
        ip("link set near mtu 9000");
        until(&mut rig.near, |info| info.mtu == 9000);
        let frames = [9014, 60, 9014, 60].map(|len| frame(&mut rig.near, FAR, len, len as u32));
        send(&mut rig.near, frames);
        assert_eq!(receive(&mut rig.far, 2).len(), 2);
    }

    fn the_loopback_interface_serves() {
        ip("link set lo up");
        let mut link = PnetLink::open("lo", PnetOptions::default()).unwrap();
        assert_eq!((link.info().mac, link.info().mtu), (MacAddr::ZERO, 65_536));
        let longest = frame(&mut link, MacAddr::ZERO, 65_536 + 14, 1);
        let sent = longest.bytes().to_vec();
        send(&mut link, [longest]);
        let rx = receive(&mut link, 1);
        assert_eq!(rx.len(), 1);
        assert!(rx[0].bytes() == sent);
    }

    fn an_mtu_beyond_every_aoe_frame_takes_no_more_memory() {
        ip("link set lo up mtu 2000000000");
        let mut link = PnetLink::open("lo", PnetOptions::default()).unwrap();
        assert!(link.info().mtu >= 255 * 512 + 22, "255 sectors fit");
        assert!(link.alloc().unwrap().capacity() <= 128 << 10);
    }

    fn an_unknown_interface_is_refused_with_those_that_exist() {
        create_veth();
        for name in ["eth9", "", "a-name-of-more-than-15-bytes", "near\0"] {
            let error = PnetLink::open(name, PnetOptions::default()).unwrap_err();
            assert!(matches!(error, OpenError::Unknown { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{name:?} does not exist")), "{text}");
            assert!(["lo", "near", "far"].iter().all(|name| text.contains(name)), "{text}");
        }
    }

    fn an_interface_that_is_not_ethernet_like_is_refused() {
        if !tuntap("tun0", "tun") || !tuntap("tap0", "tap") {
            return skip("an_interface_that_is_not_ethernet_like_is_refused", TUN);
        }
        let error = PnetLink::open("tun0", PnetOptions::default()).unwrap_err();
        assert!(error.to_string().contains(r#"interface "tun0" is not Ethernet-like"#), "{error}");
        PnetLink::open("tap0", PnetOptions::default()).unwrap();
        ip("link add name bridge0 type bridge");
        PnetLink::open("bridge0", PnetOptions::default()).unwrap();
    }

    fn an_mtu_below_548_is_refused_with_the_remedy() {
        create_veth();
        ip("link set near mtu 547");
        let error = PnetLink::open("near", PnetOptions::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"interface "near" has an MTU of 547, below 548: ip link set near mtu 1500"#
        );
        ip("link set near mtu 548");
        PnetLink::open("near", PnetOptions::default()).unwrap();
    }
}

/// Runs the test again without `CAP_NET_RAW`.
#[test]
fn a_missing_permission_is_told_with_the_remedy() {
    let name = concat!(module_path!(), "::a_missing_permission_is_told_with_the_remedy");
    let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        return skip(name, "setpriv (util-linux)");
    }
    if inside(name, &without) {
        let error = PnetLink::open("lo", PnetOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::Permission { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(r#"interface "lo": no permission to open a raw socket: run as root"#),
            "{text}"
        );
        assert!(text.contains("setcap cap_net_raw+ep /"), "{text}");
        // What does not need the permission is told first.
        let error = PnetLink::open("eth9", PnetOptions::default()).unwrap_err();
        assert!(matches!(error, OpenError::Unknown { .. }), "{error}");
    }
}
