//! The two shapes of a one-byte wire value: a code from a list, and a set of flags.
//!
//! Both are newtypes over `u8`, never Rust enums: every byte a peer can send has a representation, so that a strange
//! frame is still parsed, printed and answered in full. The macros only spare repetition; what they expand to is a
//! struct, constants and `Display`.

/// Defines a newtype over `u8` for a code of which some values have names.
macro_rules! wire_code {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$doc:meta])* $value:ident = $byte:literal, $label:literal; )* }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(transparent)]
        pub struct $name(pub u8);

        impl $name {
            $( $(#[$doc])* pub const $value: Self = Self($byte); )*

            /// The name of this value in lower case, `None` for a value this crate does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $byte => Some($label), )*
                    _ => None,
                }
            }
        }

        /// The name, or the byte in hexadecimal when it has none.
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#04x}", self.0),
                }
            }
        }

        const _: () = assert!(size_of::<$name>() == 1);
    };
}

/// Defines a newtype over `u8` for a set of flags of which some bits have names.
macro_rules! wire_flags {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$doc:meta])* $flag:ident = $bit:literal, $label:literal; )* }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(transparent)]
        pub struct $name(pub u8);

        impl $name {
            $( $(#[$doc])* pub const $flag: Self = Self($bit); )*

            /// Whether every bit of `flags` is set here.
            #[must_use]
            pub const fn contains(self, flags: Self) -> bool {
                self.0 & flags.0 == flags.0
            }

            /// These flags and those of `flags`.
            #[must_use]
            pub const fn with(self, flags: Self) -> Self {
                Self(self.0 | flags.0)
            }
        }

        /// The byte in hexadecimal, then the names of its known bits: `41 DRDY,ERR`.
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{:02x}", self.0)?;
                let named = [$( (Self::$flag, $label) ),*];
                let mut separator = ' ';
                for (_, label) in named.iter().filter(|(flag, _)| self.contains(*flag)) {
                    write!(f, "{separator}{label}")?;
                    separator = ',';
                }
                Ok(())
            }
        }

        const _: () = assert!(size_of::<$name>() == 1);
    };
}

pub(crate) use {wire_code, wire_flags};

#[cfg(test)]
mod tests {
    use crate::{AFlags, AtaStatus, ErrorCode};

    #[test]
    fn an_unknown_code_is_kept_and_printed_as_a_number() {
        let code = ErrorCode(0x2a);
        assert_eq!(code.name(), None);
        assert_eq!(code.to_string(), "0x2a");
        assert_eq!(ErrorCode::TARGET_RESERVED.to_string(), "target-reserved");
    }

    #[test]
    fn flags_are_printed_as_byte_and_names() {
        assert_eq!(AtaStatus::FAILED.to_string(), "41 DRDY,ERR");
        assert_eq!(AFlags::NONE.to_string(), "00");
        assert_eq!(AFlags(0x80).to_string(), "80", "a reserved bit has no name");
    }

    #[test]
    fn contains_asks_for_every_bit() {
        let flags = AFlags::EXTENDED.with(AFlags::WRITE);
        assert!(flags.contains(AFlags::WRITE));
        assert!(flags.contains(AFlags(0x41)));
        assert!(!flags.contains(AFlags(0x43)));
    }
}
