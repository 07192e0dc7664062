//! Making a reply in the request's own buffer (AoEr11 §2).
//!
//! Every byte that leaves is the request's and meant to be echoed, or written here: nothing of an earlier frame in the same buffer
//! gets out. The source address is the link's, the target's address is its own, whatever the request said.

use aoe_wire::{ATA_HEADER_LEN, ETH_HEADER_LEN};
use aoe_wire::{
    Arg, ArgMut, AtaError, AtaStatus, CONFIG_HEADER_LEN, ConfigArg, ConfigInfo, Directive, DirectiveCommand,
    ErrorCode, HEADER_LEN, MASK_HEADER_LEN, MIN_FRAME, MacAddr, MaskError, Packet, PacketMut,
    RESERVE_HEADER_LEN, SECTOR, build_advertisement,
};

use crate::head::{self, HEAD};
use crate::mask::Stopped;
use crate::{Frame, LinkInfo, Target};

/// Firmware version in config replies: this revision of the engine.
const FIRMWARE: u16 = 1;

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Identify,
    /// The disk has put this many bytes after the header.
    AtaData {
        len: usize,
    },
    AtaGood {
        count: u8,
    },
    AtaFailed(AtaError),
    Config,
    Mask,
    MaskStopped(Stopped),
    Reserve,
    /// The AoE error flag.
    Refused(ErrorCode),
}

impl Reply {
    /// Whether it tells of a failure that is kept quiet when everybody was asked.
    pub(crate) fn is_failure(self) -> bool {
        match self {
            Self::Refused(code) => code != ErrorCode::CONFIG_PRESENT,
            Self::AtaFailed(_) | Self::MaskStopped(_) => true,
            _ => false,
        }
    }
}

/// Turns the request in `frame` into the reply.
pub(crate) fn write<F: Frame>(mut frame: F, link: &LinkInfo, target: &Target, reply: Reply) -> F {
    let room = link.mtu as usize + ETH_HEADER_LEN;
    let state = target.state();
    // How long the reply is, and up to where the request's bytes stay or are written below; the rest is zeroed.
    let (len, kept) = match reply {
        Reply::AtaData { len } => (ATA_HEADER_LEN + len, ATA_HEADER_LEN + len),
        Reply::Identify => (ATA_HEADER_LEN + SECTOR, ATA_HEADER_LEN),
        Reply::AtaGood { .. } | Reply::AtaFailed(_) => (ATA_HEADER_LEN, ATA_HEADER_LEN),
        Reply::Config => (CONFIG_HEADER_LEN + state.config.len(), CONFIG_HEADER_LEN),
        Reply::Mask => (MASK_HEADER_LEN + state.mask.len() * size_of::<Directive>(), MASK_HEADER_LEN),
        Reply::MaskStopped(_) => (MASK_HEADER_LEN, MASK_HEADER_LEN),
        Reply::Reserve => {
            (RESERVE_HEADER_LEN + state.reserve.len() * size_of::<MacAddr>(), RESERVE_HEADER_LEN)
        }
        Reply::Refused(_) => refusal_len(&frame, target),
    };
    shape(&mut frame, len.min(room), kept);
    // What the disk has read is of no interest here.
    let want = if matches!(reply, Reply::AtaData { .. }) { ATA_HEADER_LEN } else { HEAD };
    head::edit(&mut frame, want, |head| {
        let packet = match reply {
            // A frame of an unknown command or version may be too short for an argument.
            Reply::Refused(_) if kept == HEADER_LEN => PacketMut::parse_headers(head),
            _ => PacketMut::parse(head),
        };
        if let Ok(packet) = packet {
            fill(packet, link, target, reply);
        }
    });
    frame
}

/// Writes headers, registers and what else a reply holds besides data.
fn fill(mut packet: PacketMut<'_>, link: &LinkInfo, target: &Target, reply: Reply) {
    let own = target.address();
    let state = target.state();
    match reply {
        Reply::Refused(code) => packet.refuse(link.mac, own, code),
        _ => packet.respond(link.mac, own),
    }
    match packet.arg {
        ArgMut::Ata(arg, payload) => match reply {
            Reply::Identify => {
                arg.succeed();
                target.options().identity.write(payload, target.disk(), target.write_cache());
            }
            Reply::AtaData { .. } => arg.succeed(),
            Reply::AtaGood { count } => arg.reply(AtaStatus::GOOD, AtaError::NONE, count),
            Reply::AtaFailed(error) => arg.fail(error),
            _ => {}
        },
        ArgMut::Config(arg, payload) => {
            let sent = copy(payload, &state.config);
            *arg = ConfigArg::reply(info(link, target), arg.command(), sent);
        }
        ArgMut::Mask(arg, payload) => match reply {
            Reply::Mask => {
                let listed = list(payload, &state.mask, |mac| Directive::new(DirectiveCommand::NOP, mac));
                (arg.reserved, arg.error, arg.count) = (0, MaskError::NONE, listed);
            }
            Reply::MaskStopped(Stopped { index, error }) => {
                (arg.reserved, arg.error, arg.count) = (0, error, index);
            }
            _ => {}
        },
        ArgMut::Reserve(arg, payload) => arg.count = list(payload, &state.reserve, |mac| mac),
        ArgMut::Unknown(_) => {}
    }
}

/// The length of an error reply and what it keeps of the request: the fixed argument of a known command, never its data.
fn refusal_len<F: Frame>(frame: &F, target: &Target) -> (usize, usize) {
    match Packet::parse(frame.bytes()).map(|packet| packet.arg) {
        Ok(Arg::Ata(..)) => (ATA_HEADER_LEN, ATA_HEADER_LEN),
        Ok(Arg::Config(..)) => (CONFIG_HEADER_LEN + target.state().config.len(), CONFIG_HEADER_LEN),
        Ok(Arg::Mask(..)) => (MASK_HEADER_LEN, MASK_HEADER_LEN),
        Ok(Arg::Reserve(..)) => {
            let list = target.state().reserve.len() * size_of::<MacAddr>();
            (RESERVE_HEADER_LEN + list, RESERVE_HEADER_LEN)
        }
        Ok(Arg::Unknown(_)) | Err(_) => (HEADER_LEN, HEADER_LEN),
    }
}

/// Makes the frame `len` bytes long, at least 60, and zeroes what lies after the first `kept`.
fn shape<F: Frame>(frame: &mut F, len: usize, kept: usize) {
    frame.set_len(len.max(MIN_FRAME).min(frame.capacity()));
    if kept < len.max(MIN_FRAME) {
        head::zero_behind(frame, kept);
    }
}

/// Copies what fits of `text`; how much that was.
fn copy(payload: &mut [u8], text: &[u8]) -> u16 {
    let len = text.len().min(payload.len());
    payload[..len].copy_from_slice(&text[..len]);
    u16::try_from(len).unwrap_or(0)
}

/// Writes what fits of `macs` as entries; how many those were.
fn list<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    payload: &mut [u8],
    macs: &[MacAddr],
    entry: impl Fn(MacAddr) -> T,
) -> u8 {
    let slots = payload.chunks_exact_mut(size_of::<T>());
    let listed = slots.zip(macs).map(|(slot, mac)| slot.copy_from_slice(entry(*mac).as_bytes())).count();
    u8::try_from(listed).unwrap_or(u8::MAX)
}

/// What every config reply tells.
fn info(link: &LinkInfo, target: &Target) -> ConfigInfo {
    ConfigInfo {
        buffer_count: target.options().buffer_count,
        firmware: FIRMWARE,
        sector_count: target.sectors_per_request(link),
    }
}

/// Writes an advertisement into an empty frame.
pub(crate) fn advertise<F: Frame>(mut frame: F, link: &LinkInfo, target: &Target, to: MacAddr) -> F {
    let string = &target.state().config;
    let room = (link.mtu as usize + ETH_HEADER_LEN).min(frame.capacity());
    let string = &string[..string.len().min(room.saturating_sub(CONFIG_HEADER_LEN))];
    frame.set_len((CONFIG_HEADER_LEN + string.len()).max(MIN_FRAME).min(room));
    let info = info(link, target);
    let written = head::edit(&mut frame, HEAD, |head| {
        build_advertisement(head, to, link.mac, target.address(), info, string)
    });
    frame.set_len(written.unwrap_or(0));
    frame
}
