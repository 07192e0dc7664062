//! Group commit: writes that have returned wait together for one sync.

use std::mem;

use crate::transfers::Name;

/// Syncs that run at a time. Two: while one waits for the device to empty its cache, the other's data is on its way there.
const SYNCS: usize = 2;

/// Who waits for a sync. While as many run as may, the next group gathers.
#[derive(Default)]
pub(crate) struct Commit {
    /// Written, or flushes: covered by the next sync to begin.
    gathered: Vec<Name>,
    syncs: [Sync; SYNCS],
}

#[derive(Default)]
struct Sync {
    /// Covered by it; empty: there is none of this number.
    names: Vec<Name>,
    /// Whether it has succeeded. The kernel tells one of the syncs that run side by side of data that it could not write back, and the
    /// others not: so its group ends when those that ran beside it have succeeded, too.
    succeeded: bool,
}

impl Commit {
    /// `name` is durable once a sync that begins from now on has succeeded.
    pub(crate) fn gather(&mut self, name: Name) {
        self.gathered.push(name);
    }

    /// Whether nobody waits for a sync.
    pub(crate) fn is_idle(&self) -> bool {
        self.gathered.is_empty() && self.syncs.iter().all(|sync| sync.names.is_empty())
    }

    /// The number of the sync that is to begin now and is then counted as running; `None`: it is not yet time. It waits while more writes
    /// are still `on_the_way` than would gain by beginning: no longer than until half of all have gathered.
    pub(crate) fn begin(&mut self, on_the_way: usize) -> Option<u8> {
        if self.gathered.is_empty() || self.gathered.len() < on_the_way {
            return None;
        }
        let number = self.syncs.iter().position(|sync| sync.names.is_empty())?;
        mem::swap(&mut self.gathered, &mut self.syncs[number].names);
        self.syncs[number].succeeded = false;
        u8::try_from(number).ok()
    }

    /// A sync did not take place: those that it would have covered wait for another. Moves `into` there who waited only for it to end.
    pub(crate) fn again(&mut self, number: u8, into: &mut Vec<Name>) {
        let Some(sync) = self.syncs.get_mut(usize::from(number)) else { return };
        self.gathered.append(&mut sync.names);
        self.release(into);
    }

    /// A sync has succeeded. Moves `into` there who is durable now.
    pub(crate) fn succeeded(&mut self, number: u8, into: &mut Vec<Name>) {
        let Some(sync) = self.syncs.get_mut(usize::from(number)) else { return };
        sync.succeeded = true;
        self.release(into);
    }

    fn release(&mut self, into: &mut Vec<Name>) {
        if self.syncs.iter().all(|sync| sync.succeeded || sync.names.is_empty()) {
            self.syncs.iter_mut().for_each(|sync| into.append(&mut sync.names));
        }
    }

    /// A sync has failed, or was given up. Moves `into` there who cannot become durable: whom it covered or one that ran beside it, and
    /// those that gathered, whose data may be among what was lost. A sync that still runs ends by itself.
    pub(crate) fn failed(&mut self, number: u8, into: &mut Vec<Name>) {
        let failed = usize::from(number);
        for (_, sync) in
            self.syncs.iter_mut().enumerate().filter(|(at, sync)| *at == failed || sync.succeeded)
        {
            into.append(&mut sync.names);
        }
        self.take_gathered(into);
    }

    /// Moves `into` there whom no sync covers yet.
    pub(crate) fn take_gathered(&mut self, into: &mut Vec<Name>) {
        into.append(&mut self.gathered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups that are synced side by side, and one who gathers.
    fn two_running() -> Commit {
        let mut commit = Commit::default();
        assert_eq!(commit.begin(0), None, "nobody waits");
        commit.gather(1);
        commit.gather(2);
        assert_eq!(commit.begin(0), Some(0));
        commit.gather(3);
        assert_eq!(commit.begin(0), Some(1));
        commit.gather(4);
        assert_eq!(commit.begin(0), None, "two run");
        commit
    }

    fn names(take: impl FnOnce(&mut Vec<Name>)) -> Vec<Name> {
        let mut names = Vec::new();
        take(&mut names);
        names
    }

    #[test]
    fn a_group_is_durable_when_those_that_were_synced_beside_it_are() {
        for (first, second) in [(0, 1), (1, 0)] {
            let mut commit = two_running();
            assert_eq!(names(|names| commit.succeeded(first, names)), []);
            assert_eq!(commit.begin(0), None, "its number is not free yet");
            assert_eq!(names(|names| commit.succeeded(second, names)), [1, 2, 3]);
            assert_eq!(commit.begin(0), Some(0));
            assert_eq!(names(|names| commit.succeeded(0, names)), [4]);
            assert!(commit.is_idle());
        }
    }

    #[test]
    fn a_failure_reaches_everybody_who_has_written() {
        let mut commit = two_running();
        assert_eq!(names(|names| commit.succeeded(1, names)), []);
        assert_eq!(names(|names| commit.failed(0, names)), [1, 2, 3, 4]);
        let mut commit = two_running();
        assert_eq!(names(|names| commit.failed(0, names)), [1, 2, 4], "the other is asked when it ends");
        assert_eq!(names(|names| commit.failed(1, names)), [3]);
        assert!(commit.is_idle());
    }

    #[test]
    fn a_group_waits_for_as_many_as_it_has_and_no_longer() {
        let mut commit = Commit::default();
        commit.gather(1);
        assert_eq!(commit.begin(2), None, "two are on the way");
        commit.gather(2);
        assert_eq!(commit.begin(2), Some(0));
        assert_eq!(names(|names| commit.succeeded(0, names)), [1, 2]);
    }

    #[test]
    fn a_sync_that_was_interrupted_is_begun_anew_for_all() {
        let mut commit = two_running();
        assert_eq!(names(|names| commit.again(0, names)), []);
        assert_eq!(commit.begin(0), Some(0));
        assert_eq!(names(|names| commit.succeeded(1, names)), []);
        assert_eq!(names(|names| commit.succeeded(0, names)), [4, 1, 2, 3]);
    }

    #[test]
    fn who_waited_only_for_a_sync_that_was_interrupted_is_durable() {
        let mut commit = two_running();
        assert_eq!(names(|names| commit.succeeded(1, names)), []);
        assert_eq!(names(|names| commit.again(0, names)), [3]);
        assert_eq!(commit.begin(0), Some(0));
        assert_eq!(names(|names| commit.succeeded(0, names)), [4, 1, 2]);
        assert!(commit.is_idle());
    }
}
