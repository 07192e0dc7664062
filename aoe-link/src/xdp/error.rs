//! Why an interface cannot be used by AF_XDP.

use std::io;

/// Why AF_XDP cannot be had for an interface: each text is one line that names the interface and the remedy. A packet socket may serve it
/// all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XdpError {
    /// The user may not load programs into the kernel.
    #[error("{name}: AF_XDP is not permitted: it takes root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF")]
    Permission {
        /// The interface.
        name: String,
    },
    /// Somebody else's XDP program is there.
    #[error(
        "{name}: another XDP program is attached: end the program that holds it, such as another vblade, or remove it (ip link set {name} xdp off), or use a packet socket"
    )]
    Busy {
        /// The interface.
        name: String,
    },
    /// Frames of this size are in more pieces than we take.
    #[error("{name}: MTU {mtu} is too large for AF_XDP: at most {most}")]
    Mtu {
        /// The interface.
        name: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// The largest that would do.
        most: u32,
    },
    /// The memory of the frames cannot be locked.
    #[error(
        "{name}: AF_XDP needs {bytes} bytes of locked memory: raise the limit (ulimit -l, LimitMEMLOCK=)"
    )]
    Memory {
        /// The interface.
        name: String,
        /// What a socket needs.
        bytes: usize,
    },
    /// The kernel or the driver does not have it.
    #[error("{name}: no AF_XDP here: cannot {action}: {source}")]
    Unsupported {
        /// The interface.
        name: String,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl XdpError {
    /// What `error` means that came when trying to `action`.
    pub(super) fn new(name: &str, action: &'static str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Permission { name },
            Some(libc::EBUSY | libc::EEXIST) => Self::Busy { name },
            _ => Self::Unsupported { name, action, source },
        }
    }
}
