//! The link that suits an interface: [`NetLink`].

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod linux;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod portable;

use std::fmt;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use self::linux::{NetFrame, NetLink};
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub use self::portable::{NetFrame, NetLink};

/// Which link is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// The fastest that works here, of those that take no frames from others on this host.
    #[default]
    Auto,
    /// AF_XDP, in the driver or behind it (64-bit Linux).
    Xdp,
    /// A packet socket (64-bit Linux).
    Packet,
    /// A pnet datalink channel, anywhere.
    Pnet,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Packet => "packet",
            Self::Pnet => "pnet",
        })
    }
}
