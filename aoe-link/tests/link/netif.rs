//! Every link over a network interface, on real (virtual) ones, each test in a network namespace of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aoe_link::{Accept, NetifOptions, OpenError};
use aoe_wire::{Address, MacAddr};
use bdev::IoBuf;

use crate::conformance::{self, Rig};
use crate::netns::{inside, ip, skip, tuntap};
use crate::veth::{Netif, Veth, count_wakeups, create_veth, create_veth_down, leave_waiting};
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
        }
    };
}
pub(crate) use tests_of;

/// Runs tests, which are generic over the link, with each.
macro_rules! over_every_link {
    ($(fn $name:ident<L>() $body:block)+) => {
        $(fn $name<L: Netif>() $body)+

        #[cfg(feature = "pnet")]
        tests_of!(pnet, PnetLink, [$($name)+]);
        #[cfg(feature = "packet")]
        tests_of!(packet, PacketLink, [$($name)+]);
        #[cfg(all(feature = "xdp", target_pointer_width = "64"))]
        tests_of!(xdp, XdpLink, [$($name)+]);
    };
}

over_every_link! {
    fn the_link_conforms<L>() {
        conformance::run(&mut Veth::<L>::new(NetifOptions::default()));
    }

    fn an_interface_that_is_down_is_opened_and_serves_when_it_comes_up<L>() {
        create_veth();
        ip("link set near down");
        let mut rig = Veth::<L>::open(NetifOptions::default(), NetifOptions::default());
        assert!(!rig.near.info().up);
        rig.set_up(true);
        until(&mut rig.near, |info| info.up);
        until(&mut rig.far, |info| info.up);
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

    fn an_mtu_that_carries_no_sector_takes_the_link_down<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        rig.set_mtu(547);
        until(&mut rig.near, |info| info.mtu == 547 && !info.up);
        rig.set_mtu(1500);
        until(&mut rig.near, |info| info.mtu == 1500 && info.up);
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

    fn a_link_of_a_target_receives_its_addresses_and_every_wildcard_alone<L>() {
        let own = vec![Address::new(7, 3), Address::new(7, 4)];
        let options = NetifOptions { accept: Accept::Target(own), ..NetifOptions::default() };
        let mut rig = Veth::<L>::with(NetifOptions::default(), options);
        let all = [(7, 2), (7, 3), (7, 4), (7, 5), (8, 3), (7, 255), (8, 255), (65_535, 255), (65_535, 9), (0, 0)];
        for (major, minor) in all {
            let mut request = frame(&mut rig.near, FAR, 60, 0x1000_0000);
            request.bytes_mut()[16..20].copy_from_slice(&[(major >> 8) as u8, major as u8, minor, 0]);
            send(&mut rig.near, [request]);
        }
        let mut arrived: Vec<_> = receive(&mut rig.far, all.len())
            .iter()
            .map(|frame| (u16::from_be_bytes([frame.bytes()[16], frame.bytes()[17]]), frame.bytes()[18]))
            .collect();
        // A link may receive them in two ways.
        arrived.sort_unstable();
        assert_eq!(arrived, [(7, 3), (7, 4), (7, 255), (8, 255), (65_535, 9), (65_535, 255)]);
        assert!(receive_now(&mut rig.near).is_empty());
    }

    fn a_link_of_an_initiator_receives_responses_alone<L>() {
        let options = NetifOptions { accept: Accept::Initiator, ..NetifOptions::default() };
        let mut rig = Veth::<L>::with(NetifOptions::default(), options);
        let frames = [0x1000_0001, 0x1800_0002, 0x1400_0003, 0x1c00_0004];
        let frames: Vec<_> = frames.into_iter().map(|seed| frame(&mut rig.near, FAR, 60, seed)).collect();
        send(&mut rig.near, frames);
        let numbers: Vec<_> = receive(&mut rig.far, 4).iter().map(|frame| frame.bytes()[17]).collect();
        assert_eq!(numbers, [2, 4]);
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
            let wakeups = count_wakeups(&mut rig.far, Duration::from_millis(5));
            assert!(!wait(&rig.far, Duration::from_millis(20)), "round {round}: still readable after {wakeups} looks");
            rx.into_iter().for_each(|frame| rig.far.recycle(frame));
        }
    }

    fn a_peer_that_takes_no_long_frames_does_not_hold_up_short_ones<L>() {
        let mut rig = Veth::<L>::new(NetifOptions::default());
        ip("link set near mtu 9000");
        until(&mut rig.near, |info| info.mtu == 9000);
        let frames = [9014, 60, 9014, 60].map(|len| frame(&mut rig.near, FAR, len, len as u32));
        send(&mut rig.near, frames);
        assert_eq!(receive(&mut rig.far, 2).len(), 2);
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

/// Defines the test of the link `$link` that `$name` is the name of.
macro_rules! a_missing_permission_is_told_with_the_remedy {
    ($name:ident, $link:ident) => {
        #[test]
        fn $name() {
            a_missing_permission_is_told_with_the_remedy::<aoe_link::$link>(concat!(
                module_path!(),
                "::",
                stringify!($name)
            ));
        }
    };
}

#[cfg(feature = "pnet")]
a_missing_permission_is_told_with_the_remedy!(pnet_tells_of_a_missing_permission_with_the_remedy, PnetLink);
#[cfg(feature = "packet")]
a_missing_permission_is_told_with_the_remedy!(
    packet_tells_of_a_missing_permission_with_the_remedy,
    PacketLink
);
#[cfg(all(feature = "xdp", target_pointer_width = "64"))]
a_missing_permission_is_told_with_the_remedy!(xdp_tells_of_a_missing_permission_with_the_remedy, XdpLink);

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
