//! `sendmmsg`, which neither rustix nor the standard library has.
#![expect(unsafe_code, reason = "system calls by libc")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::{io, mem, ptr};

use bdev::{AlignedBuf, IoBuf};

/// As many messages of one piece each as one system call moves at most.
pub(super) struct Batch {
    /// What the headers point to, in the same order. Neither vector changes its length.
    pieces: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the headers' pointers lead into `pieces`, which moves with them, its memory staying where it is. Those in `pieces` are only
// used during the calls that set them.
unsafe impl Send for Batch {}

impl Batch {
    /// For up to `count` messages.
    pub(super) fn new(count: usize) -> Self {
        let mut pieces = vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; count];
        let first = pieces.as_mut_ptr();
        let headers = (0..count)
            .map(|i| {
                // SAFETY: `mmsghdr` is made of integers and raw pointers: all zero is a valid value of it.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = first.wrapping_add(i);
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { pieces, headers }
    }

    /// Sends the first of `frames` and tells how many, at least one. Never waits.
    pub(super) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        frames: impl Iterator<Item = &'a AlignedBuf>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (piece, frame) in self.pieces.iter_mut().zip(frames) {
            let bytes = frame.bytes();
            *piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            count += 1;
        }
        // SAFETY: the descriptor is open while it is borrowed. `count` headers begin at the pointer, each with one piece, which was set
        // just now to the bytes of a frame that is borrowed for 'a, longer than this call. The kernel only reads them, and keeps no
        // pointer (sendmmsg(2)).
        let result = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}
