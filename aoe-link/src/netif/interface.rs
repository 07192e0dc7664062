//! What the system says of an interface.

use aoe_wire::MacAddr;

use super::{MIN_MTU, OpenError};

/// Hardware types whose frames have an Ethernet header (Linux `if_arp.h`): Ethernet itself, and the loopback interface.
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;

/// An interface at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The system's number for it, which no later interface of the same name has.
    pub(crate) index: u32,
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u32,
    /// Up, with a carrier.
    pub(crate) up: bool,
    /// ARP hardware number.
    pub(crate) hardware: u16,
}

impl Interface {
    pub(crate) fn is_ethernet(&self) -> bool {
        matches!(self.hardware, ETHERNET | LOOPBACK)
    }

    /// Refuses an interface that can never serve, or not with its present MTU.
    pub(crate) fn check(self, name: &str) -> Result<Self, OpenError> {
        if !self.is_ethernet() {
            return Err(OpenError::NotEthernet { name: name.to_owned(), hardware: self.hardware });
        }
        if self.mtu < MIN_MTU {
            return Err(OpenError::MtuTooSmall { name: name.to_owned(), mtu: self.mtu });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: Interface =
        Interface { index: 2, mac: MacAddr([2, 0, 0, 0, 0, 1]), mtu: 1500, up: false, hardware: ETHERNET };

    #[test]
    fn ethernet_and_loopback_pass_and_a_tunnel_does_not() {
        assert!(ETH0.check("eth0").is_ok());
        assert!(Interface { hardware: LOOPBACK, ..ETH0 }.check("lo").is_ok());
        let error = Interface { hardware: 65534, ..ETH0 }.check("wg0").unwrap_err();
        assert!(matches!(error, OpenError::NotEthernet { hardware: 65534, .. }), "{error}");
    }

    #[test]
    fn an_mtu_below_548_names_the_remedy() {
        assert!(Interface { mtu: 548, ..ETH0 }.check("eth0").is_ok());
        let error = Interface { mtu: 547, ..ETH0 }.check("eth0").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"interface "eth0" has an MTU of 547, below 548: ip link set eth0 mtu 1500"#
        );
    }
}
