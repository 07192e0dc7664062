//! What is looked at: by keys, and as the daemon says it.

use std::time::Instant;

use ratatui::crossterm::event::KeyCode;

use super::history::{History, Key, Row};
use super::sampler::Sample;
use crate::control::model::Snapshot;

/// Which table is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Exports,
    /// Of one export, or of all.
    Initiators(Option<String>),
}

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Requests,
    Read,
    Written,
    Latency,
    InFlight,
    Errors,
    Retransmits,
}

const SORTS: [Sort; 8] = [
    Sort::Name,
    Sort::Requests,
    Sort::Read,
    Sort::Written,
    Sort::Latency,
    Sort::InFlight,
    Sort::Errors,
    Sort::Retransmits,
];

/// All that is drawn.
#[derive(Debug)]
pub(super) struct App {
    pub(super) history: History,
    pub(super) snapshot: Snapshot,
    pub(super) table: Table,
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    /// The line that is chosen, which stays so wherever it is sorted to.
    pub(super) chosen: Option<Key>,
    /// Since when, and why, nothing is heard.
    pub(super) lost: Option<(Instant, String)>,
    pub(super) colours: bool,
}

impl App {
    pub(super) fn new(colours: bool) -> Self {
        Self {
            history: History::default(),
            snapshot: Snapshot::default(),
            table: Table::Exports,
            sort: Sort::Name,
            reverse: false,
            chosen: None,
            lost: None,
            colours,
        }
    }

    /// Takes what the daemon said.
    pub(super) fn take(&mut self, sample: Sample, now: Instant) {
        match sample {
            Ok(snapshot) => {
                self.history.take(&snapshot);
                self.snapshot = snapshot;
                self.lost = None;
            }
            Err(why) => {
                let since = self.lost.take().map_or(now, |(since, _)| since);
                self.lost = Some((since, why));
            }
        }
    }

    /// Does what a key says. Returns whether that is to end.
    pub(super) fn press(&mut self, key: KeyCode) -> bool {
        match key {
            KeyCode::Char('q') => return true,
            KeyCode::Tab | KeyCode::BackTab => {
                let initiators = matches!(self.table, Table::Initiators(_));
                self.show(if initiators { Table::Exports } else { Table::Initiators(None) });
            }
            KeyCode::Enter if self.table == Table::Exports => {
                let chosen = self.chosen.as_ref().map(|key| key.export.clone());
                self.show(Table::Initiators(chosen));
            }
            KeyCode::Esc | KeyCode::Backspace => self.show(Table::Exports),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::PageDown => self.move_by(10),
            KeyCode::PageUp => self.move_by(-10),
            KeyCode::Home => self.move_by(isize::MIN),
            KeyCode::End => self.move_by(isize::MAX),
            KeyCode::Char('s') | KeyCode::Right => self.sort_by(1),
            KeyCode::Char('S') | KeyCode::Left => self.sort_by(SORTS.len() - 1),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            _ => {}
        }
        false
    }

    /// The lines of the table in their order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = match &self.table {
            Table::Exports => self.history.exports.iter().collect(),
            Table::Initiators(of) => {
                let shown = |row: &&Row| of.as_ref().is_none_or(|of| *of == row.key.export);
                self.history.initiators.iter().filter(shown).collect()
            }
        };
        // The daemon gives them by address; sorting keeps that order among equals.
        if self.sort != Sort::Name {
            rows.sort_by(|a, b| value(b, self.sort).total_cmp(&value(a, self.sort)));
        }
        if self.reverse {
            rows.reverse();
        }
        rows
    }

    /// Where the chosen line is.
    pub(super) fn position(&self, rows: &[&Row]) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        rows.iter().position(|row| row.key == *chosen)
    }

    fn show(&mut self, table: Table) {
        self.table = table;
        self.chosen = None;
    }

    fn move_by(&mut self, lines: isize) {
        let rows = self.rows();
        let last = rows.len().saturating_sub(1);
        let at = match self.position(&rows) {
            Some(at) => at.saturating_add_signed(lines).min(last),
            None if lines < 0 || lines == isize::MAX => last,
            None => 0,
        };
        let at = if lines == isize::MIN { 0 } else { at };
        self.chosen = rows.get(at).map(|row| row.key.clone());
    }

    fn sort_by(&mut self, further: usize) {
        let at = SORTS.iter().position(|sort| *sort == self.sort).unwrap_or_default();
        self.sort = SORTS[(at + further) % SORTS.len()];
        self.reverse = false;
    }
}

fn value(row: &Row, sort: Sort) -> f64 {
    match sort {
        Sort::Name => 0.0,
        Sort::Requests => row.rates.requests,
        Sort::Read => row.rates.read,
        Sort::Written => row.rates.written,
        Sort::Latency => row.p99.unwrap_or(0.0),
        Sort::InFlight => row.in_flight as f64,
        Sort::Errors => row.errors as f64,
        Sort::Retransmits => row.retransmits as f64,
    }
}
