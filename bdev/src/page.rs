//! Memory of zeros, and large pages of it.
#![expect(unsafe_code, reason = "memory that may not be had, and advice about it")]

use std::alloc::{Layout, alloc_zeroed};

use bytes::{Bytes, BytesMut};

/// Bytes of a large page.
pub(crate) const PAGE: usize = 2 << 20;

/// `len` bytes of zeros, which take no memory before they are touched if they are many; `None` when there are none to be had.
pub(crate) fn zeroed(len: usize) -> Option<BytesMut> {
    let layout = Layout::array::<u8>(len).ok().filter(|_| len > 0)?;
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    // SAFETY: the global allocator gave `len` bytes for this layout, which is that of a `Vec<u8>` of this capacity; all are zero.
    let memory = (!start.is_null()).then(|| unsafe { Vec::from_raw_parts(start, len, len) })?;
    Some(BytesMut::from(Bytes::from(memory)))
}

/// The bytes of a large page, aligned to its size, though the system may make it of small ones.
pub(crate) fn large() -> Option<BytesMut> {
    let mut memory = zeroed(2 * PAGE)?;
    drop(memory.split_to(memory.as_ptr().align_offset(PAGE)));
    let mut page = memory.split_to(PAGE);
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        // SAFETY: the range is this page's own, and the advice changes nothing of what it holds. A kernel without large pages refuses it.
        let _ = unsafe { madvise(page.as_mut_ptr().cast(), PAGE, Advice::LinuxHugepage) };
    }
    Some(page)
}
