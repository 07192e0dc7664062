//! Codec of ATA over Ethernet (AoE): disks on a network segment, without IP.
//!
//! An initiator puts the registers of an ATA command, and the data of a write, into one Ethernet frame; the target does
//! what they say and sends the same frame back with the registers, and the data of a read, of the answer. Frames are
//! neither numbered nor acknowledged: a request is repeated until its reply arrives. A target is addressed by shelf and
//! slot (`e7.3`); three further commands read and set its config string, its list of admitted initiators and its
//! reservation. This crate is the layout of all that for both sides and nothing else: no state, no policy, no I/O, no
//! allocation. It follows revision 11 of the protocol (AoEr11) and ATA8-ACS.
//!
//! # Layers
//!
//! | bytes | type | module |
//! |---|---|---|
//! | 0-13 | [`EthHeader`], [`MacAddr`] | `eth` |
//! | 14-23 | [`AoeHeader`]: [`VerFlags`], [`ErrorCode`], [`Address`], [`Command`], [`Tag`] | `aoe`, `address` |
//! | 24- | [`AtaArg`]: [`AFlags`], [`AtaCommand`], [`AtaStatus`], [`AtaError`], [`Lba`] | `ata`, `register` |
//! | | [`ConfigArg`]: [`ConfigCommand`] | `query` |
//! | | [`MaskArg`], [`Directive`] | `mask` |
//! | | [`ReserveArg`] | `reserve` |
//! | 36- | [`IdentifyDevice`], [`TrimRange`], or sectors | `identify`, `ata` |
//!
//! [`Packet`] and [`PacketMut`] (`frame`) take a whole frame apart, [`build_ata`] and its siblings (`emit`) write a
//! request, [`show`](show()) prints any bytes as one line.
//!
//! Each struct has the layout of the wire and is read and edited where the frame lies; all are made of bytes, so any
//! address will do. A field with a list of values is a newtype over `u8` with constants: a value this crate does not
//! know is kept, printed and can be answered.
//!
//! # Panics
//!
//! Nothing here panics, whatever the bytes. Lengths are checked once, by [`Packet::parse`] for headers and arguments and
//! by the functions that read a list, string or page from the payload; they fail with a [`WireError`]. Every other
//! function is total.
//!
//! # Example
//!
//! A request is written, taken apart, answered in place and printed.
//!
//! ```
//! use aoe_wire::*;
//!
//! let initiator: MacAddr = "02:00:00:00:00:a1".parse()?;
//! let target: MacAddr = "02:00:00:00:00:b2".parse()?;
//! let own = Address::owned(7, 3)?;
//!
//! let mut frame = [0; 1514];
//! let header = RequestHeader { dst: target, src: initiator, address: own, tag: Tag::from_u32(0x18ae_0003) };
//! let lba = Lba::from_lba48(64).ok_or("beyond 48 bits")?;
//! let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, lba, 1);
//! let received = build_ata(&mut frame, header, arg, &[])?;
//!
//! let packet = Packet::parse(&frame[..received])?;
//! assert!(packet.aoe.address().matches(own));
//!
//! let mut packet = PacketMut::parse(&mut frame)?;
//! packet.respond(target, own);
//! let ArgMut::Ata(arg, data) = packet.arg else { return Err("not an ATA command".into()) };
//! arg.succeed();
//! data[..SECTOR].fill(0x55);
//! let len = pad(&mut frame, ATA_HEADER_LEN + SECTOR)?;
//!
//! assert_eq!(
//!     show(&frame[..len]).to_string(),
//!     "02:00:00:00:00:b2 > 02:00:00:00:00:a1 AoE e7.3 tag 18ae0003 reply \
//!      ATA status 40 DRDY error 00 lba 64 count 0 flags 40 E data 512",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![expect(
    unnameable_types,
    reason = "zerocopy's derives name fields by hidden enums, which the lint sees where a macro of ours uses them"
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod address;
mod aoe;
mod ata;
mod emit;
mod error;
mod eth;
mod frame;
mod identify;
mod identity;
mod mask;
mod query;
mod register;
mod reserve;
mod show;
mod value;

pub use crate::address::{Address, AddressError, AddressPart};
pub use crate::aoe::{AOE_HEADER_LEN, AoeHeader, Command, ErrorCode, HEADER_LEN, Tag, VerFlags};
pub use crate::ata::{
    AFlags, ATA_HEADER_LEN, AtaArg, Lba, SECTOR, TrimRange, max_sectors_advertised, max_sectors_fitting,
    trim_ranges,
};
pub use crate::emit::{
    RequestHeader, build_advertisement, build_ata, build_config, build_mask, build_reserve,
};
pub use crate::error::WireError;
pub use crate::eth::{ETH_HEADER_LEN, ETHERTYPE, EthHeader, MIN_FRAME, MacAddr, MacAddrError};
pub use crate::frame::{Arg, ArgMut, Packet, PacketMut, pad};
pub use crate::identify::{IdentifyDevice, IdentifyFeatures, Smart, Trim};
pub use crate::identity::{AtaText, Identity, IdentityError, IdentityField};
pub use crate::mask::{
    Directive, DirectiveCommand, MASK_HEADER_LEN, MaskArg, MaskCommand, MaskError, max_mask_entries,
};
pub use crate::query::{CONFIG_HEADER_LEN, ConfigArg, ConfigCommand, ConfigInfo, MAX_CONFIG};
pub use crate::register::{AtaCommand, AtaError, AtaStatus};
pub use crate::reserve::{RESERVE_HEADER_LEN, ReserveArg, ReserveCommand, max_reserve_entries};
pub use crate::show::show;
