//! The layout of a state file.
//!
//! ```text
//! vblade state 1
//! address e7.3
//! path /srv/disk.img
//! config what an initiator wrote, \x0a escaped
//! mask 02:00:00:00:00:a1
//! reserve 02:00:00:00:00:a1
//! crc32 0badcafe
//! ```
//!
//! `mask` and `reserve` come once for each entry. There is exactly one text for every state, and only that is read back. The checksum
//! covers everything before its line.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use aoe_target::{Address, MacAddr, State};

const VERSION: u32 = 1;
const MAGIC: &str = "vblade state ";

/// The export that a state belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) address: Address,
    pub(super) path: PathBuf,
}

/// Why a text is not the state of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    Damaged,
    Newer(u32),
    /// It is whole, and another export's.
    Foreign(Key),
}

pub(super) fn encode(key: &Key, state: &State) -> String {
    let mut text = format!("{MAGIC}{VERSION}\naddress {}\n", key.address);
    line(&mut text, "path", &escape(key.path.as_os_str().as_bytes()));
    line(&mut text, "config", &escape(&state.config));
    state.mask.iter().for_each(|mac| line(&mut text, "mask", &mac.to_string()));
    state.reserve.iter().for_each(|mac| line(&mut text, "reserve", &mac.to_string()));
    let sum = format!("{:08x}", crc32fast::hash(text.as_bytes()));
    line(&mut text, "crc32", &sum);
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    text.extend([name, " ", value, "\n"]);
}

pub(super) fn decode(bytes: &[u8], key: &Key) -> Result<State, DecodeError> {
    let text = str::from_utf8(bytes).map_err(|_| DecodeError::Damaged)?;
    let version = text.strip_prefix(MAGIC).and_then(|rest| rest.lines().next()).and_then(number);
    if let Some(version) = version.filter(|version| *version > VERSION) {
        return Err(DecodeError::Newer(version));
    }
    let (found, state) = parse(text).ok_or(DecodeError::Damaged)?;
    // Whatever was read otherwise than it is written, the checksum's line included, makes a difference here.
    if encode(&found, &state) != text {
        return Err(DecodeError::Damaged);
    }
    if found == *key { Ok(state) } else { Err(DecodeError::Foreign(found)) }
}

/// A number of any length; one that is beyond counting is the largest.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

fn parse(text: &str) -> Option<(Key, State)> {
    let mut lines = text.lines().skip(1).map(|line| line.split_once(' '));
    let mut value_of =
        |expected: &str| lines.next().flatten().filter(|(name, _)| *name == expected).map(|(_, value)| value);
    let address = value_of("address")?.parse().ok()?;
    let path = PathBuf::from(OsString::from_vec(unescape(value_of("path")?)?));
    let mut state = State { config: unescape(value_of("config")?)?.into(), ..State::default() };
    for line in lines {
        let (name, value) = line?;
        let list: &mut Vec<MacAddr> = match name {
            "mask" => &mut state.mask,
            "reserve" => &mut state.reserve,
            "crc32" => break,
            _ => return None,
        };
        list.push(value.parse().ok()?);
    }
    Some((Key { address, path }, state))
}

/// Printable ASCII as it is, everything else and the backslash as `\xHH`.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' '..=b'~' if byte != b'\\' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                bytes.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
                tail
            }
            (b'\\', _) => return None,
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    Some(bytes)
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.address, self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key { address: Address::new(7, 3), path: "/srv/disk.img".into() }
    }

    fn example() -> State {
        State {
            config: b"root=e7.3\n\\\xff".to_vec().into(),
            mask: vec![MacAddr([2, 0, 0, 0, 0, 0xa1]), MacAddr([2, 0, 0, 0, 0, 0xb2])],
            reserve: vec![MacAddr([2, 0, 0, 0, 0, 0xa1])],
        }
    }

    #[test]
    fn a_state_is_a_text_that_a_person_can_read() {
        let text = encode(&key(), &example());
        let (body, sum) = text.split_at(text.len() - "crc32 12345678\n".len());
        assert_eq!(
            body,
            "vblade state 1\naddress e7.3\npath /srv/disk.img\nconfig root=e7.3\\x0a\\x5c\\xff\n\
             mask 02:00:00:00:00:a1\nmask 02:00:00:00:00:b2\nreserve 02:00:00:00:00:a1\n"
        );
        assert_eq!(sum, format!("crc32 {:08x}\n", crc32fast::hash(body.as_bytes())));
    }

    #[test]
    fn a_text_cut_anywhere_is_damaged() {
        let text = encode(&key(), &example());
        for len in 0..text.len() {
            assert_eq!(decode(&text.as_bytes()[..len], &key()), Err(DecodeError::Damaged), "{len} bytes");
        }
        assert_eq!(decode(&[text.as_bytes(), b"\n"].concat(), &key()), Err(DecodeError::Damaged));
    }

    #[test]
    fn a_text_with_any_bit_flipped_is_refused() {
        let text = encode(&key(), &example());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(decode(&bytes, &key()).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        assert_eq!(decode(b"vblade state 2\nanything\xc3\xa9", &key()), Err(DecodeError::Newer(2)));
        let long = decode(b"vblade state 99999999999999999999\n", &key());
        assert_eq!(long, Err(DecodeError::Newer(u32::MAX)));
        for none in ["", "-2", "+2", "2x"] {
            let text = format!("vblade state {none}\n");
            assert_eq!(decode(text.as_bytes(), &key()), Err(DecodeError::Damaged), "{none:?}");
        }
        assert_eq!(decode(b"vblade state 0\n", &key()), Err(DecodeError::Damaged));
        assert_eq!(decode(b"", &key()), Err(DecodeError::Damaged));
    }

    #[test]
    fn the_state_of_another_export_is_not_taken() {
        let text = encode(&key(), &example());
        let other_path = Key { path: "/srv/other.img".into(), ..key() };
        let other_address = Key { address: Address::new(7, 4), ..key() };
        for other in [other_path, other_address] {
            assert_eq!(decode(text.as_bytes(), &other), Err(DecodeError::Foreign(key())));
        }
    }

    fn macs() -> impl Strategy<Value = Vec<MacAddr>> {
        vec(any::<[u8; 6]>().prop_map(MacAddr), 0..20)
    }

    proptest! {
        #[test]
        fn every_state_is_read_back_as_it_was(
            major: u16,
            minor: u8,
            path in vec(any::<u8>(), 0..80),
            config in vec(any::<u8>(), 0..1025),
            mask in macs(),
            reserve in macs(),
        ) {
            let key = Key { address: Address::new(major, minor), path: OsString::from_vec(path).into() };
            let state = State { config: config.into(), mask, reserve };
            prop_assert_eq!(decode(encode(&key, &state).as_bytes(), &key), Ok(state));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..400)) {
            prop_assert!(decode(&bytes, &key()).is_err());
            let after_magic = [b"vblade state 1\naddress e7.3\npath ".as_slice(), &bytes].concat();
            prop_assert!(decode(&after_magic, &key()).is_err());
        }
    }
}
