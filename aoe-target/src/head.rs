//! The beginning of a frame in one piece, also where the frame is in several (AF_XDP jumbo frames, virtio chains).
//!
//! Sectors go to the disk as a list of pieces and are never looked at here. All else that a request or a reply holds (headers, IDENTIFY
//! data, lists, strings, TRIM ranges) is short, lies at the beginning, and is wanted in one piece: that is where it nearly always is. Where
//! it is not, it goes through a buffer on the stack. For frames of a type that has one piece, nothing of this is compiled.

use aoe_wire::{Directive, MASK_HEADER_LEN};

use crate::Frame;

/// The longest beginning that is ever wanted: a mask list of 255 entries, longer than any string, list or page.
pub(crate) const HEAD: usize = MASK_HEADER_LEN + u8::MAX as usize * size_of::<Directive>();

/// Bytes of the whole frame.
pub(crate) fn len<F: Frame>(frame: &F) -> usize {
    if F::MAX_SEGMENTS == 1 { frame.bytes().len() } else { frame.segments().map(<[u8]>::len).sum() }
}

/// Calls `look` with the beginning of the frame, at least its first [`HEAD`] bytes.
pub(crate) fn view<F: Frame, T>(frame: &F, look: impl FnOnce(&[u8]) -> T) -> T {
    if is_whole(frame, HEAD) {
        return look(frame.bytes());
    }
    let mut head = [0; HEAD];
    let len = gather(frame, &mut head);
    look(&head[..len])
}

/// Calls `change` with the beginning of the frame, at least its first `want` bytes (and no more than [`HEAD`] can be wanted), and keeps what
/// it leaves there.
pub(crate) fn edit<F: Frame, T>(frame: &mut F, want: usize, change: impl FnOnce(&mut [u8]) -> T) -> T {
    if is_whole(frame, want) {
        return change(frame.bytes_mut());
    }
    let mut head = [0; HEAD];
    let len = gather(frame, &mut head);
    let result = change(&mut head[..len]);
    scatter(frame, &head[..len]);
    result
}

/// Copies `bytes` to the beginning of the frame.
pub(crate) fn scatter<F: Frame>(frame: &mut F, mut bytes: &[u8]) {
    for piece in frame.segments_mut() {
        let (here, rest) = bytes.split_at(bytes.len().min(piece.len()));
        piece[..here.len()].copy_from_slice(here);
        bytes = rest;
    }
}

/// Zeroes what lies behind the first `kept` bytes of the frame.
pub(crate) fn zero_behind<F: Frame>(frame: &mut F, mut kept: usize) {
    for piece in frame.segments_mut() {
        let here = kept.min(piece.len());
        piece[here..].fill(0);
        kept -= here;
    }
}

/// Whether the first `want` bytes, or all that there are, are in the first piece.
fn is_whole<F: Frame>(frame: &F, want: usize) -> bool {
    let first = frame.bytes().len();
    F::MAX_SEGMENTS == 1 || first >= want || first == len(frame)
}

/// Copies the beginning of the frame; how much that was.
fn gather<F: Frame>(frame: &F, head: &mut [u8; HEAD]) -> usize {
    let mut at = 0;
    for piece in frame.segments() {
        let here = piece.len().min(HEAD - at);
        head[at..at + here].copy_from_slice(&piece[..here]);
        at += here;
    }
    at
}
