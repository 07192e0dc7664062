//! Any bytes, as the state file of an export; and any state, as a file.
//!
//! The reader of `vblade`'s state files is compiled in: a file that is damaged in any way must be refused, and one that is taken must be
//! what would be written for it, byte for byte.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use aoe_target::{Address, MacAddr, State};
use arbitrary::Arbitrary;

use self::text::{DecodeError, Key, decode, encode};

#[path = "../../vblade-cli/src/state/text.rs"]
mod text;

/// A state, and what happens to its file.
#[derive(Debug, Arbitrary)]
pub struct Script {
    address: (u16, u8),
    path: Vec<u8>,
    config: Vec<u8>,
    mask: Vec<[u8; 6]>,
    reserve: Vec<[u8; 6]>,
    damage: Vec<Damage>,
    /// Instead of all that, a file of these bytes.
    raw: Option<Vec<u8>>,
}

#[derive(Debug, Arbitrary)]
enum Damage {
    Byte(u16, u8),
    Cut(u16),
    Insert(u16, Vec<u8>),
    Remove(u16, u16),
    /// The checksum is made right again, so that what is behind it is reached.
    Checksum,
}

/// Reads what the script makes.
///
/// # Panics
///
/// When something is wrong.
pub fn run(script: &Script) {
    let macs = |macs: &[[u8; 6]]| macs.iter().map(|mac| MacAddr(*mac)).collect();
    let (major, minor) = script.address;
    let key =
        Key { address: Address::new(major, minor), path: OsString::from_vec(script.path.clone()).into() };
    let state = State {
        config: script.config.clone().into(),
        mask: macs(&script.mask),
        reserve: macs(&script.reserve),
    };
    let whole = encode(&key, &state).into_bytes();
    assert_eq!(decode(&whole, &key), Ok(state), "a state is read back as it was");

    let mut bytes = script.raw.clone().unwrap_or_else(|| whole.clone());
    script.damage.iter().for_each(|damage| damage.apply(&mut bytes));
    match decode(&bytes, &key) {
        Ok(state) => {
            let written = encode(&key, &state).into_bytes();
            assert!(lines(&written).eq(lines(&bytes)), "one text for one state");
        }
        Err(DecodeError::Newer(version)) => assert!(version > 1),
        Err(DecodeError::Foreign(other)) => {
            assert_ne!(other, key);
            assert!(!other.to_string().is_empty());
            assert!(decode(&bytes, &other).is_ok(), "it is whole");
        }
        Err(DecodeError::Damaged) => assert_ne!(bytes, whole),
    }
}

/// All but the path, which may be the same with more slashes, and with it the checksum.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"path ") && !line.starts_with(b"crc32 "))
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u16, len: usize| usize::from(at) % (len + 1);
        match self {
            Self::Byte(at, value) => {
                let at = place(*at, bytes.len());
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= value);
            }
            Self::Cut(at) => bytes.truncate(place(*at, bytes.len())),
            Self::Insert(at, more) => {
                let at = place(*at, bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, len) => {
                let at = place(*at, bytes.len());
                let end = at + place(*len, bytes.len() - at);
                bytes.drain(at..end);
            }
            Self::Checksum => {
                if let Some(at) = bytes.windows(7).rposition(|window| window == b"\ncrc32 ") {
                    bytes.truncate(at + 1);
                    let sum = format!("crc32 {:08x}\n", crc32fast::hash(bytes));
                    bytes.extend_from_slice(sum.as_bytes());
                }
            }
        }
    }
}
