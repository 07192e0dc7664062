//! From a piece of a task to the bytes of its frame.

use aoe_l2::Frame;
use aoe_wire::{
    AFlags, ATA_HEADER_LEN, AtaArg, AtaCommand, CONFIG_HEADER_LEN, IdentifyDevice, Lba, MASK_HEADER_LEN,
    MIN_FRAME, RESERVE_HEADER_LEN, RequestHeader, SECTOR, TrimRange, WireError, build_ata, build_config,
    build_mask, build_reserve,
};
use bdev::{Extent, IoBuf, Op};
use zerocopy::IntoBytes;

use crate::Control;
use crate::copy::copy;
use crate::flight::Piece;
use crate::task::{Task, Work};

/// High nibble of the device byte of 28-bit commands.
const DEVICE: u8 = 0xe0;

/// What the disk understands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dialect {
    pub(crate) lba48: bool,
    pub(crate) fua: bool,
    pub(crate) flush: bool,
    pub(crate) flush_ext: bool,
}

impl Dialect {
    pub(crate) fn of(page: &IdentifyDevice) -> Self {
        Self {
            lba48: page.supports_lba48(),
            fua: page.features().fua && page.supports_lba48(),
            flush: page.supports_flush() || page.supports_flush_ext(),
            flush_ext: page.supports_flush_ext(),
        }
    }
}

/// The registers for a piece of a block request.
pub(crate) fn registers<B>(task: &Task<B>, piece: Piece, dialect: Dialect) -> Option<AtaArg> {
    let io = task.io()?;
    let extent = place(io.extent(), piece);
    if task.is_flush() {
        return Some(match dialect.flush_ext {
            true => AtaArg::request(AtaCommand::FLUSH_CACHE_EXT, AFlags::EXTENDED, Lba::ZERO, 0),
            false => AtaArg::request(AtaCommand::FLUSH_CACHE, AFlags(0), Lba::ZERO, 0),
        });
    }
    let count = u8::try_from(piece.sectors).ok();
    let lba = Lba::from_lba48(extent.lba).filter(|_| dialect.lba48);
    let old_lba = || Lba::from_lba28(extent.lba, DEVICE);
    let out = AFlags::EXTENDED.with(AFlags::WRITE);
    Some(match (io.op(), lba) {
        (Op::Read, Some(lba)) => AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, lba, count?),
        (Op::Read, None) => AtaArg::request(AtaCommand::READ_SECTORS, AFlags(0), old_lba()?, count?),
        (Op::Write { fua: true }, Some(lba)) if dialect.fua => {
            AtaArg::request(AtaCommand::WRITE_DMA_FUA_EXT, out, lba, count?)
        }
        (Op::Write { .. }, Some(lba)) => AtaArg::request(AtaCommand::WRITE_SECTORS_EXT, out, lba, count?),
        (Op::Write { .. }, None) => {
            AtaArg::request(AtaCommand::WRITE_SECTORS, AFlags::WRITE, old_lba()?, count?)
        }
        (Op::Discard | Op::WriteZeroes, _) => {
            AtaArg::request(AtaCommand::DATA_SET_MANAGEMENT, out, Lba::ZERO, 1).with_feature(1)
        }
        (Op::Flush, _) => return None,
    })
}

/// Where on the disk a piece lies.
fn place(extent: Extent, piece: Piece) -> Extent {
    Extent::new(extent.lba.saturating_add(piece.at.into()), piece.sectors)
}

/// Bytes of the longer of request and reply.
pub(crate) fn frame_len<B>(task: &Task<B>, piece: Piece) -> usize {
    let len = match &task.work {
        Work::Io(Some(io)) if io.op().has_data() && !task.is_flush() => {
            ATA_HEADER_LEN + piece.sectors as usize * SECTOR
        }
        Work::Io(_) => ATA_HEADER_LEN + SECTOR,
        Work::Control(Control::Config { string, .. }, _) => CONFIG_HEADER_LEN + string.len(),
        Work::Control(Control::Mask { directives, .. }, _) => MASK_HEADER_LEN + directives.len() * 8,
        Work::Control(Control::Reserve { macs, .. }, _) => RESERVE_HEADER_LEN + macs.len() * 6,
        Work::Control(Control::Ata { data, expect, .. }, _) => ATA_HEADER_LEN + data.len().max(*expect),
    };
    len.max(MIN_FRAME)
}

/// Writes the request for a piece into a frame that has room for it. Returns the length to send.
pub(crate) fn write<F: Frame, B: IoBuf>(
    frame: &mut F,
    header: RequestHeader,
    task: &Task<B>,
    piece: Piece,
    dialect: Dialect,
) -> Result<usize, WireError> {
    let bytes = frame.bytes_mut();
    let io = match &task.work {
        Work::Control(control, _) => return write_control(bytes, header, control),
        Work::Io(io) => io.as_ref(),
    };
    let no_room = WireError::NoRoom { need: frame_len(task, piece), have: bytes.len() };
    let (Some(io), Some(arg)) = (io, registers(task, piece, dialect)) else { return Err(no_room) };
    match io.op() {
        Op::Write { .. } if !task.is_flush() => {
            build_ata(bytes, header, arg, &[])?;
            let (at, len) = (piece.at as usize * SECTOR, piece.sectors as usize * SECTOR);
            let copied =
                copy(io.buf().segments(), io.offset() + at, frame.segments_mut(), ATA_HEADER_LEN, len);
            if copied < len { Err(no_room) } else { Ok(ATA_HEADER_LEN + len) }
        }
        Op::Discard | Op::WriteZeroes => {
            build_ata(bytes, header, arg, ranges(place(io.extent(), piece)).as_bytes())
        }
        _ => build_ata(bytes, header, arg, &[]),
    }
}

fn write_control(bytes: &mut [u8], header: RequestHeader, control: &Control) -> Result<usize, WireError> {
    match control {
        Control::Config { command, string } => build_config(bytes, header, *command, string),
        Control::Mask { command, directives } => build_mask(bytes, header, *command, directives),
        Control::Reserve { command, macs } => build_reserve(bytes, header, *command, macs),
        Control::Ata { arg, data, .. } => build_ata(bytes, header, *arg, data),
    }
}

/// The payload that trims `extent`, of at most [`TRIM_SECTORS`](crate::task::TRIM_SECTORS) sectors.
fn ranges(extent: Extent) -> [TrimRange; 64] {
    let mut ranges = [TrimRange::default(); 64];
    let (mut lba, mut left) = (extent.lba, extent.sectors);
    for range in &mut ranges {
        let sectors = u16::try_from(left).unwrap_or(u16::MAX);
        *range = TrimRange::new(lba, sectors).unwrap_or_default();
        lba += u64::from(sectors);
        left -= u32::from(sectors);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use aoe_wire::{Address, Arg, MacAddr, Packet, Tag, show, trim_ranges};
    use bdev::Io;

    use super::*;

    const MODERN: Dialect = Dialect { lba48: true, fua: true, flush: true, flush_ext: true };
    const OLD: Dialect = Dialect { lba48: false, fua: false, flush: true, flush_ext: false };

    fn line(io: Io<Vec<u8>>, piece: Piece, dialect: Dialect) -> (String, Vec<u8>) {
        let header = RequestHeader {
            dst: MacAddr([2, 0, 0, 0, 0, 1]),
            src: MacAddr([2, 0, 0, 0, 0, 2]),
            address: Address::new(7, 3),
            tag: Tag([0, 0, 0, 9]),
        };
        let task = Task::new(Work::Io(Some(io)), None, None);
        let mut frame = bytes::BytesMut::zeroed(9014);
        let len = write(&mut frame, header, &task, piece, dialect).expect("room");
        (show(&frame[..len]).to_string(), frame[..len].to_vec())
    }

    fn assert_says(io: Io<Vec<u8>>, piece: Piece, dialect: Dialect, words: &[&str]) {
        let (line, _) = line(io, piece, dialect);
        assert!(words.iter().all(|word| line.contains(word)), "{line} lacks one of {words:?}");
    }

    const SECOND: Piece = Piece { at: 2, sectors: 2 };

    #[test]
    fn each_operation_is_the_command_that_the_disk_understands() {
        let extent = Extent::new(100, 8);
        let read = || Io::read(extent, vec![0; 4096], 0);
        let write = |fua| Io::new(Op::Write { fua }, extent, vec![0; 4096], 0);
        assert_says(read(), SECOND, MODERN, &["read-ext", "102"]);
        assert_says(read(), SECOND, OLD, &["read ", "102"]);
        assert_says(write(false), SECOND, MODERN, &["write-ext", "102"]);
        assert_says(write(true), SECOND, MODERN, &["write-dma-fua-ext"]);
        assert_says(write(true), SECOND, Dialect { fua: false, ..MODERN }, &["write-ext"]);
        assert_says(write(true), SECOND, OLD, &["write "]);
        assert_says(Io::flush(vec![]), SECOND, MODERN, &["flush-cache-ext"]);
        assert_says(Io::flush(vec![]), SECOND, OLD, &["flush-cache"]);
    }

    #[test]
    fn a_write_carries_its_part_of_the_buffer() {
        let data: Vec<u8> = (0..4096_usize).map(|at| (at / 512) as u8).collect();
        let (_, frame) = line(Io::write(Extent::new(0, 8), data, 0), SECOND, MODERN);
        assert_eq!(frame.len(), 36 + 1024);
        assert_eq!((frame[36], frame[36 + 511], frame[36 + 512]), (2, 2, 3));
    }

    #[test]
    fn trimming_lists_the_whole_piece_in_ranges() {
        let extent = Extent::new(1000, 200_000);
        let (_, frame) =
            line(Io::new(Op::Discard, extent, vec![], 0), Piece { at: 0, sectors: 200_000 }, MODERN);
        let Ok(Packet { arg: Arg::Ata(arg, payload), .. }) = Packet::parse(&frame) else { panic!("ATA") };
        assert_eq!((arg.command(), arg.feature(), arg.sector_count), (AtaCommand::DATA_SET_MANAGEMENT, 1, 1));
        let ranges = trim_ranges(payload, 1).unwrap();
        let mut next = 1000;
        for range in ranges.iter().filter(|range| range.sectors() > 0) {
            assert_eq!(range.lba(), next);
            next += u64::from(range.sectors());
        }
        assert_eq!(next, 201_000);
    }
}
