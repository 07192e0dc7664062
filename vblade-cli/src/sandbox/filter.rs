//! The seccomp filter (seccomp(2)): a program that the kernel runs before each system call.

use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter, apply_filter_all_threads, sock_filter,
};
use syscalls::Sysno;

use super::{Reach, calls, trap};

/// Puts the filter in force.
///
/// # Errors
///
/// Why it is not.
pub(super) fn install(reach: Reach) -> Result<(), String> {
    let program = program().map_err(|error| format!("no seccomp: {error}"))?;
    // Before the filter: what it refuses is to be told.
    trap::install(reach).map_err(|error| format!("no seccomp: SIGSYS cannot be handled: {error}"))?;
    let apply = match reach {
        Reach::Process => apply_filter_all_threads,
        Reach::Thread => apply_filter,
    };
    apply(&program).map_err(|error| {
        format!("no seccomp: {error}; this kernel has none, or a container forbids the system call seccomp")
    })
}

/// What is [allowed](calls::allowed) passes; what [does not exist](absent) fails; everything else is a trap.
///
/// A call that passes whatever its arguments costs next to nothing: the kernel (from 5.11 on) works that out once and runs no program for it.
fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(ARCH)?;
    let rules = calls::allowed(std::process::id())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, arch)?;
    let mut program = absent();
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

/// The beginning of the program: calls that fail with `ENOSYS`, as they did before the kernel had them, so that the C library does without.
///
/// These are the calls that are newer than this program, which a newer C library may try first, and `clone3`, because no filter can look at its flags:
/// those of `clone`, which takes its place, tell a thread from a process.
fn absent() -> BpfProgram {
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    vec![
        // The number is the first field of what a filter sees (`struct seccomp_data`).
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, Sysno::clone3 as u32),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, Sysno::last() as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
    ]
}
