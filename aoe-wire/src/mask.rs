//! Command 2, MAC mask list (AoEr11 §3.3): which initiators a target listens to.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::aoe::HEADER_LEN;
use crate::error::WireError;
use crate::eth::{ETH_HEADER_LEN, MacAddr};
use crate::value::wire_code;

/// Bytes of the Ethernet, AoE and mask headers: where the directives begin.
pub const MASK_HEADER_LEN: usize = 28;

/// The mask argument: bytes 24 to 27 of a frame.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct MaskArg {
    /// Byte 24, zero.
    pub reserved: u8,
    /// The mask command, byte 25.
    pub command: MaskCommand,
    /// What was wrong with a directive, byte 26; zero in a request.
    pub error: MaskError,
    /// Byte 27: directives in a request, entries of the list in a reply, or the index of the directive that failed.
    pub count: u8,
}

const _: () = assert!(size_of::<MaskArg>() == 4);
const _: () = assert!(HEADER_LEN + size_of::<MaskArg>() == MASK_HEADER_LEN);

impl MaskArg {
    /// The argument of a request with `count` directives.
    #[must_use]
    pub const fn request(command: MaskCommand, count: u8) -> Self {
        Self { reserved: 0, command, error: MaskError::NONE, count }
    }

    /// The directives at the start of `payload`, [`count`](Self::count) of them.
    ///
    /// # Errors
    /// [`WireError::ListTooLong`] when the payload does not hold as many.
    pub fn directives<'p>(&self, payload: &'p [u8]) -> Result<&'p [Directive], WireError> {
        match <[Directive]>::ref_from_prefix_with_elems(payload, usize::from(self.count)) {
            Ok((directives, _)) => Ok(directives),
            Err(_) => Err(WireError::list_too_long::<Directive>(self.count, payload.len())),
        }
    }

    /// As [`directives`](Self::directives), to be overwritten with a reply's list.
    ///
    /// # Errors
    /// [`WireError::ListTooLong`] when the payload does not hold as many.
    pub fn directives_mut<'p>(&self, payload: &'p mut [u8]) -> Result<&'p mut [Directive], WireError> {
        let have = payload.len();
        match <[Directive]>::mut_from_prefix_with_elems(payload, usize::from(self.count)) {
            Ok((directives, _)) => Ok(directives),
            Err(_) => Err(WireError::list_too_long::<Directive>(self.count, have)),
        }
    }
}

/// One entry of a mask list: eight bytes from byte 28 on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Directive {
    /// Zero.
    pub reserved: u8,
    /// What to do; zero in a reply.
    pub command: DirectiveCommand,
    /// The initiator.
    pub mac: MacAddr,
}

const DIRECTIVE_LEN: usize = 8;

const _: () = assert!(size_of::<Directive>() == DIRECTIVE_LEN);

impl Directive {
    /// A directive; with [`DirectiveCommand::NOP`] also an entry of a reply.
    #[must_use]
    pub const fn new(command: DirectiveCommand, mac: MacAddr) -> Self {
        Self { reserved: 0, command, mac }
    }
}

wire_code! {
    /// The mask command, byte 25.
    MaskCommand {
        /// Read the list; directives are ignored.
        READ = 0, "read";
        /// Carry out the directives in order.
        EDIT = 1, "edit";
    }
}

wire_code! {
    /// Why editing stopped, byte 26 of a reply.
    MaskError {
        /// It did not.
        NONE = 0, "none";
        /// Some other reason.
        UNSPECIFIED = 1, "unspecified";
        /// The directive's command is unknown.
        BAD_DIRECTIVE = 2, "bad-directive";
        /// The list is full.
        LIST_FULL = 3, "list-full";
    }
}

wire_code! {
    /// What a directive does.
    DirectiveCommand {
        /// Nothing.
        NOP = 0, "nop";
        /// Adds the MAC; adding one twice changes nothing.
        ADD = 1, "add";
        /// Deletes the MAC; deleting an unlisted one changes nothing.
        DELETE = 2, "delete";
    }
}

/// How many entries of a mask list fit one frame at an interface MTU (which excludes the Ethernet header): 0 to 255.
#[must_use]
pub fn max_mask_entries(mtu: usize) -> u8 {
    let room = mtu.saturating_add(ETH_HEADER_LEN).saturating_sub(MASK_HEADER_LEN);
    u8::try_from(room / DIRECTIVE_LEN).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa1]);

    #[test]
    fn argument_and_directive_lie_in_wire_order() {
        let arg = MaskArg { error: MaskError::LIST_FULL, ..MaskArg::request(MaskCommand::EDIT, 9) };
        assert_eq!(arg.as_bytes(), b"\x00\x01\x03\x09");
        let directive = Directive::new(DirectiveCommand::DELETE, A1);
        assert_eq!(directive.as_bytes(), b"\x00\x02\x02\x00\x00\x00\x00\xa1");
    }

    #[test]
    fn directives_beyond_the_payload_are_refused() {
        let mut payload = [0; 32];
        let four = MaskArg::request(MaskCommand::EDIT, 4);
        let five = MaskArg::request(MaskCommand::EDIT, 5);
        let error = WireError::ListTooLong { count: 5, have: 4 };
        assert_eq!(four.directives(&payload).map(<[_]>::len), Ok(4));
        assert_eq!(five.directives(&payload), Err(error));
        assert_eq!(five.directives_mut(&mut payload), Err(error));
        assert!(four.directives(&payload[..31]).is_err());
    }

    #[test]
    fn directives_are_written_where_they_are_read() {
        let mut payload = [0xee; 20];
        let arg = MaskArg::request(MaskCommand::EDIT, 2);
        arg.directives_mut(&mut payload).unwrap()[1] = Directive::new(DirectiveCommand::ADD, A1);
        assert_eq!(arg.directives(&payload).unwrap()[1], Directive::new(DirectiveCommand::ADD, A1));
        assert_eq!(payload[16..], [0xee; 4]);
    }

    #[test]
    fn list_entries_are_limited_by_mtu_and_count_byte() {
        assert_eq!(max_mask_entries(1500), 185);
        assert_eq!(max_mask_entries(9000), 255);
        assert_eq!(max_mask_entries(0), 0);
    }
}
