//! What the program may do while it serves: no more than it needs for that.

use std::io;

/// Gives up every capability but those that keep settings in other users' directories when started as root, and for good the ways to
/// gain any. To be called before there are threads: each has its own.
#[cfg(target_os = "linux")]
pub(crate) fn give_up() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

    set_no_new_privs(true)?;
    // FOWNER: a directory with the sticky bit lets only the owner of a file replace it.
    let kept = capabilities(None)?.permitted & (CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER);
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Nothing: capabilities are Linux's own.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_up() -> io::Result<()> {
    Ok(())
}
