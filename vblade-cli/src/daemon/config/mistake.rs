//! What is wrong in the files, and where: a mistake names its file, line and column, the thing, and the remedy.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where something is written. Places are in the order in which the files are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The how manieth file it is.
    file_number: usize,
    /// Line and column in characters, from 1. `None` is the file as a whole.
    position: Option<(usize, usize)>,
    file: Arc<Path>,
}

impl Place {
    /// A file as a whole.
    pub(super) fn of_file(file_number: usize, file: &Path) -> Self {
        Self { file_number, position: None, file: file.into() }
    }

    pub(super) fn is_main(&self) -> bool {
        self.file_number == 0
    }

    /// A position in this file.
    pub(super) fn at(&self, position: (usize, usize)) -> Self {
        Self { position: Some(position), ..self.clone() }
    }

    pub(super) fn line_number(&self) -> usize {
        self.position.map_or(0, |(line, _)| line)
    }

    /// Without the column: `/etc/vblade/conf.d/rack1.toml:12`.
    pub(super) fn line(&self) -> String {
        match self.position {
            Some((line, _)) => format!("{}:{line}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.file.display()),
            None => write!(f, "{}", self.file.display()),
        }
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &[u8]) -> Self {
        let newlines = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect())
    }

    /// Line and column, from 1, of the byte `at`.
    pub(super) fn position(&self, text: &[u8], at: usize) -> (usize, usize) {
        let at = at.min(text.len());
        let line = self.0.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.0.get(line)).copied().unwrap_or(0);
        // A character's first byte is not one of 0b10xx_xxxx.
        (line, 1 + text[start..at].iter().filter(|byte| **byte & 0xc0 != 0x80).count())
    }
}

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    place: Place,
    what: String,
}

impl Mistake {
    pub(super) fn new(place: Place, what: impl Into<String>) -> Self {
        Self { place, what: what.into() }
    }
}

/// In one line, without control characters.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!("{}: {}", self.place, self.what);
        line.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

/// As `file`, `line`, `column` and `message`.
impl Serialize for Mistake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            file: String,
            line: Option<usize>,
            column: Option<usize>,
            message: &'a str,
        }
        let (line, column) = self.place.position.unzip();
        Fields { file: self.place.file.display().to_string(), line, column, message: &self.what }
            .serialize(serializer)
    }
}

/// All that is wrong, in the order of the files: at least one mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// In order and each once; `None` if there are none.
    pub(super) fn sorted(mut mistakes: Vec<Mistake>) -> Option<Self> {
        mistakes.sort();
        mistakes.dedup();
        (!mistakes.is_empty()).then_some(Self(mistakes))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Each in a line of its own.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(number, mistake)| {
            if number > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)
        })
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let file = Place::of_file(0, Path::new("/f"));
        let text = "a = 1\n\u{e9}\u{e9} = 2\n".as_bytes();
        let lines = Lines::of(text);
        let at = |byte: usize| file.at(lines.position(text, byte)).to_string();
        assert_eq!((at(0), at(5), at(6)), ("/f:1:1".into(), "/f:1:6".into(), "/f:2:1".into()));
        assert_eq!(at(11), "/f:2:4", "two characters of two bytes come before");
        assert_eq!(at(999), "/f:3:1");
        assert_eq!((file.to_string(), file.at((2, 1)).line()), ("/f".into(), "/f:2".into()));
    }

    #[test]
    fn mistakes_are_told_in_order_each_once_and_without_control_characters() {
        let place = |number, line| Place {
            file_number: number,
            position: Some((line, 1)),
            file: Path::new(if number == 0 { "z" } else { "a" }).into(),
        };
        let mistakes = [(1, 1, "four"), (0, 10, "three"), (0, 2, "one\x1b[2J"), (0, 10, "three")]
            .map(|(number, line, what)| Mistake::new(place(number, line), what));
        let mistakes = Mistakes::sorted(mistakes.into()).expect("mistakes");
        assert_eq!(mistakes.to_string(), "z:2:1: one\\u{1b}[2J\nz:10:1: three\na:1:1: four");
        assert_eq!(Mistakes::sorted(Vec::new()), None);
    }
}
