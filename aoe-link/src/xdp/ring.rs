//! Memory that is shared with the kernel: mappings, and the four rings of an AF_XDP socket (Linux, networking/af_xdp).
//!
//! Each ring has one producer and one consumer; of each pair, one side is the kernel's. An entry changes hands when the index behind it
//! is stored with release ordering, and is looked at after the index was loaded with acquire ordering.
#![expect(unsafe_code, reason = "memory that the kernel writes, too")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// Pages of this process, until they are dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; all access goes through the owner of this value.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives nothing but the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Fresh memory, all zero.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        Self::new(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// A ring of the socket `fd`, at one of the offsets `XDP_PGOFF_*`.
    fn ring(fd: BorrowedFd<'_>, len: usize, offset: libc::off_t) -> io::Result<Self> {
        Self::new(len, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
    }

    fn new(len: usize, flags: libc::c_int, fd: libc::c_int, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel chooses an unused range, so no memory of ours changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, offset) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place of a `T` at byte `at`.
    fn place<T>(&self, at: u64) -> NonNull<T> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        assert!(
            at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len)
                && (self.start.as_ptr() as usize + at).is_multiple_of(align_of::<T>()),
            "the kernel told of a ring that is not in its mapping"
        );
        // SAFETY: `at` lies in the mapping, as was just checked.
        unsafe { self.start.add(at) }.cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and is unmapped only here; whoever uses its addresses holds this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// One ring. `T` is plain integers.
struct Ring<T> {
    map: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    _entries: PhantomData<T>,
}

// SAFETY: the pointers lead into `map`, which is of the process; `Producer` and `Consumer` use them through `&mut self` only.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// Maps a ring of `size` entries, a power of two, that lies as `offsets` tell.
    fn map(
        fd: BorrowedFd<'_>,
        offset: libc::off_t,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        assert!(size.is_power_of_two());
        let entries = usize::try_from(offsets.desc).unwrap_or(usize::MAX);
        let len = entries.saturating_add(size as usize * size_of::<T>());
        let map = Mapping::ring(fd, len, offset)?;
        // The last entry lies in the mapping, so all do.
        let _: NonNull<T> = map.place(offsets.desc + u64::from(size - 1) * size_of::<T>() as u64);
        Ok(Self {
            producer: map.place(offsets.producer),
            consumer: map.place(offsets.consumer),
            flags: map.place(offsets.flags),
            entries: map.place(offsets.desc),
            map,
            size,
            _entries: PhantomData,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: the place lies in `map`, is aligned, and both sides use it as an atomic.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    /// The place of the entry that index `at` means.
    fn entry(&self, at: u32) -> NonNull<T> {
        // SAFETY: the index is below `size` after masking, and `size` entries lie in `map`.
        unsafe { self.entries.add((at & (self.size - 1)) as usize) }
    }

    fn needs_wakeup(&self) -> bool {
        debug_assert!(self.map.len() >= 4);
        // SAFETY: as for `producer`.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The near end of a ring that we fill: the fill ring and the transmit ring.
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// The index behind the last entry that was written; those from the shared index on are not yet the kernel's.
    next: u32,
    /// The kernel's index as it was last seen.
    seen: u32,
}

impl<T: Copy> Producer<T> {
    pub(super) fn map(
        fd: BorrowedFd<'_>,
        offset: libc::off_t,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let ring = Ring::map(fd, offset, offsets, size)?;
        Ok(Self {
            next: ring.producer().load(Ordering::Relaxed),
            seen: ring.consumer().load(Ordering::Acquire),
            ring,
        })
    }

    /// Entries that can be pushed, at least as far as `wanted` if there is so much room.
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        if self.ring.size - self.next.wrapping_sub(self.seen) < wanted {
            self.seen = self.ring.consumer().load(Ordering::Acquire);
        }
        // A kernel that is ahead of us would be broken: then there is no room.
        self.ring.size.saturating_sub(self.next.wrapping_sub(self.seen))
    }

    /// Entries that the kernel has not taken, published or not.
    pub(super) fn pending(&mut self) -> u32 {
        self.seen = self.ring.consumer().load(Ordering::Acquire);
        self.next.wrapping_sub(self.seen)
    }

    /// Writes an entry behind the last, for which there is [`room`](Self::room). The kernel sees it after [`publish`](Self::publish).
    pub(super) fn push(&mut self, entry: T) {
        debug_assert!(self.next.wrapping_sub(self.seen) < self.ring.size, "pushed without room");
        let place = self.ring.entry(self.next);
        // SAFETY: there is room, so the kernel has consumed this entry and does not read it before it is published.
        unsafe { place.write(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Hands over what was pushed.
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel waits for a system call before it looks at the ring.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// The near end of a ring that the kernel fills: the receive ring and the completion ring.
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// The index of the entry that is read next.
    next: u32,
    /// The kernel's index as it was last seen.
    seen: u32,
}

impl<T: Copy> Consumer<T> {
    pub(super) fn map(
        fd: BorrowedFd<'_>,
        offset: libc::off_t,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let ring = Ring::map(fd, offset, offsets, size)?;
        let next = ring.consumer().load(Ordering::Relaxed);
        Ok(Self { next, seen: next, ring })
    }

    /// The next entry, if there is one.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.next == self.seen {
            self.seen = self.ring.producer().load(Ordering::Acquire);
            if self.next == self.seen {
                return None;
            }
        }
        let place = self.ring.entry(self.next);
        // SAFETY: the kernel has published this entry and does not write it again before it is released. Any bytes are a `T`.
        let entry = unsafe { place.read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Entries that wait to be popped.
    pub(super) fn waiting(&self) -> u32 {
        self.ring.producer().load(Ordering::Relaxed).wrapping_sub(self.next)
    }

    /// Gives the entries that were popped back to the kernel.
    pub(super) fn release(&mut self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}
