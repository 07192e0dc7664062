//! Command 0: which ATA commands there are, and how they begin and end (AoEr11 §3.1, ATA8-ACS).
//!
//! The opcode decides what happens; the W, A and D flags of the request are advice and are echoed. A data command moves all of its
//! sectors or none.

use std::ops::Range;

use aoe_wire::{AFlags, AtaArg, AtaCommand, AtaError, ErrorCode, Lba, SECTOR, trim_ranges};
use bdev::{DeviceInfo, Extent, Features, Op, Status};

/// What an opcode asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Identify,
    Read(Width),
    Write {
        width: Width,
        fua: bool,
    },
    /// Read without giving the data away.
    Verify(Width),
    Flush,
    CheckPower,
    /// Flush, then nothing: an AoE target does not spin down.
    Idle,
    SetFeatures,
    Trim,
    Refuse,
}

/// How many bits of LBA an opcode carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Lba28,
    Lba48,
}

/// The one table of commands. What is not in it is refused: 41/04.
pub(crate) fn action(command: AtaCommand) -> Action {
    use Width::{Lba28, Lba48};
    match command {
        AtaCommand::IDENTIFY_DEVICE => Action::Identify,
        AtaCommand::READ_SECTORS | AtaCommand::READ_DMA => Action::Read(Lba28),
        AtaCommand::READ_SECTORS_EXT | AtaCommand::READ_DMA_EXT => Action::Read(Lba48),
        AtaCommand::WRITE_SECTORS | AtaCommand::WRITE_DMA => Action::Write { width: Lba28, fua: false },
        AtaCommand::WRITE_SECTORS_EXT | AtaCommand::WRITE_DMA_EXT => {
            Action::Write { width: Lba48, fua: false }
        }
        AtaCommand::WRITE_DMA_FUA_EXT | AtaCommand::WRITE_MULTIPLE_FUA_EXT => {
            Action::Write { width: Lba48, fua: true }
        }
        AtaCommand::READ_VERIFY => Action::Verify(Lba28),
        AtaCommand::READ_VERIFY_EXT => Action::Verify(Lba48),
        AtaCommand::FLUSH_CACHE | AtaCommand::FLUSH_CACHE_EXT => Action::Flush,
        // 94 to 98: the same commands under the opcodes of ATA-1, since retired.
        AtaCommand::CHECK_POWER_MODE | AtaCommand(0x98) => Action::CheckPower,
        AtaCommand::STANDBY_IMMEDIATE
        | AtaCommand::IDLE_IMMEDIATE
        | AtaCommand::STANDBY
        | AtaCommand::IDLE
        | AtaCommand(0x94..=0x97) => Action::Idle,
        AtaCommand::SET_FEATURES => Action::SetFeatures,
        AtaCommand::DATA_SET_MANAGEMENT => Action::Trim,
        _ => Action::Refuse,
    }
}

/// How a command begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Reply with 512 bytes of IDENTIFY DEVICE data.
    Identify,
    /// Reply at once, good, with this in the count register.
    Good { count: u8 },
    /// Reply at once: 41, this error, count echoed.
    Fail(AtaError),
    /// Reply at once: the AoE error flag.
    Refuse(ErrorCode),
    /// Ask the disk. `reach` is every sector that the whole command may touch.
    Submit { op: Op, extent: Extent, reach: Range<u64> },
    /// Make everything durable that was written before.
    Flush,
    /// Turn the write cache on or off, then as `Flush`.
    WriteCache { on: bool },
}

/// Judges a command.
///
/// `payload` is what the first piece of the frame holds after byte 36 (all of it, but for a write in pieces), `payload_len` what the
/// whole frame holds, and `fits` how many sectors a frame of this link can carry.
pub(crate) fn begin(arg: &AtaArg, payload: &[u8], payload_len: usize, fits: u8, disk: &DeviceInfo) -> Begin {
    let action = action(arg.command());
    match action {
        Action::Identify if fits == 0 => Begin::Fail(AtaError::ABRT),
        Action::Identify => Begin::Identify,
        Action::Read(width) | Action::Write { width, .. } | Action::Verify(width) => {
            let count = arg.sector_count;
            // A verified sector needs room in the frame only while it is looked at.
            let most = if matches!(action, Action::Verify(_)) && fits != 0 { u8::MAX } else { fits };
            if count == 0 || count > most {
                return Begin::Fail(AtaError::ABRT);
            }
            let Some(lba) = lba(arg, width) else { return Begin::Fail(AtaError::ABRT) };
            if matches!(action, Action::Write { .. }) && payload_len < usize::from(count) * SECTOR {
                return Begin::Refuse(ErrorCode::BAD_ARGUMENT);
            }
            let whole = Extent::new(lba, count.into());
            if !whole.fits(disk.sectors) {
                return Begin::Fail(AtaError::IDNF);
            }
            let (op, extent) = match action {
                Action::Write { .. } if disk.read_only => return Begin::Fail(AtaError::ABRT),
                Action::Write { fua, .. } => (Op::Write { fua }, whole),
                Action::Verify(_) => (Op::Read, Extent::new(lba, count.min(fits).into())),
                _ => (Op::Read, whole),
            };
            Begin::Submit { op, extent, reach: whole.lba..whole.end() }
        }
        Action::Flush | Action::Idle => Begin::Flush,
        Action::CheckPower => Begin::Good { count: 0xff },
        Action::SetFeatures => match arg.feature() {
            feature::WRITE_CACHE_ON => Begin::WriteCache { on: true },
            feature::WRITE_CACHE_OFF => Begin::WriteCache { on: false },
            feature::TRANSFER_MODE
            | feature::LOOK_AHEAD_ON
            | feature::LOOK_AHEAD_OFF
            | feature::KEEP_ON_RESET
            | feature::DEFAULTS_ON_RESET => Begin::Good { count: 0 },
            _ => Begin::Fail(AtaError::ABRT),
        },
        Action::Trim => begin_trim(arg, payload, disk),
        Action::Refuse => Begin::Fail(AtaError::ABRT),
    }
}

/// Subcommands of SET FEATURES that are answered (ATA8-ACS 7.48).
mod feature {
    pub(super) const WRITE_CACHE_ON: u8 = 0x02;
    pub(super) const TRANSFER_MODE: u8 = 0x03;
    pub(super) const LOOK_AHEAD_OFF: u8 = 0x55;
    pub(super) const KEEP_ON_RESET: u8 = 0x66;
    pub(super) const WRITE_CACHE_OFF: u8 = 0x82;
    pub(super) const LOOK_AHEAD_ON: u8 = 0xaa;
    pub(super) const DEFAULTS_ON_RESET: u8 = 0xcc;
}

/// The first sector, or `None` when a 48-bit opcode without the E flag names a sector that 28 bits cannot.
fn lba(arg: &AtaArg, width: Width) -> Option<u64> {
    match width {
        Width::Lba28 => Some(arg.lba.lba28()),
        Width::Lba48 => {
            let lba = arg.lba.lba48();
            (arg.aflags.contains(AFlags::EXTENDED) || lba <= Lba::MAX_28).then_some(lba)
        }
    }
}

/// DATA SET MANAGEMENT, TRIM: one block of up to 64 ranges, all checked before the first is trimmed (ACS-2 7.10).
fn begin_trim(arg: &AtaArg, payload: &[u8], disk: &DeviceInfo) -> Begin {
    let is_trim = arg.feature() & 1 != 0;
    if !is_trim || !disk.features.contains(Features::DISCARD) || disk.read_only || arg.sector_count != 1 {
        return Begin::Fail(AtaError::ABRT);
    }
    let Ok(ranges) = trim_ranges(payload, arg.sector_count) else {
        return Begin::Refuse(ErrorCode::BAD_ARGUMENT);
    };
    let mut reach: Option<Range<u64>> = None;
    for range in ranges.iter().filter(|range| range.sectors() != 0) {
        let extent = Extent::new(range.lba(), range.sectors().into());
        if !extent.fits(disk.sectors) {
            return Begin::Fail(AtaError::IDNF);
        }
        let hull = reach.unwrap_or(extent.lba..extent.end());
        reach = Some(hull.start.min(extent.lba)..hull.end.max(extent.end()));
    }
    match (reach, next_trim(payload)) {
        (Some(reach), Some(extent)) => Begin::Submit { op: Op::Discard, extent, reach },
        _ => Begin::Good { count: 0 },
    }
}

/// The first range of a TRIM payload that is still to be done; ranges that are done were made empty.
fn next_trim(payload: &[u8]) -> Option<Extent> {
    let range = trim_ranges(payload, 1).ok()?.iter().find(|range| range.sectors() != 0)?;
    Some(Extent::new(range.lba(), range.sectors().into()))
}

/// What follows when a part of a command has ended well: the next part, or `None` when the command is done. `payload` begins at byte 36.
pub(crate) fn next_part(arg: &AtaArg, payload: &mut [u8], done: Extent, fits: u8) -> Option<(Op, Extent)> {
    match action(arg.command()) {
        Action::Verify(width) => {
            let end = lba(arg, width)? + u64::from(arg.sector_count);
            let left = end.saturating_sub(done.end()).min(fits.max(1).into());
            let sectors = u32::try_from(left).ok().filter(|sectors| *sectors != 0)?;
            Some((Op::Read, Extent::new(done.end(), sectors)))
        }
        Action::Trim => {
            // An entry of eight bytes; zeros mean "unused", so progress needs no memory of its own.
            let entry = payload.as_chunks_mut::<8>().0.iter_mut().find(|entry| entry[6..] != [0, 0])?;
            *entry = [0; 8];
            next_trim(payload).map(|extent| (Op::Discard, extent))
        }
        _ => None,
    }
}

/// The error register for a request that ended as `status`.
pub(crate) fn error_register(op: Op, status: Status) -> AtaError {
    match (op, status) {
        (_, Status::OutOfRange) => AtaError::IDNF,
        (Op::Read, Status::Media) => AtaError::UNC,
        _ => AtaError::ABRT,
    }
}

/// The count register of a good reply.
pub(crate) fn good_count(arg: &AtaArg) -> u8 {
    match action(arg.command()) {
        Action::Flush | Action::Idle => arg.sector_count,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use aoe_wire::{AtaStatus, TrimRange};

    use super::*;

    /// TRIM entries as they are on the wire, little-endian: 48 bits of LBA, 16 of count.
    fn bytes_of(ranges: &[(u64, u16)]) -> Vec<u8> {
        let entry = |(lba, count): &(u64, u16)| (lba | u64::from(*count) << 48).to_le_bytes();
        let mut bytes: Vec<u8> = ranges.iter().flat_map(entry).collect();
        bytes.resize(512, 0);
        bytes
    }

    const DISK: DeviceInfo = DeviceInfo {
        sectors: 16384,
        physical_block: 512,
        mem_align: 1,
        read_only: false,
        features: Features::DISCARD,
    };

    fn arg(command: AtaCommand, aflags: u8, lba: u64, count: u8) -> AtaArg {
        AtaArg::request(command, AFlags(aflags), Lba::from_lba48(lba).unwrap(), count)
    }

    fn begin_plain(arg: &AtaArg) -> Begin {
        begin(arg, &[0; 1024], 1024, 2, &DISK)
    }

    #[test]
    fn a_48_bit_opcode_without_the_e_flag_is_served_below_2_to_the_28_only() {
        let huge = DeviceInfo { sectors: 1 << 40, ..DISK };
        let at = |aflags, lba| begin(&arg(AtaCommand::READ_SECTORS_EXT, aflags, lba, 1), &[], 0, 2, &huge);
        assert!(matches!(at(0, 5), Begin::Submit { extent: Extent { lba: 5, sectors: 1 }, .. }));
        assert_eq!(at(0, (1 << 28) + 5), Begin::Fail(AtaError::ABRT));
        assert!(matches!(at(0x40, (1 << 28) + 5), Begin::Submit { .. }));
    }

    #[test]
    fn count_zero_and_counts_beyond_the_frame_are_aborted_but_verify_is_split() {
        for command in [AtaCommand::READ_SECTORS, AtaCommand::WRITE_SECTORS_EXT, AtaCommand::READ_VERIFY] {
            assert_eq!(begin_plain(&arg(command, 0x40, 0, 0)), Begin::Fail(AtaError::ABRT), "{command}");
        }
        assert_eq!(begin_plain(&arg(AtaCommand::READ_SECTORS, 0, 0, 3)), Begin::Fail(AtaError::ABRT));
        let verify = arg(AtaCommand::READ_VERIFY, 0, 7, 5);
        assert_eq!(
            begin_plain(&verify),
            Begin::Submit { op: Op::Read, extent: Extent::new(7, 2), reach: 7..12 }
        );
        let mut extent = Extent::new(7, 2);
        let mut seen = vec![extent];
        while let Some((op, next)) = next_part(&verify, &mut [], extent, 2) {
            assert_eq!(op, Op::Read);
            extent = next;
            seen.push(next);
        }
        assert_eq!(seen, [Extent::new(7, 2), Extent::new(9, 2), Extent::new(11, 1)]);
    }

    #[test]
    fn a_trim_does_its_ranges_one_after_the_other_and_skips_unused_entries() {
        let mut payload = bytes_of(&[(0, 0), (100, 8), (0, 0), (10, 1), (100, 8)]);
        let trim = arg(AtaCommand::DATA_SET_MANAGEMENT, 1, 0, 1).with_feature(1);
        let first = begin(&trim, &payload, 512, 2, &DISK);
        assert_eq!(first, Begin::Submit { op: Op::Discard, extent: Extent::new(100, 8), reach: 10..108 });
        let mut seen = Vec::new();
        while let Some((_, next)) = next_part(&trim, &mut payload, Extent::default(), 2) {
            seen.push(next);
        }
        assert_eq!(seen, [Extent::new(10, 1), Extent::new(100, 8)]);
    }

    #[test]
    fn a_trim_with_one_range_beyond_the_end_trims_nothing() {
        let payload = bytes_of(&[(100, 8), (16383, 2)]);
        let trim = arg(AtaCommand::DATA_SET_MANAGEMENT, 1, 0, 1).with_feature(1);
        assert_eq!(begin(&trim, &payload, 512, 2, &DISK), Begin::Fail(AtaError::IDNF));
        assert_eq!(begin(&trim, &payload[..504], 504, 2, &DISK), Begin::Refuse(ErrorCode::BAD_ARGUMENT));
        assert_eq!(begin(&trim, &[0; 512], 512, 2, &DISK), Begin::Good { count: 0 });
        let fixed = DeviceInfo { features: Features::NONE, ..DISK };
        assert_eq!(begin(&trim, &payload, 512, 2, &fixed), Begin::Fail(AtaError::ABRT));
        assert_eq!(TrimRange::new(16383, 2).map(TrimRange::sectors), Some(2));
    }

    #[test]
    fn an_error_reply_keeps_the_count_and_a_good_one_clears_it() {
        let mut failed = arg(AtaCommand::READ_SECTORS_EXT, 0x40, 1, 2);
        failed.fail(error_register(Op::Read, Status::Media));
        assert_eq!(
            (failed.status(), failed.error(), failed.sector_count),
            (AtaStatus::FAILED, AtaError::UNC, 2)
        );
        assert_eq!(good_count(&arg(AtaCommand::FLUSH_CACHE, 0, 0, 1)), 1);
        assert_eq!(good_count(&arg(AtaCommand::WRITE_SECTORS, 0, 0, 1)), 0);
    }
}
