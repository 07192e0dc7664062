//! Command 3, reserve and release (AoEr11 §3.4): which initiators may issue ATA commands.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::aoe::HEADER_LEN;
use crate::error::WireError;
use crate::eth::{ETH_HEADER_LEN, MacAddr};
use crate::value::wire_code;

/// Bytes of the Ethernet, AoE and reserve headers: where the MAC list begins.
pub const RESERVE_HEADER_LEN: usize = 26;

/// The reserve argument: bytes 24 and 25 of a frame.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ReserveArg {
    /// The reserve command, byte 24.
    pub command: ReserveCommand,
    /// Byte 25: MACs in the request's list, or in the list now in force.
    pub count: u8,
}

const MAC_LEN: usize = 6;

const _: () = assert!(size_of::<MacAddr>() == MAC_LEN);
const _: () = assert!(size_of::<ReserveArg>() == 2);
const _: () = assert!(HEADER_LEN + size_of::<ReserveArg>() == RESERVE_HEADER_LEN);

impl ReserveArg {
    /// The argument of a request with `count` MACs; none releases.
    #[must_use]
    pub const fn request(command: ReserveCommand, count: u8) -> Self {
        Self { command, count }
    }

    /// The MACs at the start of `payload`, [`count`](Self::count) of them.
    ///
    /// # Errors
    /// [`WireError::ListTooLong`] when the payload does not hold as many.
    pub fn macs<'p>(&self, payload: &'p [u8]) -> Result<&'p [MacAddr], WireError> {
        match <[MacAddr]>::ref_from_prefix_with_elems(payload, usize::from(self.count)) {
            Ok((macs, _)) => Ok(macs),
            Err(_) => Err(WireError::list_too_long::<MacAddr>(self.count, payload.len())),
        }
    }

    /// As [`macs`](Self::macs), to be overwritten with a reply's list.
    ///
    /// # Errors
    /// [`WireError::ListTooLong`] when the payload does not hold as many.
    pub fn macs_mut<'p>(&self, payload: &'p mut [u8]) -> Result<&'p mut [MacAddr], WireError> {
        let have = payload.len();
        match <[MacAddr]>::mut_from_prefix_with_elems(payload, usize::from(self.count)) {
            Ok((macs, _)) => Ok(macs),
            Err(_) => Err(WireError::list_too_long::<MacAddr>(self.count, have)),
        }
    }
}

wire_code! {
    /// The reserve command, byte 24.
    ReserveCommand {
        /// Read the list; the request's MACs are ignored.
        READ = 0, "read";
        /// Set the list if nobody, or the sender, holds the reservation.
        SET = 1, "set";
        /// Set the list whoever holds the reservation.
        FORCE = 2, "force";
    }
}

/// How many MACs of a reserve list fit one frame at an interface MTU (which excludes the Ethernet header): 0 to 255.
#[must_use]
pub fn max_reserve_entries(mtu: usize) -> u8 {
    let room = mtu.saturating_add(ETH_HEADER_LEN).saturating_sub(RESERVE_HEADER_LEN);
    u8::try_from(room / MAC_LEN).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);

    #[test]
    fn argument_lies_in_wire_order() {
        assert_eq!(ReserveArg::request(ReserveCommand::FORCE, 7).as_bytes(), b"\x02\x07");
    }

    #[test]
    fn macs_beyond_the_payload_are_refused() {
        let mut payload = [0; 34];
        let five = ReserveArg::request(ReserveCommand::SET, 5);
        let six = ReserveArg::request(ReserveCommand::SET, 6);
        let error = WireError::ListTooLong { count: 6, have: 5 };
        assert_eq!(five.macs(&payload).map(<[_]>::len), Ok(5));
        assert_eq!(six.macs(&payload), Err(error));
        assert_eq!(six.macs_mut(&mut payload), Err(error));
    }

    #[test]
    fn macs_are_written_where_they_are_read() {
        let mut payload = [0xee; 14];
        let arg = ReserveArg::request(ReserveCommand::SET, 2);
        arg.macs_mut(&mut payload).unwrap()[1] = A1;
        assert_eq!(arg.macs(&payload).unwrap()[1], A1);
        assert_eq!(payload[12..], [0xee; 2]);
    }

    #[test]
    fn list_entries_are_limited_by_mtu_and_count_byte() {
        assert_eq!(max_reserve_entries(1500), 248);
        assert_eq!(max_reserve_entries(9000), 255);
        assert_eq!(max_reserve_entries(0), 0);
    }
}
