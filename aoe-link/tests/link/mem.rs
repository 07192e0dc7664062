//! The link conformance suite, run by [`MemLink`].

use aoe_link::MemLink;

use crate::conformance::{self, Rig};
use crate::{FAR, NEAR};

struct Pair {
    near: MemLink,
    far: MemLink,
}

impl Rig for Pair {
    type Link = MemLink;

    fn near(&mut self) -> &mut MemLink {
        &mut self.near
    }

    fn far(&mut self) -> &mut MemLink {
        &mut self.far
    }

    fn set_mtu(&mut self, mtu: u32) {
        self.near.set_mtu(mtu);
        self.far.set_mtu(mtu);
    }

    fn set_up(&mut self, up: bool) {
        self.near.set_up(up);
    }

    fn dropped(&mut self) -> u64 {
        self.near.counters().tx_dropped
    }
}

#[test]
fn the_memory_link_conforms() {
    let (near, far) = MemLink::pair(NEAR, FAR, 1500);
    conformance::run(&mut Pair { near, far });
}
