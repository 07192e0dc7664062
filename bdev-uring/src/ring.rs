//! The ring itself: set up with what the kernel has, filled in batches, emptied without needless system calls.
#![expect(unsafe_code, reason = "the kernel works on memory that an entry names")]

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;
use std::{io, mem, thread};

use io_uring::register::Restriction;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, Fixed, FsyncFlags};
use io_uring::{Builder, EnterFlags, IoUring, Probe, opcode};

use crate::Unavailable;

/// The files of a ring by their numbers there.
pub(crate) const DATA: Fixed = Fixed(0);
const SYNC: Fixed = Fixed(1);

/// Names of entries other than transfers, whose names are small numbers. Syncs have the last, and the numbers before it.
const SYNCED: u64 = u64::MAX;
const FIRST_SYNC: u64 = SYNCED - u8::MAX as u64;
const WATCHED: u64 = FIRST_SYNC - 1;
const CANCELLED: u64 = FIRST_SYNC - 2;

/// Entries that the kernel takes over in one call. A few: the device begins with the first while the others are handed over, which gains
/// more than the calls cost.
const BATCH: u32 = 4;
/// Entries in the kernel beside transfers: a sync, a watched descriptor, a cancellation.
const OTHERS: u32 = 8;
/// How often in a row the kernel may be short of memory before others get more than a moment.
const PATIENCE: u32 = 100;
/// How often in a row it is tried, with a [`PAUSE`] before each, when nothing in the kernel would wake anybody: for a second.
const STUBBORN: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The transfer of this name: bytes moved, or a negative error number.
    Transfer { name: u32, result: i32 },
    /// The sync of this number: 0 or a negative error number.
    Sync { number: u8, result: i32 },
}

pub(crate) struct Ring {
    uring: IoUring,
    /// What the kernel has not taken over; the first of them are in the submission queue.
    todo: VecDeque<Entry>,
    /// Entries that the kernel has taken over and not ended, but for what is watched.
    in_kernel: usize,
    /// Whether a watched descriptor has not yet become readable.
    watching: bool,
    /// How often the kernel will be short of memory.
    #[cfg(test)]
    shortages: u32,
}

struct Setup {
    entries: u32,
    completions: u32,
    /// Data, and what is synced. The ring keeps both open.
    files: [RawFd; 2],
}

impl Ring {
    /// A ring for up to `depth` transfers at a time.
    pub(crate) fn new(depth: u32, data: BorrowedFd<'_>, sync: BorrowedFd<'_>) -> Result<Self, Unavailable> {
        let room = depth + OTHERS;
        let setup = Setup {
            entries: BATCH,
            completions: room.next_power_of_two(),
            files: [data.as_raw_fd(), sync.as_raw_fd()],
        };
        Ok(Self {
            uring: setup.build().map_err(Unavailable::from_setup)?,
            todo: VecDeque::with_capacity(room as usize),
            in_kernel: 0,
            watching: false,
            #[cfg(test)]
            shortages: 0,
        })
    }

    /// Readable while something has ended.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.uring.as_fd()
    }

    /// Whether something waits for [`submit`](Self::submit).
    pub(crate) fn has_todo(&self) -> bool {
        !self.todo.is_empty()
    }

    /// Takes a transfer called `name`, to be started by [`submit`](Self::submit).
    ///
    /// # Safety
    ///
    /// The memory that `entry` names stays valid, and is not touched, until [`next`](Self::next) or [`take_todo`](Self::take_todo) tells
    /// of `name`, or [`finish`](Self::finish) returns `true`.
    pub(crate) unsafe fn transfer(&mut self, name: u32, entry: Entry) {
        self.todo.push_back(entry.user_data(name.into()));
    }

    /// Takes a sync, the one called `number`.
    pub(crate) fn sync(&mut self, number: u8) {
        let entry = opcode::Fsync::new(SYNC).flags(FsyncFlags::DATASYNC).build();
        self.todo.push_back(entry.user_data(SYNCED - u64::from(number)));
    }

    /// Makes [`event`](Self::event) readable when `fd` next is, once.
    pub(crate) fn watch(&mut self, fd: BorrowedFd<'_>) {
        if !mem::replace(&mut self.watching, true) {
            let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), libc::POLLIN as u32).build();
            self.todo.push_back(entry.user_data(WATCHED));
        }
    }

    /// Hands the kernel what was taken, a few to a system call. What it has no memory for is left for the next time: for when
    /// [`event`](Self::event) tells of the end of something else. Where there is nothing else, it is waited for.
    ///
    /// # Errors
    ///
    /// When the ring can no longer be used.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        let mut refused = 0;
        while !self.todo.is_empty() {
            let staged = self.stage();
            let result = self.hand_over();
            let taken = staged - self.uring.submission().len();
            let watched = self.todo.drain(..taken).filter(|entry| entry.get_user_data() == WATCHED).count();
            self.in_kernel += taken - watched;
            match result {
                Err(error) if !is_passing(&error) => return Err(error),
                _ if taken != 0 => refused = 0,
                _ if refused < PATIENCE => {
                    refused += 1;
                    thread::yield_now();
                }
                _ if self.in_kernel == 0 && refused < PATIENCE + STUBBORN => {
                    refused += 1;
                    thread::sleep(PAUSE);
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<usize> {
        #[cfg(test)]
        if let Some(left) = self.shortages.checked_sub(1) {
            self.shortages = left;
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        self.uring.submit()
    }

    /// The next that has ended; a system call only where the kernel says that it waits for one.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut looked = false;
        loop {
            let Some(entry) = self.uring.completion().next() else {
                if looked || !self.uring.submission().taskrun() {
                    return None;
                }
                looked = true;
                // Fails at most for now.
                let _ = self.enter(0);
                continue;
            };
            let (name, result) = (entry.user_data(), entry.result());
            if name == WATCHED {
                self.watching = false;
                continue;
            }
            self.in_kernel = self.in_kernel.saturating_sub(1);
            match name {
                FIRST_SYNC.. => return Some(Event::Sync { number: (SYNCED - name) as u8, result }),
                CANCELLED => {}
                name => return Some(Event::Transfer { name: name as u32, result }),
            }
        }
    }

    /// Takes back what the kernel never took over, when `submit` has failed: transfers, as if they had been given up, and syncs. The
    /// ring takes nothing more.
    pub(crate) fn take_todo(&mut self) -> Vec<Event> {
        let result = -libc::ECANCELED;
        let names = self.todo.drain(..).map(|entry| entry.get_user_data());
        names
            .filter_map(|name| match name {
                WATCHED | CANCELLED => None,
                FIRST_SYNC.. => Some(Event::Sync { number: (SYNCED - name) as u8, result }),
                name => Some(Event::Transfer { name: name as u32, result }),
            })
            .collect()
    }

    /// Cancels what can be cancelled and waits until the kernel is done with every transfer. `false`: it cannot be waited for.
    pub(crate) fn finish(&mut self) -> bool {
        if self.in_kernel > 0 && self.uring.submission().is_empty() {
            self.todo.clear();
            let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
            self.todo.push_back(entry.user_data(CANCELLED));
            // A kernel that cannot cancel is waited for.
            let _ = self.submit();
        }
        loop {
            while self.next().is_some() {}
            if self.in_kernel == 0 {
                // The kernel takes a ring apart when it finds the time; by then somebody may want to unmount the files.
                let _ = self.uring.submitter().unregister_files();
                return true;
            }
            if self.enter(1).is_err_and(|error| !is_passing(&error)) {
                return false;
            }
        }
    }

    /// Fills the submission queue. Returns how many entries are in it.
    fn stage(&mut self) -> usize {
        let mut queue = self.uring.submission();
        let staged = queue.len();
        for entry in self.todo.iter().skip(staged) {
            // SAFETY: whoever called `transfer` promised that its memory stays; the others name none.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
        }
        queue.len()
    }

    /// Lets the kernel end what it can, and waits until it has ended `count`.
    fn enter(&self, count: u32) -> io::Result<usize> {
        let submitter = self.uring.submitter();
        // SAFETY: nothing is submitted, and there is no argument.
        unsafe { submitter.enter::<libc::sigset_t>(0, count, EnterFlags::GETEVENTS.bits(), None) }
    }
}

impl Setup {
    /// The best ring that this kernel has.
    fn build(&self) -> io::Result<IoUring> {
        // Linux 5.19: completions do not interrupt the thread, and a flag tells that some wait for it. Not with deferred task work
        // (6.1), which makes nobody's poll of the ring wake up.
        let mut best = IoUring::builder();
        best.setup_submit_all().setup_coop_taskrun().setup_taskrun_flag().setup_r_disabled();
        match self.build_from(best).and_then(|uring| restrict(&uring).map(|()| uring)) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.build_from(IoUring::builder()),
            result => result,
        }
    }

    fn build_from(&self, mut builder: Builder) -> io::Result<IoUring> {
        let uring = builder.setup_cqsize(self.completions).setup_clamp().build(self.entries)?;
        let mut probe = Probe::new();
        uring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Readv::CODE, opcode::Writev::CODE];
        if !uring.params().is_feature_nodrop() || !needed.iter().all(|&code| probe.is_supported(code)) {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        uring.submitter().register_files(&self.files)?;
        Ok(uring)
    }
}

/// What a ring may be asked for from now on, which is what this crate asks for. A ring makes its requests past the seccomp filter of a process.
const REQUESTS: [u8; 7] = [
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::Readv::CODE,
    opcode::Writev::CODE,
    opcode::Fsync::CODE,
    opcode::PollAdd::CODE,
    opcode::AsyncCancel2::CODE,
];

/// `IORING_UNREGISTER_FILES`.
const UNREGISTER_FILES: u8 = 3;

/// Limits a ring that is set up but disabled to [`REQUESTS`], and enables it.
fn restrict(uring: &IoUring) -> io::Result<()> {
    let others = [
        Restriction::sqe_flags_allowed(Flags::FIXED_FILE.bits()),
        Restriction::register_op(UNREGISTER_FILES),
    ];
    let mut list: Vec<_> = REQUESTS.map(Restriction::sqe_op).into_iter().chain(others).collect();
    uring.submitter().register_restrictions(&mut list)?;
    uring.submitter().register_enable_rings()
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

#[cfg(test)]
mod tests;
