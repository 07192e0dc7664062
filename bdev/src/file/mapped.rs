//! A file in memory (tmpfs) without system calls: a mapping, and a copy that survives what can be wrong with one.
//!
//! To touch a mapping beyond the end of a file that was cut short, or where a full tmpfs has no page left, raises SIGBUS, which would
//! end the process. Here it ends the copy: a handler for SIGBUS looks whether the fault came from the one instruction that copies, and
//! if so goes on behind it. The caller then makes the system call that it wanted to save, which says what is wrong. Faults
//! from anywhere else go where they went before.
//!
//! What a mapping cannot tell is asked of the file now and then: a file that became shorter is not used so any more, because within its last page
//! nothing would fault. Where a file has holes, reads take the system call, since a mapping would fill them with memory.
//!
//! A thread that uses this must not block SIGBUS: the kernel ends a process that faults with it blocked. The thread that maps a file has
//! it unblocked.
//!
//! Files on a medium are not mapped: nothing tells whether a page is cached, and to wait for one would hold up everybody.
#![expect(unsafe_code, reason = "memory that others change and can take away, and a signal handler")]

use std::arch::global_asm;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{io, mem};

/// The bytes of a file from its start, as far as they went when it was mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<u8>,
    len: usize,
    writable: bool,
    fd: OwnedFd,
    /// Whether the file is as long as it was.
    usable: AtomicBool,
    /// Whether it has no holes.
    whole: AtomicBool,
    /// When its length was last looked at, in milliseconds.
    looked: AtomicU64,
}

// SAFETY: the mapping belongs to the process, and is only touched by `guarded_copy`, which takes it for memory that anybody may change.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps `len` bytes of the file; `None` where that is not to be had.
    pub(super) fn new(fd: BorrowedFd<'_>, len: u64, writable: bool) -> Option<Self> {
        guard().as_ref().ok()?;
        unblock();
        let len = usize::try_from(len).ok()?;
        let access = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: without MAP_FIXED the kernel chooses an unused range, so no memory of ours changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let mapped = Self {
            start: NonNull::new(start.cast())?,
            len,
            writable,
            fd: fd.try_clone_to_owned().ok()?,
            usable: AtomicBool::new(true),
            whole: AtomicBool::new(true),
            looked: AtomicU64::new(0),
        };
        let stored = rustix::fs::fstat(fd).ok()?.st_blocks.cast_unsigned() * 512;
        mapped.whole.store(stored >= len as u64, Ordering::Relaxed);
        Some(mapped)
    }

    /// Takes note that parts of the file have been given back.
    pub(super) fn has_holes(&self) {
        self.whole.store(false, Ordering::Relaxed);
    }

    /// Whether the file is as long as it was, to a few milliseconds.
    fn is_usable(&self) -> bool {
        let now = milliseconds();
        if self.looked.load(Ordering::Relaxed) != now {
            self.looked.store(now, Ordering::Relaxed);
            if rustix::fs::fstat(&self.fd).map_or(0, |stat| stat.st_size.cast_unsigned()) < self.len as u64 {
                self.usable.store(false, Ordering::Relaxed);
            }
        }
        self.usable.load(Ordering::Relaxed)
    }

    /// Fills `data` from byte `at` on; `false` if that did not work, and `data` is unspecified then.
    pub(super) fn read(&self, at: u64, data: &mut [u8]) -> bool {
        if !self.whole.load(Ordering::Relaxed) || !self.is_usable() {
            return false;
        }
        let Some(from) = self.place(at, data.len()) else { return false };
        // SAFETY: `data` is valid for its length and borrowed exclusively; `from` leads to as many bytes of the mapping, and what they
        // hold, or whether they are there, does not matter to the copy.
        unsafe { bdev_guarded_copy(data.as_mut_ptr(), from.as_ptr(), data.len()) == 0 }
    }

    /// Writes `data` from byte `at` on; `false` if that did not work, and any part may have been written then.
    pub(super) fn write(&self, at: u64, data: &[u8]) -> bool {
        if !self.writable || !self.is_usable() {
            return false;
        }
        let Some(to) = self.place(at, data.len()) else { return false };
        // SAFETY: `data` is valid for its length; `to` leads to as many bytes of the mapping, which may be written, and which no reference
        // of this process leads to.
        unsafe { bdev_guarded_copy(to.as_ptr(), data.as_ptr(), data.len()) == 0 }
    }

    fn place(&self, at: u64, len: usize) -> Option<NonNull<u8>> {
        let at = usize::try_from(at).ok()?;
        at.checked_add(len).filter(|end| *end <= self.len)?;
        // SAFETY: `at` lies in the mapping, or right behind it for a `len` of 0.
        Some(unsafe { self.start.add(at) })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this range, and whoever uses its addresses borrows this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A clock that costs next to nothing and moves every few milliseconds.
fn milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for what the call writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1000 + time.tv_nsec.cast_unsigned() / 1_000_000
}

global_asm!(
    ".pushsection .text.bdev_guarded_copy, \"ax\", @progbits",
    ".globl bdev_guarded_copy",
    ".hidden bdev_guarded_copy",
    ".type bdev_guarded_copy, @function",
    "bdev_guarded_copy:",
    "mov rcx, rdx",
    ".globl bdev_guarded_copy_fault",
    ".hidden bdev_guarded_copy_fault",
    "bdev_guarded_copy_fault:",
    "rep movsb",
    ".globl bdev_guarded_copy_resume",
    ".hidden bdev_guarded_copy_resume",
    "bdev_guarded_copy_resume:",
    "mov rax, rcx",
    "ret",
    ".size bdev_guarded_copy, . - bdev_guarded_copy",
    ".popsection",
);

unsafe extern "C" {
    /// Copies `len` bytes and tells how many it could not, which are the last ones. The one instruction that copies lies at
    /// `bdev_guarded_copy_fault`, and keeps in a register what is left.
    fn bdev_guarded_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    static bdev_guarded_copy_fault: u8;
    static bdev_guarded_copy_resume: u8;
}

/// What was done about SIGBUS before.
static BEFORE: OnceLock<io::Result<libc::sigaction>> = OnceLock::new();

/// Puts the handler in its place, once in the life of the process.
fn guard() -> &'static io::Result<libc::sigaction> {
    BEFORE.get_or_init(|| {
        // SAFETY: `sigaction` is made of integers, addresses and an optional function: all zero is a valid value of it.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: both pointers are valid; the handler is of the kind that SA_SIGINFO asks for and does only what is allowed in one.
        let result = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut before) };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(before)
    })
}

/// Lets SIGBUS through to this thread.
fn unblock() {
    // SAFETY: `sigset_t` is made of integers.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer is valid for the set.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGBUS) };
    // SAFETY: the pointer is valid for the set, which is read; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a pointer to the context of the thread that was interrupted, which is ours to change until we return.
    let context_of_thread = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let at = &mut context_of_thread.uc_mcontext.gregs[libc::REG_RIP as usize];
    if *at == (&raw const bdev_guarded_copy_fault).addr() as i64 {
        *at = (&raw const bdev_guarded_copy_resume).addr() as i64;
        return;
    }
    // Not ours.
    // SAFETY: the kernel passes a pointer to what it knows of the signal.
    let sent = unsafe { (*info).si_code } <= 0;
    match BEFORE.get() {
        Some(Ok(before)) if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN => {
            if before.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: with this flag the address is that of a function of three arguments, which are those we got.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { mem::transmute(before.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: without the flag it is that of a function of one argument.
                let handler: extern "C" fn(libc::c_int) = unsafe { mem::transmute(before.sa_sigaction) };
                handler(signal);
            }
            // Rust's own, which is there in every program, takes all for faults: it resets the signal and returns, so that the fault
            // comes again. What was sent does not.
            if sent && is_default(signal) {
                die(signal);
            }
        }
        Some(Ok(before)) if sent && before.sa_sigaction == libc::SIG_IGN => {}
        _ if sent => die(signal),
        // The instruction is tried again, and does what it would have done.
        _ => reset(signal),
    }
}

fn is_default(signal: libc::c_int) -> bool {
    // SAFETY: `sigaction` is made of integers, addresses and an optional function: all zero is a valid value of it.
    let mut now: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the pointer is valid for what is written, and nothing is changed.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) };
    result == 0 && now.sa_sigaction == libc::SIG_DFL
}

fn reset(signal: libc::c_int) {
    // SAFETY: takes integers only.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

fn die(signal: libc::c_int) {
    reset(signal);
    // SAFETY: takes an integer only.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests;
