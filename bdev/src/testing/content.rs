//! What tests write, and how they know it again.

use std::io::IoSliceMut;

use super::TestBuf;
use crate::{Done, Extent, Io, Op, SECTOR_SIZE};

/// Bytes before the data in the buffers of tests: odd in every unit that matters, as a network header is.
pub(super) const HEADER: usize = 36;

/// A request with a buffer that has room for its data, after a header where the operation has data.
pub(super) fn request<B: TestBuf>(op: Op, extent: Extent) -> Io<B> {
    let (header, len) = if op.has_data() { (HEADER, extent.bytes()) } else { (0, 0) };
    Io::new(op, extent, B::make(header, len, 4096), header)
}

/// The stamp of the `index`-th sector of write number `write`. Zeros are stamp 0.
pub(super) fn stamp(write: u64, index: usize) -> u64 {
    write << 16 | index as u64
}

/// Fills the data of write number `write`: each sector repeats its stamp.
pub(super) fn fill<'a>(pieces: impl Iterator<Item = IoSliceMut<'a>>, write: u64) {
    let mut at = 0;
    for mut piece in pieces {
        for byte in piece.iter_mut() {
            *byte = stamp(write, at / SECTOR_SIZE).to_le_bytes()[at % 8];
            at += 1;
        }
    }
}

/// The stamps of the sectors that were read; `None` for a sector that is torn or holds something else.
pub(super) fn stamps<B: TestBuf>(done: &Done<B>) -> Vec<Option<u64>> {
    let data: Vec<u8> = done.segments().flat_map(|piece| piece.to_vec()).collect();
    assert_eq!(data.len(), done.extent().bytes(), "the data of {} is there", done.extent());
    let stamp_of = |sector: &[u8]| {
        let first = sector.first_chunk::<8>()?;
        sector.chunks(8).all(|chunk| chunk == first).then(|| u64::from_le_bytes(*first))
    };
    data.chunks(SECTOR_SIZE).map(stamp_of).collect()
}

/// All bytes of a buffer, header included.
pub(super) fn bytes<B: TestBuf>(buf: &B) -> Vec<u8> {
    buf.segments().flat_map(<[u8]>::to_vec).collect()
}
