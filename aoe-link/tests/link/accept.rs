//! Every link over a network interface: what is received changes while it is open.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use aoe_l2::Link;
use aoe_link::{Accept, NetifOptions};
use aoe_wire::Address;
use bdev::IoBuf;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::netif::tests_of;
use crate::veth::{Netif, Veth, leave_waiting};
use crate::{FAR, PATIENCE, frame, receive, receive_now, send, whole};

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

/// Frames for these slots of shelf 7.
fn targets(slots: &[u8]) -> Accept {
    Accept::Target(slots.iter().map(|slot| Address::new(7, *slot)).collect())
}

/// Two ends, of which the far one receives frames for these slots.
fn rig<L: Netif>(slots: &[u8]) -> Veth<L> {
    Veth::with(NetifOptions::default(), NetifOptions { accept: targets(slots), ..NetifOptions::default() })
}

/// A request to a slot of shelf 7, with a number.
fn request<L: Link>(link: &mut L, slot: u8, number: u32) -> L::Frame {
    let mut request = frame(link, FAR, 60, 0);
    let bytes = request.bytes_mut();
    bytes[14..20].copy_from_slice(&[0x10, 0, 0, 7, slot, 0]);
    bytes[20..24].copy_from_slice(&number.to_be_bytes());
    request
}

/// The slots that frames which have arrived are for.
fn slots<L: Link>(frames: &[L::Frame]) -> Vec<u8> {
    let mut slots: Vec<_> = frames.iter().map(|frame| whole(frame)[18]).collect();
    // A link may receive them in two ways.
    slots.sort_unstable();
    slots
}

/// Which slots' requests arrive, of those to 3, 4 and 5.
fn arriving<L: Netif>(rig: &mut Veth<L>) -> Vec<u8> {
    let requests = [3, 4, 5].map(|slot| request(&mut rig.near, slot, 0));
    send(&mut rig.near, requests);
    slots::<L>(&receive(&mut rig.far, 3))
}

/// Gives up every privilege of this thread.
fn drop_privileges() {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}

over_every_link! {
    fn what_is_received_can_be_changed<L>() {
        let mut rig = rig::<L>(&[3]);
        assert_eq!(arriving(&mut rig), [3]);
        for slots in [&[3, 4][..], &[4], &[], &[3, 4, 5]] {
            rig.far.set_accept(targets(slots)).unwrap();
            assert_eq!(arriving(&mut rig), slots);
        }
        rig.far.set_accept(Accept::Initiator).unwrap();
        assert_eq!(arriving(&mut rig), []);
        rig.far.set_accept(Accept::All).unwrap();
        assert_eq!(arriving(&mut rig), [3, 4, 5]);
    }

    fn what_waits_when_it_changes_stays<L>() {
        let mut rig = rig::<L>(&[3]);
        let requests = [3, 3].map(|slot| request(&mut rig.near, slot, 0)).into();
        leave_waiting(&mut rig, requests);
        rig.far.set_accept(targets(&[4])).unwrap();
        assert_eq!(slots::<L>(&receive(&mut rig.far, 3)), [3, 3]);
    }

    fn what_is_asked_for_before_and_after_loses_no_frame<L>() {
        const ALL: u32 = 5_000;
        const AHEAD: u32 = 200;
        let Veth { mut near, mut far } = rig::<L>(&[3]);
        let received = AtomicU32::new(0);
        let start = Instant::now();
        let changes = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..ALL {
                    while number - received.load(Ordering::Relaxed) >= AHEAD && start.elapsed() < PATIENCE {
                        thread::yield_now();
                    }
                    let request = request(&mut near, 3, number);
                    send(&mut near, [request]);
                }
            });
            let mut changes = 0;
            while received.load(Ordering::Relaxed) < ALL {
                let others = [&[3][..], &[3, 4], &[2, 3, 9]];
                far.set_accept(targets(others[changes % others.len()])).unwrap();
                changes += 1;
                for frame in receive_now(&mut far) {
                    let number = received.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(whole(&frame)[20..24], number.to_be_bytes(), "after {changes} changes");
                    far.recycle(frame);
                }
                assert!(start.elapsed() < PATIENCE, "{received:?} of {ALL} have arrived");
            }
            changes
        });
        assert!(changes > 10, "{changes}");
    }

    fn it_takes_no_privilege_or_says_so_and_changes_nothing<L>() {
        let mut rig = rig::<L>(&[3]);
        drop_privileges();
        let changed = rig.far.set_accept(targets(&[4]));
        if L::SHARES {
            changed.unwrap();
            assert_eq!(arriving(&mut rig), [4]);
        } else {
            assert_eq!(changed.unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(arriving(&mut rig), [3]);
        }
    }
}
