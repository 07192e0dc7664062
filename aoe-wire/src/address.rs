//! Shelf and slot, the address of a target (AoEr11 §2).

use core::fmt;
use core::num::IntErrorKind;
use core::str::FromStr;

/// Shelf and slot of a target, printed as `e7.3`. A host type: not laid out as on the wire.
///
/// In a request either half may be a wildcard, which every target's number matches; no target can own a wildcard.
///
/// ```
/// # use aoe_wire::Address;
/// let own = Address::owned(7, 3)?;
/// assert_eq!("e7.3".parse(), Ok(own));
/// assert_eq!("0x7.3".parse(), Ok(own));
/// assert!(Address::WILDCARD.matches(own));
/// assert!("7.256".parse::<Address>().is_err());
/// # Ok::<(), aoe_wire::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Shelf, 0 to 65534; 65535 is the wildcard.
    pub major: u16,
    /// Slot, 0 to 254; 255 is the wildcard.
    pub minor: u8,
}

impl Address {
    /// The shelf number that means every shelf.
    pub const ANY_MAJOR: u16 = 0xffff;
    /// The slot number that means every slot.
    pub const ANY_MINOR: u8 = 0xff;
    /// Every target.
    pub const WILDCARD: Self = Self::new(Self::ANY_MAJOR, Self::ANY_MINOR);

    /// Any address, wildcards included.
    #[must_use]
    pub const fn new(major: u16, minor: u8) -> Self {
        Self { major, minor }
    }

    /// An address a target may own.
    ///
    /// # Errors
    /// [`AddressError::Reserved`] when either number is a wildcard.
    pub const fn owned(major: u16, minor: u8) -> Result<Self, AddressError> {
        if major == Self::ANY_MAJOR {
            return Err(AddressError::Reserved(AddressPart::Shelf));
        }
        if minor == Self::ANY_MINOR {
            return Err(AddressError::Reserved(AddressPart::Slot));
        }
        Ok(Self::new(major, minor))
    }

    /// Whether either half is a wildcard.
    #[must_use]
    pub const fn is_wildcard(self) -> bool {
        self.major == Self::ANY_MAJOR || self.minor == Self::ANY_MINOR
    }

    /// Whether a request sent to `self` is meant for the target at `own`. Each half is compared by itself.
    #[must_use]
    pub const fn matches(self, own: Self) -> bool {
        (self.major == own.major || self.major == Self::ANY_MAJOR)
            && (self.minor == own.minor || self.minor == Self::ANY_MINOR)
    }

    /// Reads a shelf number: decimal, or hexadecimal after `0x`; the whole text.
    ///
    /// # Errors
    /// [`AddressError::NotANumber`] or [`AddressError::TooLarge`] naming the shelf.
    pub fn parse_major(text: &str) -> Result<u16, AddressError> {
        number(text, AddressPart::Shelf, u16::from_str_radix)
    }

    /// Reads a slot number: decimal, or hexadecimal after `0x`; the whole text.
    ///
    /// # Errors
    /// [`AddressError::NotANumber`] or [`AddressError::TooLarge`] naming the slot.
    pub fn parse_minor(text: &str) -> Result<u8, AddressError> {
        number(text, AddressPart::Slot, u8::from_str_radix)
    }
}

/// `e7.3` or `7.3`; each number as [`Address::parse_major`] takes it. Wildcards are accepted as the numbers they are.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let numbers = text.strip_prefix('e').unwrap_or(text);
        let (major, minor) = numbers.split_once('.').ok_or(AddressError::NoDot)?;
        Ok(Self::new(Self::parse_major(major)?, Self::parse_minor(minor)?))
    }
}

fn number<T>(
    text: &str,
    part: AddressPart,
    parse: fn(&str, u32) -> Result<T, core::num::ParseIntError>,
) -> Result<T, AddressError> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // The standard parser takes a leading sign, which is no digit.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(AddressError::NotANumber(part));
    }
    parse(digits, radix).map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow => AddressError::TooLarge(part),
        _ => AddressError::NotANumber(part),
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}.{}", self.major, self.minor)
    }
}

/// Which half of an [`Address`] an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPart {
    /// The major number.
    Shelf,
    /// The minor number.
    Slot,
}

impl AddressPart {
    /// The largest number that fits the wire and is no wildcard.
    #[must_use]
    pub const fn max(self) -> u16 {
        match self {
            Self::Shelf => 65534,
            Self::Slot => 254,
        }
    }
}

impl fmt::Display for AddressPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shelf => "shelf",
            Self::Slot => "slot",
        })
    }
}

/// Why a text or a pair of numbers is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no dot between shelf and slot.
    #[error("an address is a shelf and a slot with a dot between, such as e7.3")]
    NoDot,
    /// Not a decimal number, nor a hexadecimal one after `0x`.
    #[error("the {0} is not a decimal or 0x hexadecimal number")]
    NotANumber(AddressPart),
    /// A number that does not fit its field.
    #[error("the {0} is larger than {max}", max = .0.max())]
    TooLarge(AddressPart),
    /// The wildcard number, which no target can own.
    #[error("the {0} is the wildcard, which no target can own; the largest is {max}", max = .0.max())]
    Reserved(AddressPart),
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Address = Address::new(7, 3);

    #[test]
    fn each_half_of_an_address_matches_by_itself() {
        for matching in [(7, 3), (0xffff, 0xff), (7, 0xff), (0xffff, 3)] {
            assert!(Address::new(matching.0, matching.1).matches(OWN), "{matching:?}");
        }
        for foreign in [(7, 4), (8, 3), (8, 0xff), (0xffff, 4)] {
            assert!(!Address::new(foreign.0, foreign.1).matches(OWN), "{foreign:?}");
        }
    }

    #[test]
    fn one_wild_half_makes_a_wildcard() {
        assert!(Address::new(7, 0xff).is_wildcard() && Address::new(0xffff, 3).is_wildcard());
        assert!(!OWN.is_wildcard());
    }

    #[test]
    fn an_address_is_two_numbers_in_decimal_or_hexadecimal() {
        for text in ["7.3", "e7.3", "0x7.3", "e7.0x03", "007.3"] {
            assert_eq!(text.parse(), Ok(OWN), "{text}");
        }
        assert_eq!("0x10.3".parse(), Ok(Address::new(16, 3)));
        assert_eq!("65535.255".parse(), Ok(Address::WILDCARD));
    }

    #[test]
    fn each_malformed_address_is_refused_for_its_own_reason() {
        use AddressError::{NoDot, NotANumber, TooLarge};
        use AddressPart::{Shelf, Slot};
        let cases = [
            ("", NoDot),
            ("7", NoDot),
            ("abc.0", NotANumber(Shelf)),
            ("3x.1", NotANumber(Shelf)),
            (".1", NotANumber(Shelf)),
            ("0x.1", NotANumber(Shelf)),
            ("+7.3", NotANumber(Shelf)),
            ("-7.3", NotANumber(Shelf)),
            (" 7.3", NotANumber(Shelf)),
            ("ee7.3", NotANumber(Shelf)),
            ("7.", NotANumber(Slot)),
            ("7.3.1", NotANumber(Slot)),
            ("7.3 ", NotANumber(Slot)),
            ("65536.0", TooLarge(Shelf)),
            ("70000.0", TooLarge(Shelf)),
            ("0.256", TooLarge(Slot)),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    #[test]
    fn no_target_owns_a_wildcard() {
        assert_eq!(Address::owned(65535, 0), Err(AddressError::Reserved(AddressPart::Shelf)));
        assert_eq!(Address::owned(0, 255), Err(AddressError::Reserved(AddressPart::Slot)));
        assert_eq!(Address::owned(65534, 254), Ok(Address::new(65534, 254)));
    }

    #[test]
    fn an_address_error_names_the_half_and_its_limit() {
        let error = "7.300".parse::<Address>().unwrap_err();
        assert_eq!(error.to_string(), "the slot is larger than 254");
    }
}
