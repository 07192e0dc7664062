//! Outcomes in a file, so that a long comparison may be made row by row: [`Store`].

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::machine::Machine;
use crate::stats::Outcome;

/// Outcomes, the newest of each row, and the file they are kept in.
pub(crate) struct Store {
    path: Option<PathBuf>,
    content: Content,
}

#[derive(Serialize, Deserialize)]
struct Content {
    machine: Machine,
    rows: Vec<Outcome>,
}

impl Store {
    /// What the file has; nothing when there is none yet.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or was not made on this machine.
    pub(crate) fn open(path: Option<&Path>, machine: &Machine) -> Result<Self, Error> {
        let mut content = Content { machine: machine.clone(), rows: Vec::new() };
        if let Some(path) = path {
            match fs::read(path) {
                Ok(bytes) => content = parse(&bytes, path)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", path.display()).into()),
            }
            if content.machine != *machine {
                return Err(format!("{} has figures of another machine", path.display()).into());
            }
        }
        Ok(Self { path: path.map(Path::to_owned), content })
    }

    /// Takes an outcome in place of the row's last, and stores it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn put(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.content.rows.retain(|old| old.row != outcome.row);
        self.content.rows.push(outcome);
        if let Some(path) = &self.path {
            let text = serde_json::to_string_pretty(&self.content)? + "\n";
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.content.rows
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Content, Error> {
    serde_json::from_slice(bytes).map_err(|error| format!("{}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(kernel: &str) -> Machine {
        let text = String::new;
        Machine {
            processor: text(),
            processors: 2,
            virtual_machine: false,
            kernel: kernel.to_owned(),
            drive: text(),
            classic: text(),
        }
    }

    fn outcome(row: &str, seconds: f64) -> Outcome {
        Outcome {
            row: row.to_owned(),
            date: String::new(),
            seconds,
            links: Default::default(),
            programs: Vec::new(),
        }
    }

    #[test]
    fn a_row_replaces_its_last_outcome_and_others_stay() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("figures.json");
        let mut store = Store::open(Some(&path), &machine("6.1")).expect("a new file");
        for outcome in [outcome("a", 1.0), outcome("b", 1.0), outcome("a", 2.0)] {
            store.put(outcome).expect("room");
        }
        let store = Store::open(Some(&path), &machine("6.1")).expect("it was written");
        assert_eq!(store.outcomes(), [outcome("b", 1.0), outcome("a", 2.0)]);
        assert!(Store::open(Some(&path), &machine("6.2")).is_err(), "figures of two machines do not mix");
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("figures.json");
        fs::write(&path, "something else").expect("room");
        assert!(Store::open(Some(&path), &machine("6.1")).is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"something else");
    }
}
