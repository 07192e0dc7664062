//! Bytes from outside, and numbers, as text for people and scripts.

use std::fmt::Write as _;

pub(crate) use crate::plain::{one_line, table};

/// Bytes that may be anything, printable: UTF-8 as it is, but for control characters and the backslash, which are escaped as in a Rust
/// string, and so are bytes that are no UTF-8.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() || is_invisible(c) {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Characters that make a terminal show what is not there: directions, separators of lines, zero widths.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Bytes as a person reads them, in powers of 1000 as drives are sold: `1.07 GB`.
pub(crate) fn decimal_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        // What would be shown as 1000 is one of the next.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    let digits = match value {
        _ if unit == "B" => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_from_outside_cannot_command_a_terminal() {
        assert_eq!(escaped(b"owner=web1"), "owner=web1");
        assert_eq!(escaped("größe".as_bytes()), "größe");
        assert_eq!(escaped(b"\x1b[2Ja\tb\n\\\xff\x00"), "\\u{1b}[2Ja\\tb\\n\\\\\\xff\\u{0}");
        assert_eq!(escaped("\u{9b}2J\u{202e}".as_bytes()), "\\u{9b}2J\\u{202e}");
    }

    #[test]
    fn sizes_are_told_as_drives_are_sold() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (8_388_608, "8.39 MB"),
            (1_073_741_824, "1.07 GB"),
            (99_960_000_000, "100 GB"),
            (999_999, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(decimal_size(bytes), text, "{bytes}");
        }
    }
}
