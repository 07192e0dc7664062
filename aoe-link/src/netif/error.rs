//! Why an interface cannot be opened.

use std::{env, io};

use super::MIN_MTU;

/// An interface that cannot be opened: each text is one line that names the interface and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No interface has this name.
    #[error("interface {name:?} does not exist; there is {}", list(existing))]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        existing: Vec<String>,
    },

    /// The interface carries something else than Ethernet frames.
    #[error(
        "interface {name:?} is not Ethernet-like (hardware type {hardware}): \
         name an Ethernet, VLAN, bridge, bond, veth or tap interface"
    )]
    NotEthernet {
        /// The interface.
        name: String,
        /// Its hardware type, an ARP hardware number as in Linux's `if_arp.h`.
        hardware: u16,
    },

    /// The MTU leaves no room for a sector.
    #[error("interface {name:?} has an MTU of {mtu}, below {MIN_MTU}: ip link set {name} mtu 1500")]
    MtuTooSmall {
        /// The interface.
        name: String,
        /// Its MTU in bytes.
        mtu: u32,
    },

    /// Raw sockets are not allowed to this process.
    #[error(
        "interface {name:?}: no permission to open a raw socket: \
         run as root, or once: setcap cap_net_raw+ep {}",
        program()
    )]
    Permission {
        /// The interface.
        name: String,
    },

    /// It can be opened, but not by AF_XDP.
    #[cfg(all(feature = "xdp", target_os = "linux", target_pointer_width = "64"))]
    #[error(transparent)]
    Xdp(#[from] crate::XdpError),

    /// The system refused for another reason.
    #[error("interface {name:?}: cannot {action}")]
    Io {
        /// The interface.
        name: String,
        /// What was refused.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn program() -> String {
    env::current_exe().map_or_else(|_| "PROGRAM".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_interface_lists_those_that_exist() {
        let error = OpenError::Unknown { name: "eth9".into(), existing: vec!["lo".into(), "eth0".into()] };
        assert_eq!(error.to_string(), r#"interface "eth9" does not exist; there is lo, eth0"#);
    }

    #[test]
    fn every_text_is_one_line_that_names_the_interface() {
        let name = || "x\n0".to_owned();
        for error in [
            OpenError::Unknown { name: name(), existing: Vec::new() },
            OpenError::NotEthernet { name: name(), hardware: 65534 },
            OpenError::MtuTooSmall { name: "x0".into(), mtu: 547 },
            OpenError::Permission { name: name() },
            OpenError::Io { name: name(), action: "bind", source: io::Error::other("x") },
        ] {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            assert!(text.starts_with(r#"interface "x"#), "{text}");
        }
    }
}
