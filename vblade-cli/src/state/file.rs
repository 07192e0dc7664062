//! Reading and replacing the state file of an export.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aoe_target::{Address, SaveState, State};
use rustix::fs::Access;
use tracing::{debug, error, info, warn};

use super::place::{self, Environment};
use super::replace::{self, Files};
use super::text::{self, DecodeError, Key};

/// No state is as long as this, in bytes: 1024 of config string, 4096 of path, two lists of 255.
const LONGEST: u64 = 64 << 10;

/// Why the state of an export cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(
        "{}: damaged; restore it, or remove it to start without config string, mask list and reservation", .0.display()
    )]
    Damaged(PathBuf),
    #[error("{}: written by a newer vblade, in version {version}; use that one, or remove the file", file.display())]
    Newer { file: PathBuf, version: u32 },
    #[error("{}: holds the state of {owner}; remove it, or give another --state-dir", file.display())]
    Foreign { file: PathBuf, owner: String },
    #[error("{}: cannot be read; make it readable, or give another --state-dir", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{}: has no absolute path", path.display())]
    NoPath { path: PathBuf, source: io::Error },
}

/// The state of one export: read at the start, replaced by each change.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    key: Key,
    /// `None` when there is no directory for it: then it is kept in memory only.
    place: Option<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    dir: PathBuf,
    file: PathBuf,
}

/// The directory `dir`, or the one that the environment has, created if need be, for who serves more than one export.
///
/// # Errors
///
/// `dir` has no absolute path.
#[cfg(target_os = "linux")]
pub(crate) fn prepare(dir: Option<&Path>, environment: &Environment) -> io::Result<Option<PathBuf>> {
    let dir = match dir {
        Some(dir) => Some(std::path::absolute(dir)?),
        None => environment.directory(),
    };
    if let Some(dir) = &dir {
        create(dir);
    }
    Ok(dir)
}

/// Creates the directory. Where that fails, changes will, too, of which [`warn_of_limits`](StateFile::warn_of_limits) tells.
fn create(dir: &Path) {
    if let Err(error) = replace::create_dir(&System, dir) {
        debug!(dir = %dir.display(), %error, "cannot create it");
    }
}

impl StateFile {
    /// The state of what is exported from `path` at `address`, in `dir` or where the environment has it.
    pub(crate) fn locate(
        address: Address,
        path: &Path,
        dir: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, StateError> {
        let no_path = |path: &Path, source| StateError::NoPath { path: path.to_owned(), source };
        let key = Key { address, path: place::absolute(path).map_err(|source| no_path(path, source))? };
        let dir = match dir {
            Some(dir) => Some(std::path::absolute(dir).map_err(|source| no_path(dir, source))?),
            None => environment.directory(),
        };
        let place = dir.map(|dir| Place { file: dir.join(place::file_name(&key)), dir });
        Ok(Self { key, place })
    }

    /// What was stored last; nothing, if nothing ever was. The file is left as it is.
    pub(crate) fn load(&self) -> Result<State, StateError> {
        let Some(Place { file, .. }) = &self.place else { return Ok(State::default()) };
        let bytes = match read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            bytes => bytes.map_err(|source| StateError::Unreadable { file: file.clone(), source })?,
        };
        let state = text::decode(&bytes, &self.key).map_err(|error| match error {
            DecodeError::Damaged => StateError::Damaged(file.clone()),
            DecodeError::Newer(version) => StateError::Newer { file: file.clone(), version },
            DecodeError::Foreign(owner) => {
                StateError::Foreign { file: file.clone(), owner: owner.to_string() }
            }
        })?;
        info!(
            file = %file.display(),
            config_bytes = state.config.len(), mask = state.mask.len(), reserve = state.reserve.len(),
            "took up what initiators had set"
        );
        Ok(state)
    }

    /// The directory that it is in, or will be.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.dir.as_path())
    }

    /// Creates the directory, so that nothing outside of it has to be changed later.
    pub(crate) fn prepare(&self) {
        if let Some(dir) = self.directory() {
            create(dir);
        }
    }

    /// Says at the start what will not work later.
    pub(crate) fn warn_of_limits(&self) {
        let Some(dir) = self.directory() else {
            warn!(
                "config string, mask list and reservation are kept in memory only: $HOME is not set; give --state-dir"
            );
            return;
        };
        if let Err(error) = rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK) {
            warn!(
                "{}: not writable ({error}): initiators cannot set config string, mask list and reservation; give another --state-dir",
                dir.display()
            );
        }
    }

    /// The function that stores changes. It logs a failure when it is not the same as the last time.
    pub(crate) fn into_saver(self) -> SaveState {
        let mut last_failure = None;
        Box::new(move |state| {
            let Some(place) = &self.place else { return Ok(()) };
            let result = replace(place, text::encode(&self.key, state).as_bytes());
            let failure = result.as_ref().err().map(io::Error::kind);
            match &result {
                Ok(()) => debug!(
                    file = %place.file.display(),
                    config = %text::escape(&state.config), mask = ?state.mask, reserve = ?state.reserve,
                    "stored what an initiator has set"
                ),
                Err(error) if failure != last_failure => {
                    error!(file = %place.file.display(), %error, "cannot store what an initiator sets, so it is refused");
                }
                Err(_) => {}
            }
            last_failure = failure;
            result
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // To open a pipe is to wait for who writes to it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The machine's own files.
struct System;

impl Files for System {
    type File = File;

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().create(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    fn write(&self, file: &mut File, content: &[u8]) -> io::Result<()> {
        file.write_all(content)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// Puts a file with `content` in the place of the old one: after a crash there is one of the two, whole.
fn replace(place: &Place, content: &[u8]) -> io::Result<()> {
    replace::replace(&System, &place.file, &temporary(&place.file), content)
}

/// A name beside `file`, of its own for each process: two may serve one file on two segments.
fn temporary(file: &Path) -> PathBuf {
    let mut name = file.to_owned().into_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// An export of a file in `dir`, whose state is kept below it.
    fn state_file(dir: &TempDir, disk: &str) -> StateFile {
        let (disk, states) = (dir.path().join(disk), dir.path().join("not/yet/there"));
        StateFile::locate(Address::new(7, 3), &disk, Some(&states), &Environment::default()).expect("a path")
    }

    fn path(state: &StateFile) -> PathBuf {
        state.place.as_ref().expect("a directory").file.clone()
    }

    fn config(text: &str) -> State {
        State { config: text.as_bytes().to_vec().into(), ..State::default() }
    }

    fn temp() -> TempDir {
        tempfile::tempdir().expect("a directory")
    }

    #[test]
    fn what_was_saved_last_is_loaded_and_nothing_else_is_left_behind() {
        let dir = temp();
        let state = state_file(&dir, "disk");
        let mut save = state.clone().into_saver();
        for text in ["first", "second"] {
            save(&config(text)).expect("a stored state");
            assert_eq!(state.load().expect("a state"), config(text));
        }
        assert_eq!(fs::read_dir(dir.path().join("not/yet/there")).expect("a directory").count(), 1);
    }

    #[test]
    fn a_relative_directory_stays_where_it_was_at_the_start() {
        let here = std::env::current_dir().expect("a directory");
        let state = StateFile::locate(
            Address::new(7, 3),
            Path::new("disk"),
            Some(Path::new("states")),
            &Environment::default(),
        );
        assert!(path(&state.expect("a path")).starts_with(here.join("states")));
    }

    #[test]
    fn no_file_is_created_before_the_first_change() {
        let dir = temp();
        let state = state_file(&dir, "disk");
        assert_eq!(state.load().expect("no state"), State::default());
        state.prepare();
        state.warn_of_limits();
        let states = state.directory().expect("a directory").to_owned();
        drop(state.into_saver());
        assert_eq!(fs::read_dir(states).expect("the directory, prepared").count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_by_name_and_left_alone() {
        let dir = temp();
        let state = state_file(&dir, "disk");
        state.clone().into_saver()(&config("text")).expect("a stored state");
        let file = path(&state);
        let good = fs::read_to_string(&file).expect("a text");
        let other = {
            let other = state_file(&dir, "other");
            other.clone().into_saver()(&config("text")).expect("a stored state");
            fs::read_to_string(path(&other)).expect("a text")
        };
        for (bad, expected) in [
            (good.replace("text", "texts"), "damaged"),
            (String::new(), "damaged"),
            (good.repeat(1000), "damaged"),
            (good.replace("state 1", "state 7"), "newer vblade, in version 7"),
            (other, "holds the state of e7.3 of "),
        ] {
            fs::write(&file, &bad).expect("room");
            let error = state.load().expect_err("not usable").to_string();
            assert!(error.contains(expected) && error.contains("remove"), "{error}");
            assert!(error.starts_with(&file.display().to_string()), "{error}");
            assert_eq!(fs::read_to_string(&file).expect("a text"), bad);
        }
    }

    #[test]
    fn a_change_that_cannot_be_stored_fails_and_leaves_the_old_state() {
        let dir = temp();
        let state = state_file(&dir, "disk");
        let mut save = state.clone().into_saver();
        save(&config("old")).expect("a stored state");
        // A directory in the way of the temporary file stops even root.
        let temporary = temporary(&path(&state));
        fs::create_dir(&temporary).expect("a directory");
        save(&config("new")).expect_err("no room for the new one");
        assert_eq!(state.load().expect("a state"), config("old"));
        fs::remove_dir(&temporary).expect("an empty directory");
        save(&config("new")).expect("a stored state");
        assert_eq!(state.load().expect("a state"), config("new"));
    }

    #[test]
    fn files_that_are_written_at_the_same_time_are_not_mixed_up() {
        let dir = temp();
        let of = |disk: &str| temporary(&path(&state_file(&dir, disk)));
        assert_ne!(of("disk"), of("other"), "of two disks at one address");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = temp();
        let state = state_file(&dir, "disk");
        let file = path(&state);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe");
        let error = state.load().expect_err("not usable").to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn without_a_directory_changes_are_kept_in_memory() {
        let state = StateFile::locate(Address::new(7, 3), Path::new("/disk"), None, &Environment::default())
            .expect("a path");
        state.warn_of_limits();
        state.clone().into_saver()(&config("text")).expect("nothing to do");
        assert_eq!(state.load().expect("no state"), State::default());
    }
}
