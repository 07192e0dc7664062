//! Why io_uring is not to be had: [`Unavailable`].

use std::{fs, io};

use bdev::{OpenError, OpenErrorKind};

/// Why there is no ring, in one line that ends with what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The administrator has switched it off.
    #[error(
        "io_uring is switched off here (kernel.io_uring_disabled={value}); `sysctl -w kernel.io_uring_disabled=0` allows it"
    )]
    Disabled {
        /// 1: for users without privilege, 2: for all.
        value: u32,
    },
    /// Something else keeps this process from it.
    #[error(
        "io_uring is forbidden to this process, as containers and service sandboxes do; allow the system calls io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Forbidden,
    /// The kernel was built without it, or is too old.
    #[error("this kernel has no io_uring that will do; Linux 5.6 or later has, unless built without")]
    Missing,
    /// The limit on locked memory, which counts rings on kernels before 5.12, or no memory at all.
    #[error(
        "io_uring gets no memory; raise the limit on locked memory (`ulimit -l`, `LimitMEMLOCK=` of a service)"
    )]
    NoMemory,
    /// The limit on open files.
    #[error(
        "io_uring gets no descriptor; raise the limit on open files (`ulimit -n`, `LimitNOFILE=` of a service)"
    )]
    NoDescriptor,
    /// The disk cannot be opened once more, for what the queue syncs.
    #[error("a queue needs the disk opened once more: {0}")]
    Disk(OpenError),
    /// The disk's file system has no `RWF_NOWAIT`: io_uring would wait for it in the very call that must not.
    #[error(
        "io_uring would wait for this file's file system, as it does for FUSE and NFS; move the file to another, such as ext4 or XFS"
    )]
    Waits,
    /// Anything else.
    #[error("io_uring cannot be set up: {0}")]
    Os(io::Error),
}

impl Unavailable {
    /// What a failure to set a ring up means.
    pub(crate) fn from_setup(error: io::Error) -> Self {
        let disabled = || fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok();
        Self::from_errno(error, disabled)
    }

    /// What a failure to open the disk once more means.
    pub(crate) fn from_open(error: OpenError) -> Self {
        match error.kind() {
            OpenErrorKind::Os { error, .. }
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) =>
            {
                Self::NoDescriptor
            }
            _ => Self::Disk(error),
        }
    }

    /// `disabled` tells the kernel's setting, where it has one.
    fn from_errno(error: io::Error, disabled: impl FnOnce() -> Option<u32>) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => match disabled() {
                Some(value @ 1..) => Self::Disabled { value },
                _ => Self::Forbidden,
            },
            Some(libc::ENOSYS) => Self::Missing,
            Some(libc::ENOMEM) => Self::NoMemory,
            Some(libc::EMFILE | libc::ENFILE) => Self::NoDescriptor,
            _ => Self::Os(error),
        }
    }
}

impl From<Unavailable> for io::Error {
    fn from(unavailable: Unavailable) -> Self {
        let kind = match &unavailable {
            Unavailable::Disabled { .. } | Unavailable::Forbidden => io::ErrorKind::PermissionDenied,
            Unavailable::Missing | Unavailable::Waits => io::ErrorKind::Unsupported,
            Unavailable::NoMemory => io::ErrorKind::OutOfMemory,
            Unavailable::NoDescriptor | Unavailable::Disk(_) => io::ErrorKind::Other,
            Unavailable::Os(error) => error.kind(),
        };
        Self::new(kind, unavailable)
    }
}

#[cfg(test)]
mod tests {
    use bdev::{FileDisk, FileOptions};

    use super::*;

    fn line(errno: i32, disabled: Option<u32>) -> String {
        Unavailable::from_errno(io::Error::from_raw_os_error(errno), || disabled).to_string()
    }

    #[test]
    fn each_cause_is_one_line_with_its_remedy() {
        assert!(line(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled=2"));
        assert!(line(libc::EPERM, Some(1)).contains("sysctl -w"));
        for setting in [Some(0), None] {
            assert!(line(libc::EPERM, setting).contains("allow the system calls"), "seccomp, {setting:?}");
        }
        assert!(line(libc::ENOSYS, None).contains("Linux 5.6"));
        assert!(line(libc::ENOMEM, None).contains("ulimit -l"));
        assert!(line(libc::EMFILE, None).contains("ulimit -n"));
        assert!(line(libc::EIO, None).ends_with("(os error 5)"));
    }

    #[test]
    fn a_disk_that_cannot_be_opened_once_more_is_named() {
        let error = FileDisk::open(&FileOptions::new("/nowhere/disk")).unwrap_err();
        let line = Unavailable::from_open(error).to_string();
        assert!(line.contains("once more: /nowhere/disk: no such file"), "{line}");
    }

    #[test]
    fn it_travels_as_an_error_of_the_system_and_keeps_its_line() {
        let error = io::Error::from(Unavailable::Disabled { value: 2 });
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), Unavailable::Disabled { value: 2 }.to_string());
        assert!(error.downcast::<Unavailable>().is_ok());
    }
}
