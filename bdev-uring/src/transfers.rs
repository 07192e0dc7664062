//! Requests in flight: each has a slot that keeps its buffer, and what the kernel was told of it, where they are.
#![expect(unsafe_code, reason = "buffers are handed to the kernel")]

use std::os::fd::{AsFd, BorrowedFd};
use std::{io, mem};

use bdev::{AlignedBuf, Alignment, FileDisk, Io, IoBuf, Op};
use io_uring::opcode::{Read, Readv, Write, Writev};
use io_uring::squeue::Entry;

use crate::Unavailable;
use crate::ring::{DATA, Event, Ring};

/// Bytes that one transfer asks for at most; the kernel moves less than 2 GiB at a time. What is left follows.
const LONGEST: usize = 1 << 30;
/// Pieces that one transfer names at most.
const PIECES: usize = 1024;

/// Names a slot.
pub(crate) type Name = u32;

/// A ring and the requests that it works on, or that wait for a sync.
pub(crate) struct Transfers<B: IoBuf> {
    ring: Ring,
    slots: Vec<Slot<B>>,
    free: Vec<Name>,
    alignment: Option<Alignment>,
    /// Aligned memory that was needed once.
    copies: Vec<AlignedBuf>,
}

struct Slot<B> {
    io: Option<Io<B>>,
    /// Byte of the file where the data begins.
    at: u64,
    moved: usize,
    /// How the data is moved (`RWF_DSYNC` or nothing).
    flags: i32,
    /// Whether the kernel may use the buffer: from `start` until the ring tells of its end.
    busy: bool,
    /// In place of memory that does not fit the device's alignment.
    copy: Option<AlignedBuf>,
    /// What a vectored transfer names. Untouched while busy.
    pieces: Vec<libc::iovec>,
}

// SAFETY: the pointers in `pieces` lead into the buffers of the same slot and are used by nobody but the kernel; the rest is `Send`, given
// that `B` is.
unsafe impl<B: Send> Send for Slot<B> {}

impl<B: IoBuf> Transfers<B> {
    /// Room for `depth` requests on `disk`.
    pub(crate) fn new(depth: u16, disk: &FileDisk) -> Result<Self, Unavailable> {
        let slot =
            || Slot { io: None, at: 0, moved: 0, flags: 0, busy: false, copy: None, pieces: Vec::new() };
        let sync = disk.open_sync().map_err(Unavailable::from_open)?;
        Ok(Self {
            ring: Ring::new(depth.into(), disk.as_fd(), sync.as_ref().map_or(disk.as_fd(), AsFd::as_fd))?,
            slots: (0..depth).map(|_| slot()).collect(),
            free: (0..depth.into()).rev().collect(),
            alignment: disk.alignment(),
            copies: Vec::new(),
        })
    }

    /// Requests that have a slot.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives `io` a slot; `at` is where its data lies in the file. Back it comes when none is free.
    pub(crate) fn hold(&mut self, io: Io<B>, at: u64) -> Result<Name, Io<B>> {
        let Some(name) = self.free.pop() else { return Err(io) };
        let slot = &mut self.slots[name as usize];
        slot.io = Some(io);
        slot.at = at;
        slot.moved = 0;
        slot.flags = 0;
        Ok(name)
    }

    /// The request in a slot.
    pub(crate) fn io(&self, name: Name) -> Option<&Io<B>> {
        self.slots.get(name as usize)?.io.as_ref()
    }

    /// Has a request's data moved with `flags` from now on.
    pub(crate) fn set_flags(&mut self, name: Name, flags: i32) {
        if let Some(slot) = self.slots.get_mut(name as usize) {
            slot.flags = flags;
        }
    }

    /// How a request's data is moved.
    pub(crate) fn flags(&self, name: Name) -> i32 {
        self.slots.get(name as usize).map_or(0, |slot| slot.flags)
    }

    /// Moves what has not been moved of a request, once [`submit`](Self::submit) is called. Does nothing while that is under way.
    pub(crate) fn start(&mut self, name: Name) {
        let Some(slot) = self.slots.get_mut(name as usize).filter(|slot| !slot.busy) else { return };
        if slot.moved == 0 && slot.copy.is_none() {
            slot.align(self.alignment, &mut self.copies);
        }
        let Some(entry) = slot.entry() else { return };
        slot.busy = true;
        // SAFETY: the entry names memory of the slot's buffer, of its copy, and the list of pieces. All three stay where they are, as they
        // are in the slot, and `busy` keeps everything here from touching them. It is cleared when the ring tells of the end; `Drop` waits.
        unsafe { self.ring.transfer(name, entry) };
    }

    /// Makes what was written durable, once [`submit`](Self::submit) is called, by the sync called `number`.
    pub(crate) fn sync(&mut self, number: u8) {
        self.ring.sync(number);
    }

    /// Makes [`event`](Self::event) readable when `fd` next is, once.
    pub(crate) fn watch(&mut self, fd: BorrowedFd<'_>) {
        self.ring.watch(fd);
    }

    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.ring.event()
    }

    /// Hands the kernel what was started.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        if self.ring.has_todo() { self.ring.submit() } else { Ok(()) }
    }

    /// What has ended next.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let event = self.ring.next()?;
        if let Event::Transfer { name, .. } = event
            && let Some(slot) = self.slots.get_mut(name as usize)
        {
            slot.busy = false;
        }
        Some(event)
    }

    /// Counts `bytes` more as moved. Returns how many are left.
    pub(crate) fn advance(&mut self, name: Name, bytes: usize) -> usize {
        let Some(slot) = self.slots.get_mut(name as usize) else { return 0 };
        slot.moved += bytes;
        slot.left()
    }

    /// Whether the next byte to move is where direct I/O may begin.
    pub(crate) fn is_at_block(&self, name: Name) -> bool {
        let block = self.alignment.map_or(1, |alignment| alignment.offset as usize);
        self.slots.get(name as usize).is_none_or(|slot| slot.moved.is_multiple_of(block))
    }

    /// The request again; `None` while the kernel works on it. What was read into a copy is in its own memory now.
    pub(crate) fn take(&mut self, name: Name) -> Option<Io<B>> {
        let slot = self.slots.get_mut(name as usize).filter(|slot| !slot.busy)?;
        let mut io = slot.io.take()?;
        if let Some(copy) = slot.copy.take() {
            if io.op() == Op::Read {
                let mut from = copy.bytes();
                for mut piece in io.segments_mut() {
                    let (head, rest) = from.split_at(piece.len().min(from.len()));
                    piece[..head.len()].copy_from_slice(head);
                    from = rest;
                }
            }
            self.copies.push(copy);
        }
        self.free.push(name);
        Some(io)
    }

    /// What the kernel never took over, when [`submit`](Self::submit) has failed, as if it had given it up.
    pub(crate) fn take_unstarted(&mut self) -> Vec<Event> {
        let events = self.ring.take_todo();
        for event in &events {
            if let Event::Transfer { name, .. } = *event
                && let Some(slot) = self.slots.get_mut(name as usize)
            {
                slot.busy = false;
            }
        }
        events
    }
}

impl<B: IoBuf> Drop for Transfers<B> {
    fn drop(&mut self) {
        let slots = mem::take(&mut self.slots);
        if !self.ring.finish() {
            tracing::error!(
                requests = slots.iter().filter(|slot| slot.busy).count(),
                "the ring cannot be waited for any more; the memory of its requests is not freed"
            );
            return mem::forget(slots);
        }
        for io in slots.into_iter().filter_map(|slot| slot.io) {
            let _ = io.abandon();
        }
    }
}

impl<B: IoBuf> Slot<B> {
    fn left(&self) -> usize {
        self.io.as_ref().map_or(0, |io| io.extent().bytes()).saturating_sub(self.moved)
    }

    /// Takes a copy where the buffer's memory is not what `alignment` asks for.
    fn align(&mut self, alignment: Option<Alignment>, copies: &mut Vec<AlignedBuf>) {
        let (Some(alignment), Some(io)) = (alignment, &self.io) else { return };
        let memory = alignment.memory as usize;
        // A list of one piece needs no aligned length: the whole has it.
        let fits = match io.data() {
            Some(data) => data.as_ptr().addr().is_multiple_of(memory),
            None => io.segments().all(|piece| {
                piece.as_ptr().addr().is_multiple_of(memory)
                    && piece.len().is_multiple_of(alignment.offset as usize)
            }),
        };
        if fits {
            return;
        }
        let len = io.extent().bytes();
        let mut copy = copies.pop().filter(|copy| copy.capacity() >= len).unwrap_or_else(|| {
            AlignedBuf::new(len.next_power_of_two(), alignment.memory.max(alignment.offset) as usize, 0)
        });
        copy.set_len(len);
        if io.op() != Op::Read {
            let mut to = copy.bytes_mut();
            for piece in io.segments() {
                let (head, rest) = to.split_at_mut(piece.len().min(to.len()));
                head.copy_from_slice(&piece[..head.len()]);
                to = rest;
            }
        }
        self.copy = Some(copy);
    }

    /// What the kernel is told: the bytes that are left.
    fn entry(&mut self) -> Option<Entry> {
        let left = self.left().min(LONGEST);
        let len = u32::try_from(left).ok()?;
        let (moved, at) = (self.moved, self.at + self.moved as u64);
        let io = self.io.as_mut()?;
        let is_read = io.op() == Op::Read;
        if let Some(data) = self.copy.as_mut().map_or_else(|| io.data_mut(), |copy| Some(copy.bytes_mut())) {
            let start = data.get_mut(moved..)?.as_mut_ptr();
            return Some(if is_read {
                Read::new(DATA, start, len).offset(at).rw_flags(self.flags).build()
            } else {
                Write::new(DATA, start, len).offset(at).rw_flags(self.flags).build()
            });
        }
        let mut skip = moved;
        self.pieces.clear();
        for mut piece in io.segments_mut() {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            if skipped < piece.len() && self.pieces.len() < PIECES {
                let rest = &mut piece[skipped..];
                self.pieces.push(libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() });
            }
        }
        let (list, count) = (self.pieces.as_ptr(), u32::try_from(self.pieces.len()).ok()?);
        Some(if is_read {
            Readv::new(DATA, list, count).offset(at).rw_flags(self.flags).build()
        } else {
            Writev::new(DATA, list, count).offset(at).rw_flags(self.flags).build()
        })
    }
}
