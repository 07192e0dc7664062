//! One target: who gets an answer, and which (AoEr11 §2, §3).
//!
//! Pure logic over owned frames. [`Target::handle`] judges a request; what needs the disk leaves as an [`Io`] that owns the frame and
//! comes back through [`Target::finish`]; what changes stored state comes back through [`Target::change`]. The reply is made in the
//! request's own buffer.

mod count;
mod judge;
mod medium;
mod options;

use std::io;
use std::ops::Range;

use aoe_wire::{
    ATA_HEADER_LEN, Address, ArgMut, AtaError, ErrorCode, MacAddr, Packet, PacketMut, SECTOR,
    max_sectors_advertised, max_sectors_fitting,
};
use bdev::{DeviceInfo, Done, Extent, Features, Io, Op};

use crate::ata;
use crate::reply::{self, Reply};
use crate::target::judge::{Plan, Why};
use crate::target::medium::Medium;
use crate::{Frame, LinkInfo, State, Stats, head};

pub use options::TargetOptions;

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
    medium: Medium,
    write_cache: bool,
    /// Whether a write was ever acknowledged that may not have been durable.
    cached: bool,
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
            medium: Medium::Present,
            write_cache,
            cached: false,
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

    /// Goes by `options` from now on, but for the address, which stays. Requests that were begun are not judged again.
    ///
    /// Where [`write_cache`](TargetOptions::write_cache) is as it was, what initiators made of it stays. Turned off, it holds for
    /// the writes to come: those that were acknowledged before are durable after a flush.
    pub fn set_options(&mut self, options: TargetOptions) {
        debug_assert_eq!(options.address, self.options.address, "a target's address never changes");
        if options.write_cache != self.options.write_cache {
            self.write_cache = options.write_cache;
        }
        self.options = TargetOptions { address: self.options.address, ..options };
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
        let plan = match head::view(&frame, |head| self.judge(link, head, len, fits)) {
            Ok(plan) => plan,
            Err(why) => {
                self.count_ignored(why);
                return Step::Ignore(frame);
            }
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
                self.cached |= self.write_cache && op.is_write();
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
            let refusal = self.medium.refusal();
            self.flush_failed |= op == Op::Flush && refusal.is_none();
            let failed = Reply::AtaFailed(ata::error_register(op, status));
            return self.reply(link, frame, refusal.unwrap_or(failed));
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
            self.count_ignored(Why::Quiet);
            return Step::Ignore(frame);
        }
        self.reply(link, frame, reply)
    }

    /// Changes [`state`](Self::state) as `edit` does, under the same rules: no write is in flight, `save` stores the new state durably
    /// before it is in force, and when that fails nothing changes.
    ///
    /// # Errors
    ///
    /// That of `save`.
    pub fn edit(
        &mut self,
        edit: impl FnOnce(&mut State),
        save: &mut dyn FnMut(&State) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut next = self.state.clone();
        edit(&mut next);
        if next != self.state {
            save(&next)?;
            self.state = next;
        }
        Ok(())
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

    pub(crate) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// The settings that it goes by.
    #[must_use]
    pub fn options(&self) -> &TargetOptions {
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

    fn reply<F: Frame>(&mut self, link: &LinkInfo, frame: F, reply: Reply) -> Step<F> {
        self.count_reply(reply);
        Step::Reply(reply::write(frame, link, self, reply))
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
