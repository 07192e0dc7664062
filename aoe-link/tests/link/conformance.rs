//! What every link must do. A new link provides a [`Rig`] and calls [`run`].

use std::time::Instant;

use aoe_l2::{Frame, Link};
use aoe_wire::MacAddr;
use bdev::IoBuf;

use crate::{FAR, NEAR, fill, frame, receive, receive_now, send, until, whole};

/// A link between two ends with the addresses [`NEAR`] and [`FAR`], up, with MTU 1500, and the power to change it.
pub(crate) trait Rig {
    type Link: Link;

    fn near(&mut self) -> &mut Self::Link;
    fn far(&mut self) -> &mut Self::Link;

    /// Changes the MTU of both ends.
    fn set_mtu(&mut self, mtu: u32);

    /// Takes the near end down or up.
    fn set_up(&mut self, up: bool);

    /// Frames that the near end dropped instead of sending them.
    fn dropped(&mut self) -> u64;
}

pub(crate) fn run(rig: &mut impl Rig) {
    tells_what_it_is(rig);
    an_idle_link_delivers_nothing_at_once(rig);
    every_size_passes_whole(rig);
    order_is_kept(rig);
    no_more_wait_than_have_arrived(rig);
    own_outgoing_frames_do_not_arrive(rig);
    only_aoe_frames_arrive(rig);
    frames_are_aligned_and_have_room_for_the_mtu(rig);
    a_frame_beyond_the_mtu_is_dropped_and_those_behind_it_pass(rig);
    an_mtu_change_is_followed(rig);
    down_and_up_are_followed(rig);
}

fn tells_what_it_is(rig: &mut impl Rig) {
    let info = rig.near().info();
    assert_eq!((info.mac, info.mtu, info.up), (NEAR, 1500, true));
    assert_eq!(rig.far().info().mac, FAR);
    assert!(info.payload_align.is_power_of_two());
}

fn an_idle_link_delivers_nothing_at_once(rig: &mut impl Rig) {
    receive_now(rig.near());
    let start = Instant::now();
    for _ in 0..10 {
        let mut rx = Vec::new();
        rig.near().recv(&mut rx).unwrap();
        assert!(rx.is_empty());
    }
    assert!(start.elapsed().as_millis() < 500, "recv waited: {:?}", start.elapsed());
}

fn every_size_passes_whole(rig: &mut impl Rig) {
    for mtu in [1500, 9000] {
        rig.set_mtu(mtu);
        until(rig.near(), |info| info.mtu == mtu);
        until(rig.far(), |info| info.mtu == mtu);
        for len in 14..=mtu as usize + 14 {
            let request = frame(rig.near(), FAR, len, len as u32);
            let sent = whole(&request);
            send(rig.near(), [request]);
            let rx = receive(rig.far(), 1);
            assert_eq!(rx.len(), 1, "a frame of {len} bytes got lost at MTU {mtu}");
            for frame in rx {
                assert_eq!(whole(&frame), sent);
                rig.far().recycle(frame);
            }
        }
    }
    rig.set_mtu(1500);
    until(rig.near(), |info| info.mtu == 1500);
    until(rig.far(), |info| info.mtu == 1500);
}

fn order_is_kept(rig: &mut impl Rig) {
    let frames: Vec<_> = (0..200).map(|seed| frame(rig.near(), FAR, 60 + seed as usize, seed)).collect();
    send(rig.near(), frames);
    let rx = receive(rig.far(), 200);
    let numbers: Vec<_> =
        rx.iter().map(|f| u32::from_be_bytes(f.bytes()[14..18].try_into().unwrap())).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    rx.into_iter().for_each(|frame| rig.far().recycle(frame));
}

fn no_more_wait_than_have_arrived(rig: &mut impl Rig) {
    let frames: Vec<_> = (0..5).map(|seed| frame(rig.near(), FAR, 60, seed)).collect();
    send(rig.near(), frames);
    assert!(!rig.far().has_more_than(5));
    assert_eq!(receive(rig.far(), 5).len(), 5);
    assert!(!rig.far().has_more_than(0));
}

fn own_outgoing_frames_do_not_arrive(rig: &mut impl Rig) {
    for dst in [FAR, MacAddr::BROADCAST] {
        let request = frame(rig.near(), dst, 60, 1);
        send(rig.near(), [request]);
        assert_eq!(receive(rig.far(), 1).len(), 1);
        assert!(receive_now(rig.near()).is_empty(), "own frame to {dst} came back");
    }
}

fn only_aoe_frames_arrive(rig: &mut impl Rig) {
    for ethertype in [0x0800_u16, 0x0806, 0x88a1, 0xa288, 0x005c] {
        let mut other = frame(rig.near(), FAR, 100, 2);
        other.bytes_mut()[12..14].copy_from_slice(&ethertype.to_be_bytes());
        let aoe = frame(rig.near(), FAR, 60, 3);
        send(rig.near(), [other, aoe]);
        let rx = receive(rig.far(), 1);
        assert_eq!(rx.len(), 1);
        assert_eq!(rx[0].bytes()[12..18], [0x88, 0xa2, 0, 0, 0, 3], "EtherType {ethertype:#06x}");
        assert!(receive_now(rig.far()).is_empty());
    }
}

fn frames_are_aligned_and_have_room_for_the_mtu(rig: &mut impl Rig) {
    let info = rig.far().info();
    let mut frames: Vec<_> = (0..5).map(|_| rig.far().alloc().unwrap()).collect();
    assert!(frames.iter().all(|frame| frame.bytes().is_empty()), "an allocated frame has length 0");
    let request = frame(rig.near(), FAR, 60, 4);
    send(rig.near(), [request]);
    frames.extend(receive(rig.far(), 1));
    assert_eq!(frames.len(), 6);
    for mut frame in frames {
        assert!(frame.capacity() >= info.mtu as usize + 14, "{} bytes", frame.capacity());
        frame.set_len(info.mtu as usize + 14);
        let data = frame.bytes()[36..].as_ptr() as usize;
        assert_eq!(data % info.payload_align as usize, 0, "byte 36 is not aligned to {}", info.payload_align);
        rig.far().recycle(frame);
    }
}

fn a_frame_beyond_the_mtu_is_dropped_and_those_behind_it_pass(rig: &mut impl Rig) {
    rig.set_mtu(9000);
    until(rig.near(), |info| info.mtu == 9000);
    let long = fill(rig.near().alloc().unwrap(), FAR, NEAR, 1515, 5);
    rig.set_mtu(1500);
    until(rig.near(), |info| info.mtu == 1500);
    until(rig.far(), |info| info.mtu == 1500);

    let before = rig.dropped();
    let next = frame(rig.near(), FAR, 1514, 6);
    send(rig.near(), [long, next]);
    assert_eq!(rig.dropped(), before + 1);
    let rx = receive(rig.far(), 1);
    assert_eq!(rx.len(), 1);
    assert_eq!(rx[0].bytes().len(), 1514);
}

fn an_mtu_change_is_followed(rig: &mut impl Rig) {
    for mtu in [9000, 1500] {
        let before = rig.near().info().generation;
        rig.set_mtu(mtu);
        until(rig.near(), |info| info.mtu == mtu && info.generation > before);
        until(rig.far(), |info| info.mtu == mtu);
        let longest = frame(rig.near(), FAR, mtu as usize + 14, 7);
        send(rig.near(), [longest]);
        let rx = receive(rig.far(), 1);
        assert_eq!(whole(&rx[0]).len(), mtu as usize + 14);
        assert!(rx[0].capacity() >= mtu as usize + 14);
    }
}

fn down_and_up_are_followed(rig: &mut impl Rig) {
    let before = rig.near().info();
    rig.set_up(false);
    until(rig.near(), |info| !info.up && info.generation > before.generation);
    let down = rig.near().info();
    let lost = frame(rig.near(), FAR, 60, 8);
    let dropped = rig.dropped();
    send(rig.near(), [lost]);
    assert_eq!(rig.dropped(), dropped + 1);

    rig.set_up(true);
    until(rig.near(), |info| info.up && info.generation > down.generation);
    until(rig.far(), |info| info.up);
    assert_eq!(rig.near().info().mac, before.mac);
    let request = frame(rig.near(), FAR, 60, 9);
    send(rig.near(), [request]);
    let rx = receive(rig.far(), 1);
    assert_eq!(rx.len(), 1, "nothing passes after down and up");
    assert_eq!(rx[0].bytes()[14..18], [0, 0, 0, 9]);
}
