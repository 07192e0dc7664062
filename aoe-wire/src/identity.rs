//! The texts of IDENTIFY DEVICE data: what may be in them, and how their bytes are swapped (ATA8-ACS, ATA string convention).

use core::fmt;

use zerocopy::byteorder::little_endian::U16;

/// Serial number, firmware revision and model number of a disk, fit to be written into an IDENTIFY page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    serial: &'a str,
    firmware: &'a str,
    model: &'a str,
}

impl<'a> Identity<'a> {
    /// Takes three texts of printable ASCII, at most 20, 8 and 40 characters.
    ///
    /// # Errors
    /// The first text that is too long, blank (illumos takes no disk without serial or model) or not printable.
    pub fn new(serial: &'a str, firmware: &'a str, model: &'a str) -> Result<Self, IdentityError> {
        check(serial, IdentityField::Serial)?;
        check(firmware, IdentityField::Firmware)?;
        check(model, IdentityField::Model)?;
        Ok(Self { serial, firmware, model })
    }

    /// Stable over restarts, and different for every disk.
    #[must_use]
    pub const fn serial(self) -> &'a str {
        self.serial
    }

    /// The version of whatever serves the disk.
    #[must_use]
    pub const fn firmware(self) -> &'a str {
        self.firmware
    }

    /// What kind of disk this is.
    #[must_use]
    pub const fn model(self) -> &'a str {
        self.model
    }
}

fn check(text: &str, field: IdentityField) -> Result<(), IdentityError> {
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(IdentityError::NotPrintable(field));
    }
    if text.len() > field.max() {
        return Err(IdentityError::TooLong(field));
    }
    if text.bytes().all(|byte| byte == b' ') {
        return Err(IdentityError::Blank(field));
    }
    Ok(())
}

/// Which text of an [`Identity`] an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityField {
    /// Serial number.
    Serial,
    /// Firmware revision.
    Firmware,
    /// Model number.
    Model,
}

impl IdentityField {
    /// The most characters it holds.
    #[must_use]
    pub const fn max(self) -> usize {
        match self {
            Self::Serial => 20,
            Self::Firmware => 8,
            Self::Model => 40,
        }
    }
}

impl fmt::Display for IdentityField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "serial number",
            Self::Firmware => "firmware revision",
            Self::Model => "model number",
        })
    }
}

/// Why a text cannot stand in an IDENTIFY page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It has more characters than its words hold.
    #[error("the {0} is longer than {max} characters", max = .0.max())]
    TooLong(IdentityField),
    /// It is empty or all spaces.
    #[error("the {0} is blank")]
    Blank(IdentityField),
    /// It has a character outside printable ASCII.
    #[error("the {0} has a character that is not printable ASCII")]
    NotPrintable(IdentityField),
}

/// A text of an IDENTIFY page, read where it is: the first character of each pair is the high byte of its word.
#[derive(Clone, Copy)]
pub struct AtaText<'a> {
    words: &'a [U16],
}

impl<'a> AtaText<'a> {
    pub(crate) const fn new(words: &'a [U16]) -> Self {
        Self { words }
    }

    /// Writes `text` left-justified, padded with spaces. What does not fit is left out.
    pub(crate) fn write(words: &mut [U16], text: &str) {
        let mut bytes = text.bytes().chain(core::iter::repeat(b' '));
        for word in words {
            let first = bytes.next().unwrap_or(b' ');
            let second = bytes.next().unwrap_or(b' ');
            *word = U16::from_bytes([second, first]);
        }
    }

    /// The characters in reading order, without the spaces and zero bytes before and after them.
    pub fn bytes(self) -> impl Iterator<Item = u8> {
        let is_pad = |byte: &u8| matches!(byte, b' ' | 0);
        let pads = self.padded().rev().take_while(is_pad).count();
        let len = self.words.len().saturating_mul(2).saturating_sub(pads);
        self.padded().take(len).skip_while(is_pad)
    }

    fn padded(self) -> impl DoubleEndedIterator<Item = u8> {
        self.words.iter().flat_map(|word| {
            let [second, first] = word.to_bytes();
            [first, second]
        })
    }
}

/// The trimmed text; a byte outside printable ASCII is escaped as in a Rust byte string.
impl fmt::Display for AtaText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().try_for_each(|byte| write!(f, "{}", core::ascii::escape_default(byte)))
    }
}

/// As `Display`, in quotes.
impl fmt::Debug for AtaText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Compares the trimmed text.
impl PartialEq<str> for AtaText<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

/// Compares the trimmed text.
impl PartialEq<&str> for AtaText<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_of_a_pair_is_sent_second() {
        let mut words = [U16::ZERO; 5];
        AtaText::write(&mut words, "AOE DISK");
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_bytes()).collect();
        assert_eq!(bytes, b"OA EIDKS  ");
        assert_eq!(AtaText::new(&words), "AOE DISK");
    }

    #[test]
    fn a_text_is_read_without_spaces_and_zeros_around_it() {
        let read = |words: &[[u8; 2]]| {
            let words: Vec<U16> = words.iter().map(|word| U16::from_bytes(*word)).collect();
            AtaText::new(&words).to_string()
        };
        assert_eq!(read(&[*b"a ", *b"b ", *b" c", [0, b' ']]), "a bc");
        assert_eq!(read(&[*b"  ", [0, 0]]), "");
        assert_eq!(read(&[[0x0a, 0xff]]), "\\xff\\n");
    }

    #[test]
    fn each_unfit_text_is_refused_for_its_own_reason() {
        use IdentityError::{Blank, NotPrintable, TooLong};
        use IdentityField::{Firmware, Model, Serial};
        assert_eq!(Identity::new("", "1", "m"), Err(Blank(Serial)));
        assert_eq!(Identity::new("s", "  ", "m"), Err(Blank(Firmware)));
        assert_eq!(Identity::new("s", "1", "m\u{e9}"), Err(NotPrintable(Model)));
        assert_eq!(Identity::new("s\n", "1", "m"), Err(NotPrintable(Serial)));
        assert_eq!(Identity::new("s", "123456789", "m"), Err(TooLong(Firmware)));
        assert_eq!(Identity::new("123456789012345678901", "1", "m"), Err(TooLong(Serial)));
        assert!(Identity::new(&"s".repeat(20), &"f".repeat(8), &"m".repeat(40)).is_ok());
    }
}
