//! Waiting where there is nothing to wait with: short sleeps.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The longest sleep; frames that arrive meanwhile wait for its end.
const NAP: Duration = Duration::from_micros(200);

pub(super) struct Waiter;

impl Waiter {
    pub(super) fn new<'a>(_: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn wait(&mut self, _: Duration, at_most: Duration) -> io::Result<()> {
        std::thread::sleep(at_most.min(NAP));
        Ok(())
    }

    pub(super) fn arm(&mut self, _: Duration, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn event(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
