//! Which frames a link receives.

#[cfg(target_os = "linux")]
mod program;

use aoe_wire::Address;

#[cfg(target_os = "linux")]
pub(crate) use self::program::program;
#[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
pub(crate) use self::program::ranges;

/// Which AoE frames a link over a network interface receives. On Linux the kernel keeps out all others, before they cost a copy or
/// wake anybody; elsewhere every frame arrives.
///
/// A frame that is too short for an AoE header (24 bytes with Ethernet's) always passes, for whoever receives it to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accept {
    /// Every frame.
    #[default]
    All,
    /// Frames for one of these addresses, and those whose shelf or slot is the wildcard (AoEr11 §2.4): what a target needs. Several
    /// links of one interface can share its targets: each receives the frames of its own, and all receive the wildcards.
    ///
    /// Consecutive slots of a shelf take as much room in the kernel's filter as one. There is room for 1,400 that are not consecutive;
    /// with more, every frame passes.
    Target(Vec<Address>),
    /// Responses (AoEr11 §2.1, flag R): what an initiator needs.
    Initiator,
}
