//! What one sector may hold, by what was promised of it: [`History`].

/// The writes of one sector in their order, and what is known of each.
///
/// The order is that in which they must take effect, each at its number: of arrival at a target, or of submission by one who
/// waits for the end of the one before. Numbers only grow.
#[derive(Clone, Debug)]
pub struct History {
    entries: Vec<Entry>,
    /// The power failed before this number.
    cut: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stamp: u64,
    number: u64,
    fate: Fate,
    /// It, or what is newer, survives every power cut.
    durable: bool,
    /// It was in flight when the power last failed, and may have been done after that.
    repeated: bool,
    /// A sync has failed with it, or may have: no later one promises it.
    given_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In flight, failed, unanswered, or lost with the power: it is there, or not.
    Maybe,
    /// It was there.
    Done,
    /// It has been seen that it is not.
    Never,
}

impl Default for History {
    fn default() -> Self {
        let unwritten =
            Entry { stamp: 0, number: 0, fate: Fate::Done, durable: true, repeated: false, given_up: false };
        Self { entries: vec![unwritten], cut: 0 }
    }
}

impl History {
    /// A write begins.
    pub fn write(&mut self, number: u64, stamp: u64) {
        let (fate, durable, repeated, given_up) = (Fate::Maybe, false, false, false);
        self.entries.push(Entry { stamp, number, fate, durable, repeated, given_up });
    }

    /// The write with this number has been acknowledged, as `durable` or not.
    pub fn acknowledged(&mut self, number: u64, durable: bool) {
        let cut = self.cut;
        let Some(entry) = self.entry(number) else { return };
        // What was written before a power cut and not durable may have gone with it, also when the reply comes after it.
        if durable || number >= cut {
            (entry.fate, entry.durable) = (Fate::Done, durable);
        }
    }

    /// A flush that began as number `number` was acknowledged: what was acknowledged before that is durable.
    pub fn flushed(&mut self, number: u64) {
        if number < self.cut {
            return;
        }
        let before = self.entries.iter_mut().rev().filter(|entry| entry.number < number);
        if let Some(last) = before.into_iter().find(|entry| entry.fate == Fate::Done) {
            last.durable |= !last.given_up;
        }
    }

    /// The number of the latest write that is known to be there.
    #[must_use]
    pub fn latest(&self) -> u64 {
        let done = self.entries.iter().rev().find(|entry| entry.fate == Fate::Done);
        done.map_or(0, |entry| entry.number)
    }

    /// A flush that began as number `flush` was acknowledged, before which the write with this number was.
    pub fn survived(&mut self, flush: u64, number: u64) {
        if flush >= self.cut
            && let Some(entry) = self.entry(number)
        {
            entry.durable |= entry.fate == Fate::Done && !entry.given_up;
        }
    }

    /// A sync has failed: what is not durable by now will not be, whatever later ones say, until it is written again.
    pub fn given_up(&mut self) {
        self.entries
            .iter_mut()
            .rev()
            .take_while(|entry| !entry.durable)
            .for_each(|entry| entry.given_up = true);
    }

    /// The power failed between what has a number below `now` and what has not. Writes that are `in_flight` are sent again after it.
    pub fn cut(&mut self, now: u64, in_flight: impl Fn(u64) -> bool) {
        self.cut = now;
        for entry in self.entries.iter_mut().rev() {
            if entry.durable {
                break;
            }
            if entry.fate == Fate::Done {
                entry.fate = Fate::Maybe;
            }
            entry.repeated = in_flight(entry.number);
        }
    }

    /// A read that began as number `number` has found `stamp`.
    ///
    /// # Errors
    ///
    /// The stamps that it might have found.
    pub fn read(&mut self, number: u64, stamp: u64) -> Result<(), Vec<u64>> {
        let mut allowed = Vec::new();
        for at in (0..self.entries.len()).rev() {
            let entry = self.entries[at];
            if entry.number >= number || entry.fate == Fate::Never {
                continue;
            }
            if entry.stamp == stamp {
                // What a read found that began before a power cut may be gone since.
                if number >= self.cut {
                    self.settle(at, number);
                }
                return Ok(());
            }
            allowed.push(entry.stamp);
            if entry.fate == Fate::Done {
                break;
            }
        }
        Err(allowed)
    }

    /// What was there when something began as number `number`: the entry `at`, and none of those after it.
    fn settle(&mut self, at: usize, number: u64) {
        let cut = self.cut;
        for entry in self.entries[at + 1..].iter_mut().filter(|entry| entry.number < number) {
            entry.fate = Fate::Never;
        }
        let found = &mut self.entries[at];
        found.fate = Fate::Done;
        // What is found after a power cut was on the medium.
        found.durable |= found.number < cut && !found.repeated;
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the stamps 0 to 9 a read may find now.
    fn may_be(history: &History, number: u64) -> Vec<u64> {
        (0..10).filter(|stamp| history.clone().read(number, *stamp).is_ok()).collect()
    }

    #[test]
    fn an_acknowledged_write_is_read_and_one_in_flight_may_be() {
        let mut history = History::default();
        history.write(1, 1);
        assert_eq!(may_be(&history, 2), [0, 1]);
        history.acknowledged(1, false);
        history.write(3, 3);
        history.write(4, 4);
        assert_eq!(may_be(&history, 5), [1, 3, 4]);
        history.acknowledged(3, false);
        assert_eq!(may_be(&history, 5), [3, 4]);
        assert_eq!(may_be(&history, 2), [1], "a read that came before later writes");
        assert_eq!(history.read(5, 0), Err(vec![4, 3]));
    }

    #[test]
    fn what_was_read_once_stays() {
        let mut history = History::default();
        history.write(1, 1);
        history.write(2, 2);
        history.read(3, 1).unwrap();
        assert_eq!(may_be(&history, 4), [1]);
    }

    #[test]
    fn a_power_cut_takes_what_was_not_flushed_and_no_more() {
        let mut history = History::default();
        for number in 1..5 {
            history.write(number, number);
            history.acknowledged(number, false);
        }
        history.flushed(3);
        assert_eq!(may_be(&history, 6), [4]);
        history.cut(6, |_| false);
        assert_eq!(may_be(&history, 7), [2, 3, 4]);
        history.read(7, 3).unwrap();
        history.cut(8, |_| false);
        assert_eq!(may_be(&history, 9), [3], "it was on the medium");
    }

    #[test]
    fn a_sync_that_failed_takes_nothing_that_was_promised_and_later_ones_promise_what_is_new() {
        let mut history = History::default();
        history.write(1, 1);
        history.acknowledged(1, true);
        history.write(2, 2);
        history.acknowledged(2, false);
        history.given_up();
        history.flushed(4);
        let mut cut = history.clone();
        cut.cut(5, |_| false);
        assert_eq!(may_be(&cut, 6), [1, 2]);
        history.write(5, 5);
        history.acknowledged(5, false);
        history.flushed(6);
        history.cut(7, |_| false);
        assert_eq!(may_be(&history, 8), [5]);
    }

    #[test]
    fn what_was_acknowledged_as_durable_survives() {
        let mut history = History::default();
        history.write(1, 1);
        history.acknowledged(1, true);
        history.write(2, 2);
        history.cut(3, |_| false);
        assert_eq!(may_be(&history, 4), [1, 2]);
    }

    #[test]
    fn replies_to_what_was_asked_before_a_power_cut_promise_nothing_that_was_volatile() {
        let mut history = History::default();
        history.write(1, 1);
        history.cut(3, |number| number == 1);
        history.acknowledged(1, false);
        history.flushed(2);
        history.read(2, 1).unwrap();
        assert_eq!(may_be(&history, 4), [0, 1]);
        history.read(4, 1).unwrap();
        history.cut(5, |_| false);
        assert_eq!(may_be(&history, 6), [0, 1], "it was done again after the first cut");
    }
}
