//! What only an AF_XDP link has to bear: others on the interface, and its own end.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use aoe_link::{
    Accept, Link, LinkKind, NetLink, NetifOptions, OpenError, PacketLink, XdpError, XdpLink, XdpMode,
};
use aoe_wire::Address;
use bdev::IoBuf;

use crate::netns::{in_netns, ip, limit, macvlan, skip};
use crate::veth::{TBF, count_wakeups, create_veth};
use crate::{FAR, NEAR, frame, receive, receive_now, send, until, wait, whole};

/// For a target at e7.3.
fn for_target() -> NetifOptions {
    NetifOptions { accept: Accept::Target(vec![Address::new(7, 3)]), ..NetifOptions::default() }
}

/// A request to an address, of 60 bytes.
fn request<L: Link>(link: &mut L, shelf: u16, slot: u8, flags: u8) -> L::Frame {
    let mut request = frame(link, NEAR, 60, 1);
    let bytes = request.bytes_mut();
    bytes[14..16].copy_from_slice(&[flags, 0]);
    bytes[16..18].copy_from_slice(&shelf.to_be_bytes());
    bytes[18..20].copy_from_slice(&[slot, 0]);
    request
}

/// What `ip` says of the interface.
fn shown(interface: &str) -> String {
    let output = Command::new("ip").args(["-details", "link", "show", interface]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

in_netns! {
    fn requests_to_the_target_are_taken_and_all_other_frames_pass_to_the_kernel() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("near", for_target()).unwrap();
        assert_eq!(link.mode(), XdpMode::Native);
        let mut bystander = PacketLink::open("near", NetifOptions::default()).unwrap();
        let all = [(7, 3, 0x10), (7, 4, 0x10), (0xffff, 0xff, 0x10), (7, 0xff, 0x10), (7, 3, 0x18), (8, 3, 0x10)];
        let frames: Vec<_> = all.into_iter().map(|(shelf, slot, flags)| request(&mut far, shelf, slot, flags)).collect();
        send(&mut far, frames);
        let heads = |frames: Vec<Vec<u8>>| frames.into_iter().map(|frame| (frame[17], frame[18], frame[14])).collect::<Vec<_>>();
        let seen = heads(receive(&mut bystander, 5).iter().map(whole).collect());
        assert_eq!(seen, [(7, 4, 0x10), (0xff, 0xff, 0x10), (7, 0xff, 0x10), (7, 3, 0x18), (8, 3, 0x10)]);
        let mut taken = heads(receive(&mut link, 4).iter().map(whole).collect());
        taken.sort_unstable();
        assert_eq!(taken, [(7, 3, 0x10), (7, 3, 0x18), (7, 0xff, 0x10), (0xff, 0xff, 0x10)]);
        assert!(receive_now(&mut bystander).is_empty() && receive_now(&mut link).is_empty());
    }

    fn a_program_is_removed_with_its_link() {
        create_veth();
        let link = XdpLink::open("near", for_target()).unwrap();
        assert!(shown("near").contains("xdp"), "{}", shown("near"));
        drop(link);
        assert!(!shown("near").contains("xdp"), "{}", shown("near"));
    }

    fn a_second_program_is_refused_with_the_remedy_and_a_packet_socket_serves_beside_the_first() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut first = XdpLink::open("near", for_target()).unwrap();
        let error = XdpLink::open("near", for_target()).unwrap_err();
        assert!(matches!(error, OpenError::Xdp(XdpError::Busy { .. })), "{error:?}");
        assert!(error.to_string().contains("ip link set near xdp off"), "{error}");
        let other = NetifOptions { accept: Accept::Target(vec![Address::new(7, 4)]), ..NetifOptions::default() };
        let mut second = NetLink::open(LinkKind::Auto, "near", other).unwrap();
        assert_eq!(second.way(), "packet");
        let frames = [request(&mut far, 7, 3, 0x10), request(&mut far, 7, 4, 0x10)];
        send(&mut far, frames);
        assert_eq!(receive(&mut second, 1)[0].bytes()[18], 4);
        assert_eq!(receive(&mut first, 1)[0].bytes()[18], 3);
    }

    fn a_driver_that_knows_no_programs_is_served_behind_it() {
        create_veth();
        ip("link add above link near address 02:00:00:00:00:0c type macvlan mode bridge");
        ip("link set above up");
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("above", for_target()).unwrap();
        assert_eq!(link.mode(), XdpMode::Generic);
        let mut request = request(&mut far, 7, 3, 0x10);
        request.bytes_mut()[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x0c]);
        send(&mut far, [request]);
        let mut reply = receive(&mut link, 1).pop().expect("the request");
        reply.bytes_mut()[..6].copy_from_slice(&FAR.0);
        send(&mut link, [reply]);
        assert_eq!(receive(&mut far, 1).len(), 1);
    }

    fn an_mtu_of_more_than_three_pieces_is_refused_with_the_largest() {
        create_veth();
        ip("link set near mtu 20000");
        let error = XdpLink::open("near", for_target()).unwrap_err();
        assert!(error.to_string().contains("at most 10842"), "{error}");
        assert!(PacketLink::open("near", for_target()).is_ok());
    }

    fn what_is_chosen_says_why() {
        create_veth();
        let open = |kind| NetLink::open(kind, "near", for_target()).unwrap();
        let auto = open(LinkKind::Auto);
        assert_eq!((auto.way(), auto.why()), ("packet", "the fastest here: by AF_XDP the driver would copy, too"));
        assert!(!shown("near").contains("xdp"), "nothing was attached to find that out");
        assert_eq!(open(LinkKind::Xdp).way(), "xdp (native)");
        assert_eq!(open(LinkKind::Pnet).way(), "pnet");
        let initiator = NetifOptions { accept: Accept::Initiator, ..NetifOptions::default() };
        assert_eq!(NetLink::open(LinkKind::Auto, "near", initiator).unwrap().way(), "packet");
    }

    fn a_link_whose_memory_was_all_out_receives_again_when_it_came_back() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("near", NetifOptions { pool: 4, ..for_target() }).unwrap();
        let mut held = Vec::new();
        for _ in 0..24 {
            let frames: Vec<_> = (0..50).map(|_| request(&mut far, 7, 3, 0x10)).collect();
            send(&mut far, frames);
            held.extend(receive_now(&mut link));
        }
        assert!(held.len() >= 1028, "{}", held.len());
        let lost = link.counters().rx_overflow;
        assert_eq!(held.len() as u64 + lost, 1200, "each that was lost is counted, once");
        held.into_iter().for_each(|frame| link.recycle(frame));
        for _ in 0..3 {
            receive_now(&mut link).into_iter().for_each(|frame| link.recycle(frame));
            let frames: Vec<_> = (0..20).map(|_| request(&mut far, 7, 3, 0x10)).collect();
            send(&mut far, frames);
            let arrived = receive(&mut link, 20);
            assert_eq!(arrived.len(), 20);
            arrived.into_iter().for_each(|frame| link.recycle(frame));
        }
    }

    fn a_frame_of_another_link_is_not_taken_for_memory_of_this_one() {
        create_veth();
        let open = |name| XdpLink::open(name, for_target()).unwrap();
        let (mut near, mut far) = (open("near"), open("far"));
        let mut mine = near.alloc().unwrap();
        near.recycle(far.alloc().unwrap());
        near.send(&mut std::collections::VecDeque::from([far.alloc().unwrap()])).unwrap();
        aoe_link::Frame::set_len(&mut mine, 60);
        let others: Vec<_> = std::iter::from_fn(|| near.alloc()).collect();
        let place = |frame: &aoe_link::XdpFrame| frame.bytes().as_ptr();
        assert!(others.iter().all(|other| place(other) != place(&mine)));
    }

    fn frames_that_a_slow_driver_has_no_room_for_leave_when_it_has_though_nothing_more_is_sent() {
        create_veth();
        let name = "frames_that_a_slow_driver_has_no_room_for_leave_when_it_has_though_nothing_more_is_sent";
        // More than the kernel has places for, and less than that and the ring together.
        const MANY: usize = 3000;
        if !limit("near", "rate 400mbit burst 5000 limit 100000000") || !macvlan("top", "near") {
            return skip(name, TBF);
        }
        ip("link set top up");
        let mut far = PacketLink::open("far", NetifOptions { recv_buffer: 16 << 20, ..NetifOptions::default() }).unwrap();
        let mut link = XdpLink::open("top", NetifOptions { pool: MANY, ..NetifOptions::default() }).unwrap();
        until(&mut link, |info| info.up);
        let mut tx: VecDeque<_> = (0..MANY).map(|n| frame(&mut link, FAR, 1514, n as u32)).collect();
        link.send(&mut tx).unwrap();
        assert!(!tx.is_empty(), "the ring is full");
        link.send(&mut tx).unwrap();
        assert!(tx.is_empty(), "the ring has room, as the kernel took some");
        let (mut turns, mut arrived) = (0, 0);
        while arrived < MANY {
            turns += 1;
            assert!(turns < 10_000, "{turns} turns: spins");
            // The link is told to go on by nothing but its event.
            if wait(&link, Duration::from_millis(20)) {
                assert!(receive_now(&mut link).is_empty());
            } else {
                let rx = receive(&mut far, 1);
                assert!(!rx.is_empty(), "nothing tells when to go on: {arrived} frames have arrived");
                arrived += rx.len();
                rx.into_iter().for_each(|frame| far.recycle(frame));
            }
            let rx = receive_now(&mut far);
            arrived += rx.len();
            rx.into_iter().for_each(|frame| far.recycle(frame));
        }
        assert_eq!((arrived, link.counters().tx_dropped), (MANY, 0));
        assert!(!wait(&link, Duration::from_millis(20)), "there is nothing left to do");
    }

    fn wildcards_are_received_while_other_requests_never_cease() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("near", for_target()).unwrap();
        let mut steady = |number| {
            let frames: Vec<_> = (0..number).map(|_| request(&mut far, 7, 3, 0x10)).collect();
            send(&mut far, frames);
        };
        // So many wait that each call brings some.
        steady(200);
        let wildcard = request(&mut PacketLink::open("far", NetifOptions::default()).unwrap(), 0xffff, 0xff, 0x10);
        send(&mut PacketLink::open("far", NetifOptions::default()).unwrap(), [wildcard]);
        for call in 0.. {
            assert!(call < 70, "the wildcard is not received");
            steady(32);
            let mut rx = Vec::new();
            link.recv(&mut rx).unwrap();
            let wildcards = rx.iter().filter(|frame| frame.bytes()[18] == 0xff).count();
            assert!(rx.len() > wildcards, "each call brings requests");
            rx.into_iter().for_each(|frame| link.recycle(frame));
            if wildcards == 1 {
                break;
            }
        }
    }

    fn the_memory_of_frames_that_are_refused_is_used_again() {
        create_veth();
        ip("link set near mtu 9000");
        let mut link = XdpLink::open("near", NetifOptions { pool: 4, ..for_target() }).unwrap();
        for end in ["near", "far"] {
            ip(&format!("link set {end} mtu 20000"));
        }
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        // Of five pieces, where a frame has three: more of them than there are pieces of memory.
        let mut sent = 0;
        while sent < 1200 {
            for _ in 0..20 {
                let mut long = frame(&mut far, NEAR, 18_000, 1);
                long.bytes_mut()[14..20].copy_from_slice(&[0x10, 0, 0, 7, 3, 0]);
                send(&mut far, [long]);
            }
            sent += 20;
            // By turns with what is not refused.
            let short = request(&mut far, 7, 3, 0x10);
            send(&mut far, [short]);
            let arrived = receive(&mut link, 1);
            assert_eq!(arrived.len(), 1, "nothing is received after {sent} frames that were refused");
            assert_eq!(whole(&arrived[0]).len(), 60);
            arrived.into_iter().for_each(|frame| link.recycle(frame));
        }
        let counters = link.counters();
        assert_eq!((counters.rx_refused, counters.rx_overflow), (1200, 0));
        let mut all: Vec<_> = std::iter::from_fn(|| link.alloc()).collect();
        assert!(all.len() >= 4, "{} frames are left", all.len());
        all.drain(..).for_each(|frame| link.recycle(frame));
    }

    fn a_wildcard_that_is_longer_than_the_memory_was_made_for_is_counted_as_refused() {
        create_veth();
        ip("link set near mtu 9000");
        let mut link = XdpLink::open("near", for_target()).unwrap();
        for end in ["near", "far"] {
            ip(&format!("link set {end} mtu 20000"));
        }
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut long = frame(&mut far, NEAR, 18_000, 1);
        long.bytes_mut()[14..20].copy_from_slice(&[0x10, 0, 0xff, 0xff, 0xff, 0]);
        send(&mut far, [long]);
        assert!(receive(&mut link, 1).is_empty());
        let counters = link.counters();
        assert_eq!((counters.rx_refused, counters.rx_overflow), (1, 0));
        assert!(link.info().mtu < 20_000);
    }

    fn who_waits_for_a_disk_is_not_kept_awake() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("near", for_target()).unwrap();
        // What there is to tell of the interface.
        assert!(count_wakeups(&mut link, Duration::from_millis(50)) < 10);
        for round in 0..300 {
            let next = request(&mut far, 7, 3, 0x10);
            send(&mut far, [next]);
            let mut held = receive(&mut link, 1);
            assert_eq!(held.len(), 1);
            assert!(receive_now(&mut link).is_empty());
            assert!(!wait(&link, Duration::ZERO), "round {round}: the event is readable, and nothing has come");
            if round % 2 == 0 {
                held.drain(..).for_each(|frame| link.recycle(frame));
            } else {
                send(&mut link, held.drain(..));
            }
        }
    }

    fn each_way_that_a_frame_comes_back_is_seen() {
        create_veth();
        let mut far = PacketLink::open("far", NetifOptions::default()).unwrap();
        let mut link = XdpLink::open("near", for_target()).unwrap();
        let out = |link: &XdpLink, frames| {
            let shown = format!("{link:?}");
            assert!(shown.contains(&format!("out: {frames},")), "{frames} are out: {shown}");
        };
        out(&link, 0);
        let mut held: Vec<_> = (0..3).map(|_| frame(&mut link, FAR, 60, 1)).collect();
        out(&link, 3);
        let arriving = [request(&mut far, 7, 3, 0x10), request(&mut far, 0xffff, 0xff, 0x10)];
        send(&mut far, arriving);
        held.extend(receive(&mut link, 2));
        out(&link, 5);
        held.drain(..2).for_each(|frame| link.recycle(frame));
        out(&link, 3);
        send(&mut link, held.drain(..1));
        out(&link, 2);
        ip("link set near down");
        until(&mut link, |info| !info.up);
        send(&mut link, held);
        out(&link, 0);
    }
}
