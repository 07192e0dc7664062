//! Which interfaces there are, and word of changes: [`Interfaces`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{sys, watch};

/// The interfaces of the network namespace, for who opens links on those that appear.
#[derive(Debug)]
pub struct Interfaces {
    changes: OwnedFd,
}

impl Interfaces {
    /// Watches them from now on (rtnetlink(7)). It takes no privilege.
    ///
    /// # Errors
    ///
    /// The system has no netlink socket for us.
    pub fn watch() -> io::Result<Self> {
        Ok(Self { changes: watch::open_netlink()? })
    }

    /// The names of all that there are now.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        sys::names()
    }

    /// Whether one has appeared, vanished or changed since this was last called, or may have.
    #[must_use]
    pub fn changed(&self) -> bool {
        watch::drain(&self.changes)
    }

    /// Readable when [`changed`](Self::changed) will be true.
    #[must_use]
    pub fn event(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}
