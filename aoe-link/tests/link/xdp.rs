//! What only an AF_XDP link has to bear: others on the interface, and its own end.

use std::process::Command;

use aoe_link::{
    Accept, Link, LinkKind, NetLink, NetifOptions, OpenError, PacketLink, XdpError, XdpLink, XdpMode,
};
use aoe_wire::Address;
use bdev::IoBuf;

use crate::netns::{in_netns, ip};
use crate::veth::create_veth;
use crate::{FAR, NEAR, frame, receive, receive_now, send, whole};

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
}
