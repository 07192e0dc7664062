//! The system calls of a process that serves. A new one is added here together with what makes it.
//!
//! They are names and not numbers, because architectures differ in which of them there are: one that this one has not is left out.

use std::collections::BTreeMap;
use std::str::FromStr;

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use syscalls::Sysno;

/// Allowed with any arguments.
const FREE: &[&[&str]] = &[
    // Frames: of packet sockets, AF_XDP sockets (whose sends wake the driver) and netlink; and binding the packet socket to an
    // interface that was created anew. No socket is made.
    &["sendmmsg", "sendto", "recvfrom", "getsockopt", "bind"],
    // The disk: its data, its size, its zeros, its time of modification.
    &["read", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2"],
    &["fdatasync", "fsync", "fallocate", "lseek", "utimensat", "fstat", "statx", "io_uring_enter"],
    // The state file, which Landlock keeps in its directory, and away from all other paths.
    &["open", "openat", "close", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat"],
    &["stat", "lstat", "newfstatat"],
    // Waiting, and time where the vDSO has none.
    &["poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "timerfd_settime"],
    &["nanosleep", "clock_nanosleep", "sched_yield", "clock_gettime", "restart_syscall"],
    // Memory.
    &["munmap", "mremap", "madvise", "brk", "getrandom"],
    // Threads of disks that need them, and signals.
    &["futex", "exit", "exit_group", "set_robust_list", "rseq", "sched_getaffinity", "gettid", "getpid"],
    &["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"],
    // The report of a panic, which ends one request only.
    &["getcwd", "readlink", "readlinkat"],
];

/// Bits of an argument that must have a value: the argument's number, the bits, the value.
type Limit = (u8, u64, u64);

/// The bits of an argument that the kernel takes for 32 bits wide.
const WORD: u64 = u32::MAX as u64;

/// No memory becomes code.
const NOT_EXECUTABLE: Limit = (2, libc::PROT_EXEC as u64, 0);

/// Within the process, and no process of its own.
const THREAD: u64 = (libc::CLONE_THREAD | libc::CLONE_VM) as u64;

/// `IORING_UNREGISTER_FILES`, by which a ring ends.
const UNREGISTER_FILES: u64 = 3;

/// Allowed when all of these hold. A name that comes more than once is allowed by any of its lines.
const LIMITED: &[(&str, &[Limit])] = &[
    ("mmap", &[NOT_EXECUTABLE]),
    ("mprotect", &[NOT_EXECUTABLE]),
    ("clone", &[(0, THREAD, THREAD)]),
    ("prctl", &[(0, WORD, libc::PR_SET_NAME as u64)]),
    ("prctl", &[(0, WORD, libc::PR_SET_VMA as u64)]),
    ("fcntl", &[(1, WORD, libc::F_DUPFD_CLOEXEC as u64)]),
    ("fcntl", &[(1, WORD, libc::F_GETFD as u64)]),
    ("fcntl", &[(1, WORD, libc::F_GETFL as u64)]),
    ("fcntl", &[(1, WORD, libc::F_SETFL as u64)]),
    // The state of an interface. These numbers have another width on each architecture.
    ("ioctl", &[(1, WORD, libc::SIOCGIFINDEX as u32 as u64)]),
    ("ioctl", &[(1, WORD, libc::SIOCGIFFLAGS as u32 as u64)]),
    ("ioctl", &[(1, WORD, libc::SIOCGIFMTU as u32 as u64)]),
    ("ioctl", &[(1, WORD, libc::SIOCGIFHWADDR as u32 as u64)]),
    // With another set of targets.
    ("setsockopt", &[(1, WORD, libc::SOL_SOCKET as u64), (2, WORD, libc::SO_ATTACH_FILTER as u64)]),
    // With an interface that was created anew.
    ("setsockopt", &[(1, WORD, libc::SOL_PACKET as u64), (2, WORD, libc::PACKET_QDISC_BYPASS as u64)]),
    ("io_uring_register", &[(1, WORD, UNREGISTER_FILES)]),
];

/// What may be called, for the filter. `pid` is this process.
pub(super) fn allowed(pid: u32) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    // By abort, and by the trap itself.
    let own: &[Limit] = &[(0, WORD, u64::from(pid))];
    let mut rules = BTreeMap::new();
    for call in FREE.iter().copied().flatten().filter_map(|name| number(name)) {
        rules.insert(call, Vec::new());
    }
    for (name, limits) in LIMITED.iter().copied().chain([("tgkill", own)]) {
        let Some(call) = number(name) else { continue };
        let conditions = limits.iter().map(|&(argument, bits, value)| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bits), value)
        });
        let rule = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
        rules.entry(call).or_insert_with(Vec::new).push(rule);
    }
    Ok(rules)
}

fn number(name: &str) -> Option<i64> {
    Sysno::from_str(name).ok().map(|call| call as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_name_is_one_of_a_call() {
        let names = FREE.iter().copied().flatten().copied().chain(LIMITED.iter().map(|&(name, _)| name));
        let unknown: Vec<_> = names.filter(|name| number(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn no_call_is_in_both_lists() {
        // The filter would allow it with any arguments, or with none.
        let free: Vec<_> = FREE.iter().copied().flatten().collect();
        assert!(LIMITED.iter().all(|(name, _)| !free.contains(&name)));
    }
}
