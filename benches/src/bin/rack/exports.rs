//! The disks, and the two configurations that take turns.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aoe_initiator::Address;

use crate::MACS;

/// Exports that are never changed.
pub(crate) const KEPT: u16 = 48;
/// Exports that the second configuration changes.
pub(crate) const CHANGED: u16 = 8;
/// Exports that only one of the two configurations has.
pub(crate) const MOVED: u16 = 8;
/// The most exports that there are disks for.
pub(crate) const MOST: u16 = 256;

/// Bytes of a disk of the rack.
const LEN: u64 = 2 << 20;

/// Which of the two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    First,
    Second,
}

impl Turn {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The address of a disk.
pub(crate) fn address(number: u16) -> Address {
    Address::new(7 + number / 255, (number % 255) as u8)
}

/// Makes the disks: those that are loaded have data, the others have holes.
pub(crate) fn create(directory: &Path) -> io::Result<()> {
    let data: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
    for number in 0..MOST {
        let mut file = File::create(path(directory, number))?;
        if number < KEPT + CHANGED { file.write_all(&data)? } else { file.set_len(LEN)? }
    }
    Ok(())
}

fn path(directory: &Path, number: u16) -> PathBuf {
    directory.join(format!("disk{number}"))
}

/// The rack with 64 exports: the second turn has eight others than the first, and eight that are set in another way.
pub(crate) fn rack(directory: &Path, turn: Turn) -> String {
    let moved = KEPT + CHANGED;
    let numbers = match turn {
        Turn::First => moved..moved + MOVED,
        Turn::Second => moved + MOVED..moved + 2 * MOVED,
    };
    let hosts = MACS.map(|(_, host)| host.to_string());
    let changes = [
        "buffer_count = 32".to_owned(),
        format!("allow = {hosts:?}"),
        "cache = \"writethrough\"".to_owned(),
        "queue_depth = 32".to_owned(),
    ];
    let more = |number: u16| match turn {
        Turn::Second if (KEPT..moved).contains(&number) => {
            changes[usize::from(number) % changes.len()].clone()
        }
        _ => String::new(),
    };
    (0..moved).chain(numbers).map(|number| export(directory, number, &more(number))).collect()
}

/// So many exports.
pub(crate) fn plain(directory: &Path, count: u16) -> String {
    (0..count).map(|number| export(directory, number, "")).collect()
}

fn export(directory: &Path, number: u16, more: &str) -> String {
    let address = address(number);
    format!("[[export]]\naddress = \"{address}\"\npath = {:?}\n{more}\n", path(directory, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_on_with_the_next_shelf() {
        assert_eq!(
            [0, 254, 255].map(address),
            [Address::new(7, 0), Address::new(7, 254), Address::new(8, 0)]
        );
    }

    #[test]
    fn so_many_exports_are_configured() {
        assert_eq!(plain(Path::new("/d"), 3).matches("[[export]]").count(), 3);
    }
}
