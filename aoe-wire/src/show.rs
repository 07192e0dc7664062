//! One line of text for a frame, as a packet sniffer prints it. Printing never fails on any bytes, and whatever came
//! from outside is escaped.

use core::fmt::{self, Display, Formatter};

use crate::aoe::{AoeHeader, ErrorCode, Tag, VerFlags};
use crate::ata::AFlags;
use crate::ata::AtaArg;
use crate::error::WireError;
use crate::eth::{ETHERTYPE, EthHeader};
use crate::frame::{Arg, Packet};
use crate::mask::{Directive, DirectiveCommand, MaskArg, MaskCommand, MaskError};
use crate::query::{ConfigArg, ConfigCommand};
use crate::reserve::{ReserveArg, ReserveCommand};

/// Any bytes as a line of text: a decoded frame, or why they are none and how they begin.
///
/// ```
/// let line = aoe_wire::show(&[0; 20]).to_string();
/// assert_eq!(line, "undecodable, EtherType 0000 is not AoE: 0000000000000000000000000000000000000000");
/// ```
#[must_use]
pub fn show(frame: &[u8]) -> impl Display {
    Show(frame)
}

struct Show<'a>(&'a [u8]);

impl Display for Show<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match Packet::parse(self.0) {
            Ok(packet) => packet.fmt(f),
            Err(error) => write!(f, "undecodable, {error}: {}", Hex(self.0)),
        }
    }
}

/// The first bytes in hexadecimal, and how many there are when those are not all.
struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 36;
        self.0.iter().take(SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if self.0.len() > SHOWN { write!(f, ".. {} bytes", self.0.len()) } else { Ok(()) }
    }
}

/// Both headers, the command with its argument, and the bytes behind it.
impl Display for Packet<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Packet { eth, aoe, arg } = self;
        write!(f, "{eth} {aoe} ")?;
        match arg {
            Arg::Ata(arg, data) => show_ata(f, aoe.ver_flags, arg, data),
            Arg::Config(arg, payload) => show_config(f, aoe.ver_flags, arg, payload),
            Arg::Mask(arg, payload) => show_mask(f, aoe.ver_flags, arg, payload),
            Arg::Reserve(arg, payload) => show_reserve(f, aoe.ver_flags, arg, payload),
            Arg::Unknown(rest) => write!(f, "command {} {}", aoe.command, Hex(rest)),
        }
    }
}

/// `02:00:00:00:00:a1 > 02:00:00:00:00:b2`; the EtherType only if it is not that of AoE.
impl Display for EthHeader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.src, self.dst)?;
        match self.ethertype.get() {
            ETHERTYPE => Ok(()),
            other => write!(f, " EtherType {other:04x}"),
        }
    }
}

/// `AoE e7.3 tag 18ae0003`, then `reply`, an error, and a version or reserved flags if they are not as they should be.
impl Display for AoeHeader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "AoE {} tag {}{}", self.address(), self.tag, self.ver_flags)?;
        if self.error == ErrorCode::NONE && !self.ver_flags.is_error() {
            return Ok(());
        }
        match self.error.name() {
            Some(name) => write!(f, " error {} {name}", self.error.0),
            None => write!(f, " error {}", self.error.0),
        }
    }
}

/// Nothing for a request of version 1 and ` reply` for its reply; otherwise also what is unusual.
impl Display for VerFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.version() != Self::VERSION {
            write!(f, " version {}", self.version())?;
        }
        if self.is_response() {
            f.write_str(" reply")?;
        }
        let known = if self.is_response() { 0x0c } else { 0 };
        match self.flags() & !known {
            0 => Ok(()),
            unusual => write!(f, " flags {unusual:x}"),
        }
    }
}

/// Eight hexadecimal digits.
impl Display for Tag {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.to_u32())
    }
}

/// The registers as they are, since a command and a status look alike: `40/00/02/24 lba 400000000000`.
impl Display for AtaArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { aflags, err_feature, sector_count, cmd_status, lba, .. } = self;
        write!(f, "{:02x}/{err_feature:02x}/{sector_count:02x}/{cmd_status:02x} lba {lba}", aflags.0)
    }
}

fn show_ata(f: &mut Formatter<'_>, ver_flags: VerFlags, arg: &AtaArg, data: &[u8]) -> fmt::Result {
    f.write_str("ATA ")?;
    // A reply with the error flag carries the registers of the request.
    if ver_flags.is_response() && !ver_flags.is_error() {
        write!(f, "status {} error {}", arg.status(), arg.error())?;
    } else {
        write!(f, "{}", arg.command())?;
        if arg.feature() != 0 {
            write!(f, " feature {:02x}", arg.feature())?;
        }
    }
    let lba = if arg.aflags.contains(AFlags::EXTENDED) { arg.lba.lba48() } else { arg.lba.lba28() };
    write!(f, " lba {lba} count {} flags {}", arg.sector_count, arg.aflags)?;
    if data.is_empty() { Ok(()) } else { write!(f, " data {}", data.len()) }
}

/// `set length 5`; what a reply tells about the target if it tells anything.
impl Display for ConfigArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command())?;
        let info = self.info();
        if info != Default::default() {
            write!(
                f,
                " buffers {} firmware {:04x} sectors {}",
                info.buffer_count, info.firmware, info.sector_count
            )?;
        }
        write!(f, " length {}", self.len.get())
    }
}

fn show_config(f: &mut Formatter<'_>, ver_flags: VerFlags, arg: &ConfigArg, payload: &[u8]) -> fmt::Result {
    write!(f, "config {arg}")?;
    if arg.command() == ConfigCommand::READ && !ver_flags.is_response() {
        return Ok(());
    }
    match arg.string(payload) {
        Ok(string) => write!(f, " \"{}\"", string.escape_ascii()),
        Err(error) => write!(f, " ({error})"),
    }
}

/// `edit count 2`, and the error of a reply.
impl Display for MaskArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.error {
            MaskError::NONE => write!(f, "{} count {}", self.command, self.count),
            error => write!(f, "{} failed {error} at {}", self.command, self.count),
        }
    }
}

/// `add 02:00:00:00:00:a1`; only the MAC when there is nothing to do.
impl Display for Directive {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.command {
            DirectiveCommand::NOP => self.mac.fmt(f),
            command => write!(f, "{command} {}", self.mac),
        }
    }
}

fn show_mask(f: &mut Formatter<'_>, ver_flags: VerFlags, arg: &MaskArg, payload: &[u8]) -> fmt::Result {
    write!(f, "mask {arg}")?;
    let ignored = arg.command == MaskCommand::READ && !ver_flags.is_response();
    if ignored || arg.error != MaskError::NONE {
        return Ok(());
    }
    show_list(f, arg.directives(payload))
}

/// `set count 2`.
impl Display for ReserveArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} count {}", self.command, self.count)
    }
}

fn show_reserve(f: &mut Formatter<'_>, ver_flags: VerFlags, arg: &ReserveArg, payload: &[u8]) -> fmt::Result {
    write!(f, "reserve {arg}")?;
    if arg.command == ReserveCommand::READ && !ver_flags.is_response() {
        return Ok(());
    }
    show_list(f, arg.macs(payload))
}

fn show_list<T: Display>(f: &mut Formatter<'_>, list: Result<&[T], WireError>) -> fmt::Result {
    match list {
        Ok(entries) => entries.iter().try_for_each(|entry| write!(f, " {entry}")),
        Err(error) => write!(f, " ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a frame from a1 to b2 whose bytes from the version on are given in hexadecimal, without the MACs.
    fn line(hex: &str) -> String {
        let mut frame = b"\x02\0\0\0\0\xb2\x02\0\0\0\0\xa1\x88\xa2".to_vec();
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
        frame.extend(digits.chunks(2).map(byte));
        show(&frame).to_string().replace("02:00:00:00:00:a1 > 02:00:00:00:00:b2 ", "")
    }

    #[test]
    fn what_is_unusual_about_the_header_is_named() {
        let cases = [
            ("10 00 0007 03 2a 00000001 abcd", "AoE e7.3 tag 00000001 command 0x2a abcd"),
            ("20 00 ffff ff 2a 00000001", "AoE e65535.255 tag 00000001 version 2 command 0x2a "),
            ("17 00 0007 03 2a 00000001", "AoE e7.3 tag 00000001 flags 7 error 0 none command 0x2a "),
            ("1b 09 0007 03 2a 00000001", "AoE e7.3 tag 00000001 reply flags 3 error 9 command 0x2a "),
        ];
        for (hex, expected) in cases {
            assert_eq!(line(hex), expected);
        }
    }

    #[test]
    fn bytes_from_outside_are_escaped() {
        let shown = line("10 00 0007 03 01 00000001 0000 0000 00 13 0004 0a1b22ff");
        assert_eq!(shown, "AoE e7.3 tag 00000001 config set length 4 \"\\n\\x1b\\\"\\xff\"");
    }

    #[test]
    fn a_string_or_list_beyond_the_frame_is_said_to_be() {
        let cases = [
            (
                "10 00 0007 03 01 00000001 0000 0000 00 13 0004 0a",
                "config set length 4 (the config string counts 4 bytes and has room for 1)",
            ),
            (
                "10 00 0007 03 02 00000001 00 01 00 02 0001020000000001",
                "mask edit count 2 (the list counts 2 entries and has room for 1)",
            ),
            (
                "10 00 0007 03 03 00000001 01 01 02000000",
                "reserve set count 1 (the list counts 1 entries and has room for 0)",
            ),
        ];
        for (hex, expected) in cases {
            assert_eq!(line(hex), format!("AoE e7.3 tag 00000001 {expected}"));
        }
    }

    #[test]
    fn what_a_read_does_not_mean_is_not_shown() {
        assert!(line("10 00 0007 03 01 00000001 0000 0000 00 00 0001 41").ends_with("config read length 1"));
        assert!(line("10 00 0007 03 02 00000001 00 00 00 09").ends_with("mask read count 9"));
        assert!(line("10 00 0007 03 03 00000001 00 09").ends_with("reserve read count 9"));
    }

    #[test]
    fn a_long_undecodable_frame_is_cut() {
        let shown = show(&[0xab; 100]).to_string();
        assert_eq!(shown, format!("undecodable, EtherType abab is not AoE: {}.. 100 bytes", "ab".repeat(36)));
    }

    #[test]
    fn registers_are_shown_as_they_are() {
        let arg = AtaArg::request(
            crate::AtaCommand::READ_SECTORS_EXT,
            AFlags::EXTENDED,
            crate::Lba([0x40, 0, 0, 0, 0, 1]),
            2,
        );
        assert_eq!(arg.to_string(), "40/00/02/24 lba 400000000001");
    }
}
