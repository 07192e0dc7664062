//! What a target has confirmed of its settings: [`Settings`].

use aoe_target::State;
use aoe_wire::MacAddr;

use super::asked::Asked;

/// The settings of an export over time.
pub(super) struct Settings {
    /// In force from a number on, the first from 0.
    confirmed: Vec<(u64, State)>,
    /// What was to be stored since the last that was confirmed.
    attempts: Vec<State>,
    /// The setting that was in force when the turn began.
    known: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { confirmed: vec![(0, State::default())], attempts: Vec::new(), known: 0 }
    }
}

impl Settings {
    /// A turn begins.
    pub(super) fn turn(&mut self) {
        self.known = self.confirmed.len() - 1;
    }

    /// What was to be stored lately.
    pub(super) fn attempted(&mut self, attempts: Vec<State>) {
        self.attempts.extend(attempts);
    }

    /// A process starts with this as what was stored.
    pub(super) fn started(&mut self, stored: State, attempts: Vec<State>) -> Result<(), String> {
        self.attempts.extend(attempts);
        let confirmed = self.at(u64::MAX);
        if stored != *confirmed && !self.attempts.contains(&stored) {
            return Err(format!("{confirmed:?} was confirmed, and after a restart it is {stored:?}"));
        }
        *self = Self { confirmed: vec![(0, stored)], ..Self::default() };
        Ok(())
    }

    /// What is in force for the request with this number.
    pub(super) fn at(&self, number: u64) -> &State {
        let at = self.confirmed.partition_point(|(since, _)| *since < number);
        &self.confirmed[at.saturating_sub(1)].1
    }

    /// Whether the mask list lets in a request with this number.
    pub(super) fn admit(&self, number: u64, from: MacAddr) -> bool {
        lets_in(self.at(number), from)
    }

    /// Whether a station may be told that the target is there: before what was set in this turn, or after.
    pub(super) fn advertise_to(&self, to: MacAddr) -> bool {
        let confirmed = self.confirmed[self.known..].iter().map(|(_, state)| state);
        self.attempts.iter().chain(confirmed).any(|state| lets_in(state, to))
    }

    /// A reply tells what is set.
    pub(super) fn told(&mut self, asked: &Asked, told: State) -> Result<(), String> {
        let known = self.at(asked.number);
        if told == *known {
            return Ok(());
        }
        if !asked.what.is_change() {
            return Err(format!("{known:?} is set, and {told:?} is told"));
        }
        let stored = self.attempts.iter().position(|attempt| *attempt == told);
        let Some(stored) = stored else { return Err(format!("{told:?} was confirmed and not stored")) };
        self.attempts.drain(..=stored);
        self.confirmed.push((asked.number, told));
        Ok(())
    }
}

fn lets_in(state: &State, from: MacAddr) -> bool {
    state.mask.is_empty() || state.mask.contains(&from)
}
