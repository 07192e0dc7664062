//! One request: [`Io`], and what it is made of.

use std::fmt;
use std::io::{IoSlice, IoSliceMut};

use crate::queue::{DeviceInfo, Features};
use crate::{Done, IoBuf, SECTOR_SIZE, Status};

/// What a request does with its extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Sectors to buffer.
    Read,
    /// Buffer to sectors; with `fua` (force unit access) on stable storage before `Done`.
    Write {
        /// Durable before `Done`.
        fua: bool,
    },
    /// Everything written before is durable before `Done`. The extent is empty.
    Flush,
    /// The extent's content is no longer needed. Needs [`Features::DISCARD`].
    Discard,
    /// The extent reads as zeros afterwards. Needs [`Features::WRITE_ZEROES`].
    WriteZeroes,
}

impl Op {
    /// Whether the request changes what the device holds.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write { .. } | Self::Discard | Self::WriteZeroes)
    }

    /// Whether the request moves bytes between its buffer and the device.
    #[must_use]
    pub fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write { .. })
    }
}

/// A run of sectors of 512 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First sector.
    pub lba: u64,
    /// Number of sectors; may be 0.
    pub sectors: u32,
}

impl Extent {
    /// Sectors `lba` to `lba + sectors - 1`.
    #[must_use]
    pub const fn new(lba: u64, sectors: u32) -> Self {
        Self { lba, sectors }
    }

    /// The sector after the last; saturates at the end of the number space.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.lba.saturating_add(self.sectors as u64)
    }

    /// Length in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.sectors as usize * SECTOR_SIZE
    }

    /// Whether all of it lies on a device of `sectors` sectors.
    #[must_use]
    pub const fn fits(self, sectors: u64) -> bool {
        match self.lba.checked_add(self.sectors as u64) {
            Some(end) => end <= sectors,
            None => false,
        }
    }

    /// Whether both have a sector in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.lba < other.end() && other.lba < self.end()
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lba {} count {}", self.lba, self.sectors)
    }
}

/// A request: an operation, its extent, and the buffer it owns until it ends.
///
/// `offset` says where in the buffer the data starts (in a network frame, after the header), so that one buffer serves from receive to
/// reply. `tag` is the submitter's own and comes back unchanged; queues and layers leave it alone.
#[derive(Debug)]
#[must_use = "a request must be submitted, or given up with `abandon`"]
pub struct Io<B> {
    span: Span,
    tag: u64,
    buf: B,
    live: Live,
}

impl<B> Io<B> {
    /// A request of any kind; see also [`read`](Io::read) and [`write`](Io::write). `offset` is 0 where [`Op::has_data`] is false.
    pub fn new(op: Op, extent: Extent, buf: B, offset: usize) -> Self {
        Self { span: Span { op, extent, offset }, tag: 0, buf, live: Live }
    }

    /// Reads `extent` into `buf`, from byte `offset` on.
    pub fn read(extent: Extent, buf: B, offset: usize) -> Self {
        Self::new(Op::Read, extent, buf, offset)
    }

    /// Writes `extent` from `buf`, from byte `offset` on.
    pub fn write(extent: Extent, buf: B, offset: usize) -> Self {
        Self::new(Op::Write { fua: false }, extent, buf, offset)
    }

    /// Makes everything written before durable. `buf` only travels along.
    pub fn flush(buf: B) -> Self {
        Self::new(Op::Flush, Extent::default(), buf, 0)
    }

    /// The same request with the submitter's `tag`.
    pub fn with_tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Once more what `done` was the end of.
    pub(crate) fn again(span: Span, tag: u64, buf: B) -> Self {
        Self { span, tag, buf, live: Live }
    }

    /// What to do.
    #[must_use]
    pub fn op(&self) -> Op {
        self.span.op
    }

    /// Where on the device.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.span.extent
    }

    /// Where in the buffer the data starts.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.span.offset
    }

    /// The submitter's tag.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// The whole buffer, header included.
    #[must_use]
    pub fn buf(&self) -> &B {
        &self.buf
    }

    /// The whole buffer, to be changed: a queue that reads into it, a layer that changes what is written.
    pub fn buf_mut(&mut self) -> &mut B {
        &mut self.buf
    }

    /// Ends the request with `status` and returns the buffer. Only a queue calls this, exactly once.
    pub fn done(self, status: Status) -> Done<B> {
        let Self { span, tag, buf, live } = self;
        std::mem::forget(live);
        Done::new(span, tag, buf, status)
    }

    /// Gives the request up: it ends as [`Status::Aborted`] without having run.
    pub fn abandon(self) -> Done<B> {
        self.done(Status::Aborted)
    }
}

impl<B: IoBuf> Io<B> {
    /// The data, when it is in one piece, which it always is where [`IoBuf::MAX_SEGMENTS`] is 1. `None`: use
    /// [`segments`](Self::segments). Empty where [`Op::has_data`] is false.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        self.span.data(&self.buf)
    }

    /// The data in one piece, to be filled or changed in place; `None` as for [`data`](Self::data).
    #[must_use]
    pub fn data_mut(&mut self) -> Option<&mut [u8]> {
        self.span.data_mut(&mut self.buf)
    }

    /// The data as a list of pieces, in order, ready for a vectored write.
    pub fn segments(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.span.segments(&self.buf)
    }

    /// The data as a list of pieces, in order, ready for a vectored read.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = IoSliceMut<'_>> {
        self.span.segments_mut(&mut self.buf)
    }

    /// Whether a device described by `info` can be given this request: range, read-only, feature and room in the buffer.
    ///
    /// # Errors
    ///
    /// The [`Status`] that the request should end with.
    pub fn check(&self, info: &DeviceInfo) -> Result<(), Status> {
        if !self.span.extent.fits(info.sectors) {
            return Err(Status::OutOfRange);
        }
        if self.op().is_write() && info.read_only {
            return Err(Status::ReadOnly);
        }
        let needed = match self.op() {
            Op::Discard => Features::DISCARD,
            Op::WriteZeroes => Features::WRITE_ZEROES,
            _ => Features::NONE,
        };
        if !info.features.contains(needed) {
            return Err(Status::Unsupported);
        }
        let (at, len) = self.span.range();
        let room: usize = self.buf.segments().map(<[u8]>::len).sum();
        if at.checked_add(len).is_some_and(|end| end <= room) { Ok(()) } else { Err(Status::Aborted) }
    }
}

/// What a request does and which bytes of its buffer are its data: the part that an [`Io`] and its [`Done`] have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) op: Op,
    pub(crate) extent: Extent,
    pub(crate) offset: usize,
}

impl Span {
    pub(crate) fn data<B: IoBuf>(self, buf: &B) -> Option<&[u8]> {
        let (at, len) = self.range();
        buf.bytes().get(at..at.checked_add(len)?)
    }

    pub(crate) fn data_mut<B: IoBuf>(self, buf: &mut B) -> Option<&mut [u8]> {
        let (at, len) = self.range();
        buf.bytes_mut().get_mut(at..at.checked_add(len)?)
    }

    pub(crate) fn segments<B: IoBuf>(self, buf: &B) -> impl Iterator<Item = IoSlice<'_>> {
        let (mut skip, mut left) = self.range();
        buf.segments().filter_map(move |piece| {
            let (from, to) = clip(piece.len(), &mut skip, &mut left)?;
            Some(IoSlice::new(&piece[from..to]))
        })
    }

    pub(crate) fn segments_mut<B: IoBuf>(self, buf: &mut B) -> impl Iterator<Item = IoSliceMut<'_>> {
        let (mut skip, mut left) = self.range();
        buf.segments_mut().filter_map(move |piece| {
            let (from, to) = clip(piece.len(), &mut skip, &mut left)?;
            Some(IoSliceMut::new(&mut piece[from..to]))
        })
    }

    /// Start and length of the data in the buffer.
    fn range(self) -> (usize, usize) {
        if self.op.has_data() { (self.offset, self.extent.bytes()) } else { (0, 0) }
    }
}

/// The part of a piece of `len` bytes that belongs to the data, when `skip` bytes come before it and `left` bytes are wanted.
fn clip(len: usize, skip: &mut usize, left: &mut usize) -> Option<(usize, usize)> {
    let from = len.min(*skip);
    let to = from + (len - from).min(*left);
    *skip -= from;
    *left -= to - from;
    (from < to).then_some((from, to))
}

/// Bites when a request is lost.
#[derive(Debug)]
struct Live;

#[cfg(debug_assertions)]
impl Drop for Live {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a block request was dropped without an end; use `Io::abandon`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Pieces;

    fn info(sectors: u64) -> DeviceInfo {
        DeviceInfo { sectors, ..DeviceInfo::default() }
    }

    #[test]
    fn data_starts_at_the_offset_and_has_the_extents_length() {
        let mut buf = vec![0; 36 + 1024 + 5];
        buf[36] = 1;
        buf[36 + 1023] = 2;
        let io = Io::write(Extent::new(0, 2), buf, 36);
        let data = io.data().unwrap();
        assert_eq!((data.len(), data[0], data[1023]), (1024, 1, 2));
        let _ = io.abandon();
    }

    #[test]
    fn segments_skip_the_header_and_stop_at_the_last_byte() {
        let pieces = Pieces::new([vec![1; 40], vec![2; 300], vec![3; 1000]]);
        let mut io = Io::write(Extent::new(0, 1), pieces, 36);
        assert_eq!(io.data(), None);
        let lens: Vec<_> = io.segments().map(|s| (s[0], s.len())).collect();
        assert_eq!(lens, [(1, 4), (2, 300), (3, 208)]);
        let mut all: Vec<_> = io.segments_mut().collect();
        all[2][207] = 9;
        drop(all);
        assert_eq!(io.abandon().into_buf().segments().nth(2).unwrap()[207], 9);
    }

    #[test]
    fn an_extent_beyond_the_end_of_the_number_space_does_not_fit_and_does_not_wrap() {
        assert!(!Extent::new(u64::MAX, 2).fits(u64::MAX));
        assert!(Extent::new(u64::MAX - 1, 1).fits(u64::MAX));
        assert!(!Extent::new(5, 0).overlaps(Extent::new(5, 0)));
        assert!(Extent::new(5, 2).overlaps(Extent::new(6, 9)));
        assert!(!Extent::new(5, 2).overlaps(Extent::new(7, 9)));
    }

    #[test]
    fn check_names_the_first_thing_that_is_wrong() {
        let check = |io: Io<Vec<u8>>, info: &DeviceInfo| {
            let result = io.check(info);
            let _ = io.abandon();
            result
        };
        let read_only = DeviceInfo { read_only: true, ..info(10) };
        assert_eq!(check(Io::read(Extent::new(9, 2), vec![0; 1024], 0), &info(10)), Err(Status::OutOfRange));
        assert_eq!(check(Io::write(Extent::new(9, 1), vec![0; 512], 0), &read_only), Err(Status::ReadOnly));
        assert_eq!(check(Io::read(Extent::new(9, 1), vec![0; 511], 0), &read_only), Err(Status::Aborted));
        let discard = Io::new(Op::Discard, Extent::new(0, 1), vec![], 0);
        assert_eq!(check(discard, &info(10)), Err(Status::Unsupported));
        assert_eq!(check(Io::flush(vec![]), &read_only), Ok(()));
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "dropped without an end")]
    fn a_request_dropped_on_the_way_panics_in_debug_builds() {
        drop(Io::flush(Vec::<u8>::new()));
    }
}
