//! The text of a file, and its tables of keys that are asked for by name.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Lines, Mistake, Place};
use super::value::Entry;

/// The text of a file, and what was found wrong in it so far.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) file: Place,
    pub(super) text: String,
    lines: Lines,
    pub(super) mistakes: RefCell<Vec<Mistake>>,
    /// Lines that are no TOML.
    damaged: RefCell<BTreeSet<usize>>,
}

impl Text {
    pub(super) fn new(file: Place, text: String) -> Self {
        let lines = Lines::of(text.as_bytes());
        Self { file, text, lines, mistakes: RefCell::default(), damaged: RefCell::default() }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        self.file.at(self.lines.position(self.text.as_bytes(), span.start))
    }

    pub(super) fn wrong(&self, span: &Range<usize>, what: impl Into<String>) {
        let place = self.place(span);
        if !self.damaged.borrow().contains(&place.line_number()) {
            self.mistakes.borrow_mut().push(Mistake::new(place, what));
        }
    }

    /// Tells that TOML itself is wrong somewhere. What else is wrong in that line may only follow from it, and is not told.
    pub(super) fn not_toml(&self, span: &Range<usize>, why: &str) {
        self.wrong(span, format!("not TOML: {why}; see https://toml.io"));
        self.damaged.borrow_mut().insert(self.place(span).line_number());
    }

    /// Whether TOML itself is wrong somewhere, so that what is missed may be there, and what is not known may belong elsewhere.
    pub(super) fn is_damaged(&self) -> bool {
        !self.damaged.borrow().is_empty()
    }
}

/// A table of keys that are asked for by name. Those that nobody asked for are unknown.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    pub(super) text: &'t Text,
    /// Where it begins.
    pub(super) span: Range<usize>,
    table: &'t DeTable<'t>,
    /// Where a key is looked for that is not here.
    defaults: Option<&'t Section<'t>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t> Section<'t> {
    pub(super) fn new(text: &'t Text, table: &'t Spanned<DeTable<'t>>) -> Self {
        Self { text, span: table.span(), table: table.get_ref(), defaults: None, asked: RefCell::default() }
    }

    /// The table that is the value of `entry`.
    pub(super) fn of(entry: &Entry<'t>) -> Option<Self> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            entry.wrong_type("a table");
            return None;
        };
        let span = entry.span();
        Some(Self { text: entry.text, span, table, defaults: None, asked: RefCell::default() })
    }

    /// The same, with other values for the keys that are not in it.
    pub(super) fn with_defaults(self, defaults: Option<&'t Section<'t>>) -> Self {
        Self { defaults, ..self }
    }

    /// The value of a key, here or in the defaults.
    pub(super) fn entry(&self, key: &'static str) -> Option<Entry<'t>> {
        self.own(key).or_else(|| self.defaults?.own(key))
    }

    /// The value of a key here.
    pub(super) fn own(&self, key: &'static str) -> Option<Entry<'t>> {
        self.asked.borrow_mut().push(key);
        self.entries().find(|entry| entry.key == key)
    }

    /// All keys, whatever they are called.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'t>> + use<'t> {
        let (text, table) = (self.text, self.table);
        table.iter().map(|(key, value)| Entry { text, key: key.get_ref(), key_span: key.span(), value })
    }

    /// Tells of the keys that were never asked for, with the nearest of those that were.
    pub(super) fn refuse_others(&self) {
        if self.text.is_damaged() {
            return;
        }
        let asked = self.asked.borrow();
        for entry in self.entries().filter(|entry| !asked.contains(&entry.key)) {
            let remedy = match nearest(entry.key, asked.iter().copied()) {
                Some(known) => format!("did you mean {known}?"),
                None => {
                    let mut known = asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("known here: {}", known.join(", "))
                }
            };
            self.text.wrong(&entry.key_span, format!("unknown key {:?}; {remedy}", entry.key));
        }
    }
}

/// The one of `known` that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(word, known);
    let best = known.map(|known| (likeness(known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= 0.6).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_that_is_near() {
        let known = ["read_only", "path", "offset", "length"];
        let nearest = |word| nearest(word, known.into_iter());
        assert_eq!(nearest("read-only"), Some("read_only"));
        assert_eq!(nearest("ofset"), Some("offset"));
        assert_eq!(nearest("colour"), None);
    }
}
