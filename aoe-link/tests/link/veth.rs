//! Links over a pair of virtual interfaces.

use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use aoe_l2::Link;
use aoe_link::{Accept, LinkCounters, NetifOptions, OpenError};

use crate::conformance::Rig;
use crate::netns::{ip, limit, macvlan};
use crate::{receive, send, until, wait};

/// What [`slow_down`] needs.
pub(crate) const TBF: &str = "tc (iproute2), the kernel's tbf queue and macvlan interfaces";

/// What links over an interface have in common besides [`Link`].
pub(crate) trait Netif: Link + Debug + Send + Sized {
    /// The MTU that an interface has when it is opened, for a link that can use no larger one later.
    const OPEN_MTU: u32;
    /// Whether several of these links can share an interface, and all receive what arrives.
    const SHARES: bool;

    fn open(name: &str, options: NetifOptions) -> Result<Self, OpenError>;
    fn recv_buffer(&self) -> usize;
    fn counters(&self) -> LinkCounters;
    fn set_accept(&mut self, accept: Accept) -> io::Result<()>;
}

/// The methods that these links have of their own.
macro_rules! netif {
    ($link:ty, $open_mtu:literal, $shares:literal) => {
        impl Netif for $link {
            const OPEN_MTU: u32 = $open_mtu;
            const SHARES: bool = $shares;

            fn open(name: &str, options: NetifOptions) -> Result<Self, OpenError> {
                Self::open(name, options)
            }

            fn recv_buffer(&self) -> usize {
                self.recv_buffer()
            }

            fn counters(&self) -> LinkCounters {
                self.counters()
            }

            fn set_accept(&mut self, accept: Accept) -> io::Result<()> {
                self.set_accept(accept)
            }
        }
    };
}

#[cfg(feature = "pnet")]
netif!(aoe_link::PnetLink, 1500, true);
#[cfg(feature = "packet")]
netif!(aoe_link::PacketLink, 1500, true);
#[cfg(all(feature = "xdp", target_pointer_width = "64"))]
netif!(aoe_link::XdpLink, 9000, false);

/// Two interfaces that are each other's wire, both opened.
pub(crate) struct Veth<L> {
    pub(crate) near: L,
    pub(crate) far: L,
}

impl<L: Netif> Veth<L> {
    /// Both with these options.
    pub(crate) fn new(options: NetifOptions) -> Self {
        Self::with(options.clone(), options)
    }

    pub(crate) fn with(near: NetifOptions, far: NetifOptions) -> Self {
        create_veth();
        set_mtu(L::OPEN_MTU);
        let mut veth = Self::open(near, far);
        set_mtu(1500);
        // Until then the system drops frames without a word.
        until(&mut veth.near, |info| info.up && info.mtu == 1500);
        until(&mut veth.far, |info| info.up && info.mtu == 1500);
        veth
    }

    pub(crate) fn open(near: NetifOptions, far: NetifOptions) -> Self {
        Self { near: L::open("near", near).unwrap(), far: L::open("far", far).unwrap() }
    }
}

pub(crate) fn create_veth() {
    create_veth_down();
    ip("link set near up");
    ip("link set far up");
}

pub(crate) fn create_veth_down() {
    ip("link add name near address 02:00:00:00:00:0a type veth peer name far address 02:00:00:00:00:0b");
}

fn set_mtu(mtu: u32) {
    ip(&format!("link set near mtu {mtu}"));
    ip(&format!("link set far mtu {mtu}"));
}

/// Sends `frames` from the near end and comes back when they are in the sockets of the far end.
pub(crate) fn leave_waiting<L: Netif>(rig: &mut Veth<L>, frames: Vec<L::Frame>) {
    if !L::SHARES {
        send(&mut rig.near, frames);
        return std::thread::sleep(Duration::from_millis(50));
    }
    let sent = frames.len();
    let mut witness = L::open("far", NetifOptions::default()).unwrap();
    send(&mut rig.near, frames);
    assert_eq!(receive(&mut witness, sent).len(), sent);
}

impl<L: Netif> Rig for Veth<L> {
    type Link = L;

    fn near(&mut self) -> &mut L {
        &mut self.near
    }

    fn far(&mut self) -> &mut L {
        &mut self.far
    }

    fn set_mtu(&mut self, mtu: u32) {
        set_mtu(mtu);
    }

    fn set_up(&mut self, up: bool) {
        ip(if up { "link set near up" } else { "link set near down" });
    }

    fn dropped(&mut self) -> u64 {
        self.near.counters().tx_dropped
    }
}

/// Waits and receives for `span`; tells how often the link woke up.
pub(crate) fn count_wakeups<L: Netif>(link: &mut L, span: Duration) -> usize {
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

/// Moves the near end onto an interface whose frames wait in a queue below it, with these `words` of tc-tbf(8), where every link has to
/// wait for them. Tells whether the system has such.
pub(crate) fn slow_down<L: Netif>(rig: &mut Veth<L>, words: &str) -> bool {
    if !limit("near", words) || !macvlan("top", "near") {
        return false;
    }
    ip("link set top up");
    rig.near = L::open("top", NetifOptions::default()).unwrap();
    until(&mut rig.near, |info| info.up);
    true
}
