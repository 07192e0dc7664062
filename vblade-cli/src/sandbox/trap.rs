//! What becomes of a call that the filter refuses: SIGSYS, of which a handler makes a line on standard error, and then the end.
#![expect(
    unsafe_code,
    reason = "a signal handler, which is told the call's number in a form that libc does not know"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem, ptr};

use libc::{c_int, c_void};
use syscalls::Sysno;

use super::Reach;

/// What the kernel tells with SIGSYS (sigaction(2), `struct siginfo`).
#[repr(C)]
struct Refused {
    signal: c_int,
    errno: c_int,
    code: c_int,
    address: *const c_void,
    call: c_int,
    architecture: u32,
}

/// `SYS_SECCOMP`: it was a filter.
const BY_FILTER: c_int = 1;

/// Whether this is `vbladed`, whose serving thread alone is shut in, and not `vblade`.
static OF_DAEMON: AtomicBool = AtomicBool::new(false);

/// Puts the handler in its place.
pub(super) fn install(reach: Reach) -> io::Result<()> {
    OF_DAEMON.store(reach == Reach::Thread, Ordering::Relaxed);
    // SAFETY: `sigaction` is made of integers, addresses and an optional function: all zero is a valid value of it.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_refusal as extern "C" fn(_, _, _) as usize;
    // Once: the same signal ends the process from then on, also within the handler.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESETHAND;
    // SAFETY: the pointer is valid, and the old action is not asked for; the handler is of the kind that SA_SIGINFO asks for and does only
    // what is allowed in one.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes system calls that the filter allows, and neither allocates nor locks.
extern "C" fn on_refusal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a pointer to a `siginfo`, which is larger than `Refused` and of which any bytes are a valid value of it.
    let refused = unsafe { info.cast::<Refused>().read() };
    if refused.code == BY_FILTER {
        let mut line = Line::default();
        let (name, way_out): (&[u8], &[u8]) = if OF_DAEMON.load(Ordering::Relaxed) {
            (b"vbladed", b"set sandbox = false")
        } else {
            (b"vblade", b"start with --no-sandbox")
        };
        line.push(name);
        line.push(b": system call ");
        line.push_number(refused.call.cast_unsigned());
        if let Some(call) = usize::try_from(refused.call).ok().and_then(Sysno::new) {
            line.push(b" (");
            line.push(call.name().as_bytes());
            line.push(b")");
        }
        line.push(b" is outside the sandbox; report this, or ");
        line.push(way_out);
        line.push(b"\n");
        // SAFETY: the pointer is valid for as many bytes. What cannot be written is lost.
        unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.len) };
    }
    let (process, thread) = (rustix::process::getpid().as_raw_pid(), rustix::thread::gettid().as_raw_pid());
    // SAFETY: takes no pointers. Not `raise`, which is another call in each C library.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
    // SAFETY: as above. Only where even that was refused.
    unsafe { libc::_exit(1) };
}

/// Text without an allocation; what goes beyond its end is left out.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 160], len: 0 }
    }
}

impl Line {
    fn push(&mut self, text: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(text) {
            *to = *from;
            self.len += 1;
        }
    }

    fn push_number(&mut self, number: u32) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_texts_and_numbers_and_ends_where_its_room_does() {
        let mut line = Line::default();
        line.push(b"call ");
        line.push_number(0);
        line.push_number(435);
        assert_eq!(line.bytes[..line.len], *b"call 0435");
        line.push(&[b'x'; 200]);
        assert_eq!(line.len, line.bytes.len());
    }
}
