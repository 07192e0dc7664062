//! Who gets an answer, and what is to be done for it.

use std::ops::Range;

use aoe_wire::{
    ATA_HEADER_LEN, Arg, AtaError, CONFIG_HEADER_LEN, Command, ConfigCommand, ETH_HEADER_LEN, ErrorCode,
    MacAddr, MaskCommand, Packet, ReserveCommand, VerFlags, max_mask_entries, max_reserve_entries,
};
use bdev::{Extent, Op};

use super::Target;
use super::medium::Medium;
use crate::ata::{self, Begin};
use crate::query::{self, Query};
use crate::reply::Reply;
use crate::{LinkInfo, State, mask, reserve};

/// What becomes of a request.
pub(super) enum Plan {
    Reply(Reply),
    Submit { op: Op, extent: Extent, reach: Range<u64> },
    Change,
}

/// Why a frame gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Malformed,
    NotAddressed,
    NotAdmitted,
    Quiet,
}

impl Plan {
    fn refuse(code: ErrorCode) -> Self {
        Self::Reply(Reply::Refused(code))
    }
}

impl Target {
    pub(super) fn admits(&self, mac: MacAddr) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotage.mask_check {
            return true;
        }
        let on = |list: &[MacAddr]| list.is_empty() || list.contains(&mac);
        !self.options.deny.contains(&mac) && on(&self.options.allow) && on(&self.state.mask)
    }

    /// The plan for a frame of `len` bytes that begins with `head`, or why it gets no answer. `fits` is how many sectors a reply in
    /// the same frame can carry.
    pub(super) fn judge(&mut self, link: &LinkInfo, head: &[u8], len: usize, fits: u8) -> Result<Plan, Why> {
        let packet = Packet::parse_headers(head).map_err(|_| Why::Malformed)?;
        let (eth, aoe) = (packet.eth, packet.aoe);
        let addressed = eth.dst == link.mac || eth.dst.is_broadcast();
        // On a loopback interface every address is zero.
        let sender = !eth.src.is_multicast() && (!eth.src.is_zero() || link.mac.is_zero());
        let ours = aoe.address().matches(self.options.address);
        if aoe.ver_flags.is_response() || !addressed || !ours {
            return Err(Why::NotAddressed);
        }
        if !sender {
            return Err(Why::Malformed);
        }
        if !self.admits(eth.src) {
            return Err(Why::NotAdmitted);
        }
        let wildcard = aoe.address().is_wildcard();
        let plan = if aoe.ver_flags.version() != VerFlags::VERSION {
            Plan::refuse(ErrorCode::UNSUPPORTED_VERSION)
        } else if aoe.command.0 > Command::RESERVE.0 {
            Plan::refuse(ErrorCode::UNRECOGNISED_COMMAND)
        } else {
            let packet = Packet::parse(head).map_err(|_| Why::Malformed)?;
            self.plan(&packet, len, fits, wildcard).ok_or(Why::Quiet)?
        };
        // Nobody is told of a failure when a whole segment was asked.
        match plan {
            Plan::Reply(reply) if wildcard && reply.is_failure() => Err(Why::Quiet),
            plan => Ok(plan),
        }
    }

    fn plan(&mut self, packet: &Packet<'_>, len: usize, fits: u8, wildcard: bool) -> Option<Plan> {
        let plan = match packet.arg {
            Arg::Ata(arg, payload) => {
                match ata::begin(arg, payload, len - ATA_HEADER_LEN, fits, &self.disk) {
                    Begin::Identify => Plan::Reply(self.medium.refusal().unwrap_or(Reply::Identify)),
                    _ if wildcard => return None,
                    _ if !reserve::admits(&self.state.reserve, packet.eth.src) => {
                        Plan::refuse(ErrorCode::TARGET_RESERVED)
                    }
                    _ if self.medium != Medium::Present => Plan::Reply(self.medium.refusal()?),
                    Begin::Good { count } => Plan::Reply(Reply::AtaGood { count }),
                    Begin::Fail(error) => Plan::Reply(Reply::AtaFailed(error)),
                    Begin::Refuse(code) => Plan::refuse(code),
                    Begin::Submit { op, extent, reach } => Plan::Submit { op, extent, reach },
                    Begin::Flush => self.plan_flush(),
                    Begin::WriteCache { on } => {
                        self.write_cache = on;
                        self.plan_flush()
                    }
                }
            }
            Arg::Config(arg, payload) => match query::query(arg, payload, &self.state.config) {
                Query::Reply => Plan::Reply(Reply::Config),
                Query::Quiet => return None,
                Query::Refuse(code) => Plan::refuse(code),
                Query::Change if wildcard && arg.command() != ConfigCommand::SET => return None,
                Query::Change if self.options.lock_config => Plan::refuse(ErrorCode::BAD_ARGUMENT),
                Query::Change => Plan::Change,
            },
            Arg::Mask(arg, _) => match arg.command {
                MaskCommand::READ => Plan::Reply(Reply::Mask),
                MaskCommand::EDIT if wildcard => return None,
                MaskCommand::EDIT if !self.options.lock_mask => Plan::Change,
                _ => Plan::refuse(ErrorCode::BAD_ARGUMENT),
            },
            Arg::Reserve(arg, _) => match arg.command {
                ReserveCommand::READ => Plan::Reply(Reply::Reserve),
                ReserveCommand::SET | ReserveCommand::FORCE if wildcard => return None,
                ReserveCommand::SET | ReserveCommand::FORCE if !self.options.lock_reserve => Plan::Change,
                _ => Plan::refuse(ErrorCode::BAD_ARGUMENT),
            },
            Arg::Unknown(_) => Plan::refuse(ErrorCode::UNRECOGNISED_COMMAND),
        };
        Some(plan)
    }

    fn plan_flush(&self) -> Plan {
        // The kernel tells of a lost page once; what was lost stays lost until the export is opened anew.
        #[cfg(feature = "sabotage")]
        let failed = self.flush_failed && !self.sabotage.failed_flush;
        #[cfg(not(feature = "sabotage"))]
        let failed = self.flush_failed;
        if failed {
            return Plan::Reply(Reply::AtaFailed(AtaError::ABRT));
        }
        Plan::Submit { op: Op::Flush, extent: Extent::default(), reach: 0..0 }
    }

    /// The state after the change that `packet` asks for, and the reply to it.
    pub(super) fn changed(&self, link: &LinkInfo, packet: &Packet<'_>) -> (State, Reply) {
        let mut next = self.state.clone();
        let mtu = link.mtu as usize;
        let reply = match packet.arg {
            Arg::Config(arg, payload) => {
                let longest = (mtu + ETH_HEADER_LEN).saturating_sub(CONFIG_HEADER_LEN);
                query::set(arg, payload, &self.state.config, longest).map(|config| {
                    next.config = config;
                    Reply::Config
                })
            }
            Arg::Mask(arg, payload) => match arg.directives(payload) {
                Ok(directives) => {
                    let edited = mask::edit(&mut next.mask, directives, max_mask_entries(mtu).into());
                    Ok(edited.map_or_else(Reply::MaskStopped, |()| Reply::Mask))
                }
                Err(_) => Err(ErrorCode::BAD_ARGUMENT),
            },
            Arg::Reserve(arg, payload) => {
                let limit = max_reserve_entries(mtu).into();
                reserve::set(arg, payload, &self.state.reserve, packet.eth.src, limit).map(|holders| {
                    next.reserve = holders;
                    Reply::Reserve
                })
            }
            Arg::Ata(..) | Arg::Unknown(_) => Err(ErrorCode::UNRECOGNISED_COMMAND),
        };
        (next, reply.unwrap_or_else(Reply::Refused))
    }
}
