//! A receive ring: memory that the kernel fills with frames, so that nothing has to be asked of it (packet(7), `PACKET_RX_RING`).
//!
//! Slots of 2 KiB hold the frames of an MTU of 1500. Of a longer one, the slot holds the beginning, and the whole waits in the socket.
#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{io, mem, ptr, slice};

/// Bytes of a slot, with the kernel's header.
const SLOT: usize = 2048;

/// Bytes that the kernel allocates at a time: many slots, none of them across a border.
const BLOCK: usize = 64 << 10;

/// The largest ring.
const MOST: usize = 16 << 20;

/// Frames that have arrived, in their order.
pub(super) struct Ring {
    memory: *mut u8,
    bytes: usize,
    /// Where the next frame is, or will be.
    at: usize,
}

/// The oldest of the frames, which stays in the ring until [`Ring::release`].
pub(super) struct Arrived<'a> {
    /// The frame, or its beginning.
    pub(super) bytes: &'a [u8],
    /// How long the frame is.
    pub(super) len: usize,
    /// When it arrived, by the system's clock.
    pub(super) time: Duration,
    /// Whether the frame waits in the socket, too: whole, and as the next of those there.
    pub(super) in_socket: bool,
}

// SAFETY: the memory belongs to this ring alone, whichever thread that is in.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a packet socket that has no ring one of about so many `bytes`: 64 KiB at least, 16 MiB at most.
    pub(super) fn new(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let bytes = bytes.clamp(BLOCK, MOST) / BLOCK * BLOCK;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (bytes / BLOCK) as u32,
            tp_frame_size: SLOT as u32,
            tp_frame_nr: (bytes / SLOT) as u32,
        };
        let (version, on): (libc::c_int, libc::c_int) = (libc::tpacket_versions::TPACKET_V2 as _, 1);
        // SAFETY: this option takes an integer (packet(7)).
        unsafe { set_option(socket, libc::PACKET_VERSION, &version) }?;
        // SAFETY: as above.
        unsafe { set_option(socket, libc::PACKET_COPY_THRESH, &on) }?;
        // SAFETY: this option takes a `tpacket_req` in this version.
        unsafe { set_option(socket, libc::PACKET_RX_RING, &request) }?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: no address is asked for, so nothing that is mapped is replaced; the descriptor is open while it is borrowed.
        let memory = unsafe {
            libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memory: memory.cast(), bytes, at: 0 })
    }

    /// Its memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest frame.
    pub(super) fn front(&mut self) -> Option<Arrived<'_>> {
        let status = self.status(self.at).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: `at` is below the length of the memory, of which it leaves a slot at least; that stays mapped as long as `self`, whose
        // borrow the slice has. The kernel writes nothing to a slot from the moment that its status said so until that is changed,
        // which takes `self` exclusively (packet_mmap.rst).
        let slot = unsafe { slice::from_raw_parts(self.slot(self.at), SLOT) };
        // SAFETY: a slot begins with this header, of which any bytes are a valid value, and is aligned for it.
        let header = unsafe { slot.as_ptr().cast::<libc::tpacket2_hdr>().read() };
        let start = usize::from(header.tp_mac);
        let bytes = slot.get(start..start + header.tp_snaplen as usize).unwrap_or_default();
        let in_socket = status & libc::TP_STATUS_COPY != 0;
        let time = Duration::new(header.tp_sec.into(), header.tp_nsec);
        Some(Arrived { bytes, len: header.tp_len as usize, time, in_socket })
    }

    /// Whether more than `count` frames have arrived; never more than it has room for.
    pub(super) fn has_more_than(&self, count: usize) -> bool {
        count < self.bytes / SLOT
            && self.status(self.at + count * SLOT).load(Ordering::Relaxed) & libc::TP_STATUS_USER != 0
    }

    /// Gives the place of the oldest frame back to the kernel.
    pub(super) fn release(&mut self) {
        self.status(self.at).store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.at += SLOT;
        if self.at == self.bytes {
            self.at = 0;
        }
    }

    /// Whose the slot at this offset is, and what is to know of it.
    fn status(&self, at: usize) -> &AtomicU32 {
        // SAFETY: a slot begins with its status, is aligned for it, and stays mapped as long as `self`. The kernel and this program change
        // it by whole stores only.
        unsafe { AtomicU32::from_ptr(self.slot(at).cast()) }
    }

    /// The slot at this offset, a multiple of `SLOT`, which may lie a round ahead.
    fn slot(&self, at: usize) -> *mut u8 {
        self.memory.wrapping_add(at % self.bytes)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the memory was mapped by `new` with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.memory.cast(), self.bytes) };
    }
}

/// # Safety
///
/// `value` must be what the option of a packet socket takes.
unsafe fn set_option<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = mem::size_of_val(value) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the pointer is valid for `len` bytes; the caller answers for their meaning.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, option, ptr::from_ref(value).cast(), len)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
