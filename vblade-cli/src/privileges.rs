//! What the program may do while it serves: nothing that takes a privilege.

use std::io;
use std::path::Path;

/// Gives up every capability, and for good the ways to gain any. To be called before there are threads: each has its own.
///
/// Root without capabilities may write where its user may, and no longer everywhere. So when `state_dir`, in which settings are stored, is
/// another user's, the process becomes that user first.
///
/// # Errors
///
/// Part of it could not be given up; all else is.
#[cfg(target_os = "linux")]
pub(crate) fn give_up(state_dir: Option<&Path>) -> io::Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    };

    let limited = if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        // What this kernel does not know, nobody has.
        CapabilitySet::all().iter().try_for_each(|capability| {
            match remove_capability_from_bounding_set(capability) {
                Err(rustix::io::Errno::INVAL) => Ok(()),
                removed => removed,
            }
        })
    } else {
        // Then the bound stays, and nothing is left that could use it.
        Ok(())
    };
    let owned = state_dir.map_or(Ok(()), become_owner);
    let empty = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: empty, permitted: empty, inheritable: empty })?;
    set_no_new_privs(true)?;
    limited?;
    owned
}

/// Keeps the capabilities that opening a disk or an interface takes, as far as they are there, and gives up all others: for who opens some while it
/// serves.
///
/// # Errors
///
/// They could not be given up.
#[cfg(target_os = "linux")]
pub(crate) fn keep_for_opening() -> io::Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    };

    // Interfaces; AF_XDP; disks of other users; and SETPCAP, SETUID, SETGID, by which the thread that serves gives up more than we do.
    let kept = CapabilitySet::NET_RAW
        | CapabilitySet::NET_ADMIN
        | CapabilitySet::BPF
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::SETPCAP
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID;
    let now = capabilities(None)?;
    if now.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().difference(kept).iter() {
            // What this kernel does not know, nobody has.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let permitted = now.permitted & kept;
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)?;
    Ok(set_no_new_privs(true)?)
}

/// Becomes the user that `dir` belongs to, when this is root and that is somebody else.
#[cfg(target_os = "linux")]
fn become_owner(dir: &Path) -> io::Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    use std::os::unix::fs::MetadataExt;

    let Ok(owner) = std::fs::metadata(dir) else {
        // There is none, which is told elsewhere.
        return Ok(());
    };
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}

/// Nothing: capabilities are Linux's own.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_up(_state_dir: Option<&Path>) -> io::Result<()> {
    Ok(())
}
