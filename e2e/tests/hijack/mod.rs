//! Makes another process call something that it does not call by itself: what a fault in it may come to.
#![expect(unsafe_code, reason = "ptrace, which no safe library offers")]

use std::io;
use std::ptr;

use libc::{c_long, c_void, pid_t, user_regs_struct};

/// The instruction of a system call, which a process that waits has just passed.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Has the first thread of the process make the system call `number`, with whatever arguments it last had.
///
/// # Panics
/// If the process cannot be traced, or was not waiting.
#[track_caller]
pub(crate) fn call(pid: u32, number: c_long) {
    let pid = pid_t::try_from(pid).expect("a process id");
    trace(libc::PTRACE_SEIZE, pid, 0, 0);
    trace(libc::PTRACE_INTERRUPT, pid, 0, 0);
    let mut status = 0;
    // SAFETY: the pointer is valid for an integer. A stop is waited for, which leaves the end to whoever started the process.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }, pid);
    assert!(libc::WIFSTOPPED(status), "stopped");
    // SAFETY: `user_regs_struct` is made of integers.
    let mut registers: user_regs_struct = unsafe { std::mem::zeroed() };
    trace(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).addr());
    registers.rip -= SYSCALL.len() as u64;
    let instruction = trace(libc::PTRACE_PEEKTEXT, pid, registers.rip as usize, 0);
    assert_eq!(instruction.to_le_bytes()[..2], SYSCALL, "it waits in a system call");
    registers.rax = number as u64;
    // The call that was interrupted is not made again.
    registers.orig_rax = u64::MAX;
    trace(libc::PTRACE_SETREGS, pid, 0, (&raw mut registers).addr());
    trace(libc::PTRACE_DETACH, pid, 0, 0);
}

#[track_caller]
fn trace(request: libc::c_uint, pid: pid_t, address: usize, data: usize) -> c_long {
    let (address, data): (*mut c_void, *mut c_void) =
        (ptr::with_exposed_provenance_mut(address), ptr::with_exposed_provenance_mut(data));
    // SAFETY: where a request writes to this process, `data` is the address of a live value of what it writes.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    assert!(result != -1, "ptrace {request}: {}", io::Error::last_os_error());
    result
}
