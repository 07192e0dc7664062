//! One target: who gets an answer, and which (AoEr11 §2, §3).
//!
//! Pure logic over owned frames. [`Target::handle`] judges a request; what needs the disk leaves as an [`Io`] that owns the frame and
//! comes back through [`Target::finish`]; what changes stored state comes back through [`Target::change`]. The reply is made in the
//! request's own buffer.

use std::io;
use std::ops::Range;

use aoe_wire::{
    ATA_HEADER_LEN, Address, Arg, ArgMut, AtaError, CONFIG_HEADER_LEN, Command, ConfigCommand,
    ETH_HEADER_LEN, ErrorCode, MacAddr, MaskCommand, Packet, PacketMut, ReserveCommand, SECTOR, VerFlags,
    max_mask_entries, max_reserve_entries, max_sectors_advertised, max_sectors_fitting,
};
use bdev::{DeviceInfo, Done, Extent, Features, Io, Op};

use crate::ata::{self, Begin};
use crate::query::{self, Query};
use crate::reply::{self, Reply};
use crate::{Frame, Identity, LinkInfo, State, Stats, head, mask, reserve};

/// Settings of a target that do not change while it runs.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// The address it answers to; no wildcard, see [`Address::owned`].
    pub address: Address,
    /// Names for IDENTIFY DEVICE.
    pub identity: Identity,
    /// Requests that initiators may have outstanding, as advertised; at least 2, or Linux does not attach.
    pub buffer_count: u16,
    /// Advertise a multiple of 8 sectors where the MTU allows 8 or more, so that Linux sends requests aligned to 4 KiB.
    pub sector_align: bool,
    /// The only initiators that are answered; empty is all. Unlike the mask list, no initiator can change it.
    pub allow: Vec<MacAddr>,
    /// Whether a reply to a write may be sent while the data is in a volatile cache. Without it every write is made durable first.
    /// Initiators turn this on and off by SET FEATURES.
    pub write_cache: bool,
}

impl TargetOptions {
    /// The settings of the classic vblade, but for the write cache, which is off: the Linux driver never sends a flush.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            identity: Identity::of_address(address),
            buffer_count: 16,
            sector_align: false,
            allow: Vec::new(),
            write_cache: false,
        }
    }
}

/// What to do with a frame after [`Target::handle`], [`Target::finish`] or [`Target::change`].
#[derive(Debug)]
#[must_use]
pub enum Step<F> {
    /// No answer. The frame is free.
    Ignore(F),
    /// Send this frame through the link that the request came from.
    Reply(F),
    /// Give `io` to the disk's queue when no conflicting request that arrived earlier is in flight, then call [`Target::finish`].
    /// `reach` is every sector that this and following requests of the same command may touch.
    Submit {
        /// The request, which owns the frame.
        io: Io<F>,
        /// For ordering: the whole command's sectors.
        reach: Range<u64>,
    },
    /// Call [`Target::change`] when no write is in flight, and before any frame that arrived later is handled.
    Change(F),
}

/// A disk at an address.
#[derive(Debug)]
pub struct Target {
    options: TargetOptions,
    disk: DeviceInfo,
    state: State,
    write_cache: bool,
    flush_failed: bool,
    stats: Stats,
    #[cfg(feature = "sabotage")]
    sabotage: crate::Sabotage,
}

impl Target {
    /// A target for a disk described by `disk`, with the `state` that was stored when it last ran.
    #[must_use]
    pub fn new(options: TargetOptions, disk: DeviceInfo, state: State) -> Self {
        let write_cache = options.write_cache;
        Self {
            options,
            disk,
            state,
            write_cache,
            flush_failed: false,
            stats: Stats::default(),
            #[cfg(feature = "sabotage")]
            sabotage: crate::Sabotage::default(),
        }
    }

    /// The address it answers to.
    #[must_use]
    pub fn address(&self) -> Address {
        self.options.address
    }

    /// The disk it serves.
    #[must_use]
    pub fn disk(&self) -> &DeviceInfo {
        &self.disk
    }

    /// Serves the disk as `disk` describes it from now on. Requests that were begun are not judged again.
    pub fn set_disk(&mut self, disk: DeviceInfo) {
        self.disk = disk;
    }

    /// What initiators have set.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What it has counted since it was made.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Judges a frame that arrived on a link described by `link`. Anything may be in the frame.
    pub fn handle<F: Frame>(&mut self, link: &LinkInfo, frame: F) -> Step<F> {
        let (len, fits) = (head::len(&frame), fitting(link, &frame));
        let Some(plan) = head::view(&frame, |head| self.judge(link, head, len, fits)) else {
            self.stats.ignored += 1;
            return Step::Ignore(frame);
        };
        self.stats.requests += 1;
        match plan {
            Plan::Reply(reply) => self.reply(link, frame, reply),
            Plan::Change => Step::Change(frame),
            Plan::Submit { op, extent, reach } => {
                self.count_submitted(op, extent);
                let op = match op {
                    Op::Write { fua } => Op::Write { fua: fua || !self.write_cache },
                    other => other,
                };
                submit(frame, op, extent, reach)
            }
        }
    }

    /// Takes a finished disk request back: a reply, or the next request of the same command.
    pub fn finish<F: Frame>(&mut self, link: &LinkInfo, done: Done<F>) -> Step<F> {
        let (op, extent, status) = (done.op(), done.extent(), done.status());
        let mut frame = done.into_buf();
        if !status.is_ok() {
            self.stats.disk_errors += 1;
            self.flush_failed |= op == Op::Flush;
            return self.reply(link, frame, Reply::AtaFailed(ata::error_register(op, status)));
        }
        let fits = fitting(link, &frame);
        // The ranges of a TRIM say what is left to be done; of other commands only the registers are wanted.
        let want = if op == Op::Discard { ATA_HEADER_LEN + SECTOR } else { ATA_HEADER_LEN };
        let next = head::edit(&mut frame, want, |head| match PacketMut::parse(head) {
            Ok(PacketMut { arg: ArgMut::Ata(arg, payload), .. }) => {
                Some((ata::next_part(arg, payload, extent, fits), arg.command(), ata::good_count(arg)))
            }
            _ => None,
        });
        let Some((part, command, count)) = next else {
            return Step::Ignore(frame); // not a frame that `handle` submitted
        };
        if let Some((op, extent)) = part {
            return submit(frame, op, extent, extent.lba..extent.end());
        }
        // A write says by itself that it must be durable; a discard cannot.
        if op == Op::Discard && !self.write_cache && self.disk.features.contains(Features::FLUSH) {
            return submit(frame, Op::Flush, Extent::default(), 0..0);
        }
        let reply = match ata::action(command) {
            // The MTU has shrunk meanwhile: all of the data or none.
            ata::Action::Read(_) if extent.sectors > fits.into() => Reply::AtaFailed(AtaError::ABRT),
            ata::Action::Read(_) => Reply::AtaData { len: extent.bytes() },
            _ => Reply::AtaGood { count },
        };
        self.reply(link, frame, reply)
    }

    /// Carries out a request that changes [`state`](Self::state). `save` stores the new state durably, before the reply is made; when
    /// it fails nothing changes, and the initiator is refused (bad argument: it cannot be carried out).
    pub fn change<F: Frame>(
        &mut self,
        link: &LinkInfo,
        frame: F,
        save: &mut dyn FnMut(&State) -> io::Result<()>,
    ) -> Step<F> {
        let asked = head::view(&frame, |head| {
            let packet = Packet::parse(head).ok()?;
            Some((packet.aoe.address().is_wildcard(), self.changed(link, &packet)))
        });
        let Some((wildcard, (next, mut reply))) = asked else { return Step::Ignore(frame) };
        if next != self.state {
            match save(&next) {
                Ok(()) => self.state = next,
                Err(_) => reply = Reply::Refused(ErrorCode::BAD_ARGUMENT),
            }
        }
        if wildcard && reply.is_failure() {
            self.stats.requests -= 1;
            self.stats.ignored += 1;
            return Step::Ignore(frame);
        }
        self.reply(link, frame, reply)
    }

    /// Makes an empty frame an advertisement: a config reply that nobody asked for (AoEr11 §3.2). Send one to each of
    /// [`audience`](Self::audience) when the target starts, and when the link came up or changed.
    pub fn advertise<F: Frame>(&self, link: &LinkInfo, frame: F, to: MacAddr) -> F {
        reply::advertise(frame, link, self, to)
    }

    /// Who is told about the target: everybody, or each initiator that is let in.
    pub fn audience(&self) -> impl Iterator<Item = MacAddr> {
        let (allow, mask) = (&self.options.allow, &self.state.mask);
        let list = if mask.is_empty() { allow } else { mask };
        let everybody = list.is_empty().then_some(MacAddr::BROADCAST);
        everybody.into_iter().chain(list.iter().copied().filter(|mac| self.admits(*mac)))
    }

    /// The most sectors per request that are advertised on `link`.
    pub(crate) fn sectors_per_request(&self, link: &LinkInfo) -> u8 {
        let sectors = max_sectors_advertised(link.mtu as usize);
        if self.options.sector_align && sectors >= 8 { sectors & !7 } else { sectors }
    }

    pub(crate) fn options(&self) -> &TargetOptions {
        &self.options
    }

    /// Whether a write may be acknowledged before it is durable.
    pub(crate) fn write_cache(&self) -> bool {
        self.write_cache
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn sabotage(&mut self, sabotage: crate::Sabotage) {
        self.sabotage = sabotage;
    }

    fn admits(&self, mac: MacAddr) -> bool {
        #[cfg(feature = "sabotage")]
        if self.sabotage.mask_check {
            return true;
        }
        let on = |list: &[MacAddr]| list.is_empty() || list.contains(&mac);
        on(&self.options.allow) && on(&self.state.mask)
    }

    /// The plan for a frame of `len` bytes that begins with `head`, or `None` for no answer. `fits` is how many sectors a reply in
    /// the same frame can carry.
    fn judge(&mut self, link: &LinkInfo, head: &[u8], len: usize, fits: u8) -> Option<Plan> {
        let packet = Packet::parse_headers(head).ok()?;
        let (eth, aoe) = (packet.eth, packet.aoe);
        let addressed = eth.dst == link.mac || eth.dst.is_broadcast();
        // On a loopback interface every address is zero.
        let sender = !eth.src.is_multicast() && (!eth.src.is_zero() || link.mac.is_zero());
        let ours = aoe.address().matches(self.options.address);
        if aoe.ver_flags.is_response() || !addressed || !sender || !ours || !self.admits(eth.src) {
            return None;
        }
        let wildcard = aoe.address().is_wildcard();
        let plan = if aoe.ver_flags.version() != VerFlags::VERSION {
            Plan::refuse(ErrorCode::UNSUPPORTED_VERSION)
        } else if aoe.command.0 > Command::RESERVE.0 {
            Plan::refuse(ErrorCode::UNRECOGNISED_COMMAND)
        } else {
            let packet = Packet::parse(head).ok()?;
            self.plan(&packet, len, fits, wildcard)?
        };
        // Nobody is told of a failure when a whole segment was asked.
        match plan {
            Plan::Reply(reply) if wildcard && reply.is_failure() => None,
            plan => Some(plan),
        }
    }

    fn plan(&mut self, packet: &Packet<'_>, len: usize, fits: u8, wildcard: bool) -> Option<Plan> {
        let plan = match packet.arg {
            Arg::Ata(arg, payload) => {
                match ata::begin(arg, payload, len - ATA_HEADER_LEN, fits, &self.disk) {
                    Begin::Identify => Plan::Reply(Reply::Identify),
                    _ if wildcard => return None,
                    _ if !reserve::admits(&self.state.reserve, packet.eth.src) => {
                        Plan::refuse(ErrorCode::TARGET_RESERVED)
                    }
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
                Query::Change => Plan::Change,
            },
            Arg::Mask(arg, _) => match arg.command {
                MaskCommand::READ => Plan::Reply(Reply::Mask),
                MaskCommand::EDIT if wildcard => return None,
                MaskCommand::EDIT => Plan::Change,
                _ => Plan::refuse(ErrorCode::BAD_ARGUMENT),
            },
            Arg::Reserve(arg, _) => match arg.command {
                ReserveCommand::READ => Plan::Reply(Reply::Reserve),
                ReserveCommand::SET | ReserveCommand::FORCE if wildcard => return None,
                ReserveCommand::SET | ReserveCommand::FORCE => Plan::Change,
                _ => Plan::refuse(ErrorCode::BAD_ARGUMENT),
            },
            Arg::Unknown(_) => Plan::refuse(ErrorCode::UNRECOGNISED_COMMAND),
        };
        Some(plan)
    }

    fn plan_flush(&self) -> Plan {
        // The kernel tells of a lost page once; what was lost stays lost until the export is opened anew.
        if self.flush_failed {
            return Plan::Reply(Reply::AtaFailed(AtaError::ABRT));
        }
        Plan::Submit { op: Op::Flush, extent: Extent::default(), reach: 0..0 }
    }

    /// The state after the change that `packet` asks for, and the reply to it.
    fn changed(&self, link: &LinkInfo, packet: &Packet<'_>) -> (State, Reply) {
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

    /// Takes back a write that [`handle`](Self::handle) let pass, and that is not executed because a newer one was. It gets no answer:
    /// its sender has sent it again long ago, or waits for nothing any more.
    pub(crate) fn drop_late<F>(&mut self, io: Io<F>) -> F {
        let stats = &mut self.stats;
        (stats.requests, stats.ignored) = (stats.requests - 1, stats.ignored + 1);
        stats.late_writes += 1;
        match io.op() {
            Op::Write { .. } => {
                stats.writes -= 1;
                stats.sectors_written -= u64::from(io.extent().sectors);
            }
            _ => stats.trims -= 1,
        }
        io.abandon().into_buf()
    }

    fn count_submitted(&mut self, op: Op, extent: Extent) {
        match op {
            Op::Read => {
                self.stats.reads += 1;
                self.stats.sectors_read += u64::from(extent.sectors);
            }
            Op::Write { .. } => {
                self.stats.writes += 1;
                self.stats.sectors_written += u64::from(extent.sectors);
            }
            Op::Flush => self.stats.flushes += 1,
            Op::Discard | Op::WriteZeroes => self.stats.trims += 1,
        }
    }

    fn reply<F: Frame>(&mut self, link: &LinkInfo, frame: F, reply: Reply) -> Step<F> {
        self.stats.replies += 1;
        match reply {
            Reply::Refused(_) => self.stats.aoe_errors += 1,
            Reply::AtaFailed(_) => self.stats.ata_errors += 1,
            _ => {}
        }
        Step::Reply(reply::write(frame, link, self, reply))
    }
}

/// What becomes of a request.
enum Plan {
    Reply(Reply),
    Submit { op: Op, extent: Extent, reach: Range<u64> },
    Change,
}

impl Plan {
    fn refuse(code: ErrorCode) -> Self {
        Self::Reply(Reply::Refused(code))
    }
}

/// How many sectors a reply in `frame` can carry on `link`.
fn fitting<F: Frame>(link: &LinkInfo, frame: &F) -> u8 {
    let room = frame.capacity().saturating_sub(ATA_HEADER_LEN) / SECTOR;
    max_sectors_fitting(link.mtu as usize).min(u8::try_from(room).unwrap_or(u8::MAX))
}

/// A request to the disk in `frame`, with room for what a read brings.
fn submit<F: Frame>(mut frame: F, op: Op, extent: Extent, reach: Range<u64>) -> Step<F> {
    if op == Op::Read {
        frame.set_len(ATA_HEADER_LEN + extent.bytes());
    }
    Step::Submit { io: Io::new(op, extent, frame, ATA_HEADER_LEN), reach }
}
