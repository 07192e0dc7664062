//! Where a target's state is kept: [`Store`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aoe_target::{Address, State};

use crate::Power;
use crate::files::CrashFiles;
use crate::product::replace::{Files, replace};
use crate::product::{decode, encode};

/// The state of an export, as its file keeps it. It outlives processes. Clones are the same.
#[derive(Clone, Debug)]
pub struct Store(Arc<Mutex<Inner>>);

struct Inner {
    address: Address,
    file: PathBuf,
    files: CrashFiles,
    in_place: bool,
    /// Every state that was to be stored, the latest last.
    attempts: Vec<State>,
}

impl Store {
    /// An empty one for the export at `address`. `power` tells when it fails within [`save`](Self::save); what is lost then follows from
    /// `seed`.
    #[must_use]
    pub fn new(address: Address, seed: u64, power: &Power) -> Self {
        let file = PathBuf::from(format!("/state/{address}"));
        let files = CrashFiles::new(seed, power.clone());
        Self(Arc::new(Mutex::new(Inner { address, file, files, in_place: false, attempts: Vec::new() })))
    }

    /// Has the file written where it is, not beside it: for seeing whether that is noticed.
    pub fn write_in_place(&self) {
        self.inner().in_place = true;
    }

    /// Stores a state.
    ///
    /// # Errors
    ///
    /// When there is no room, or no power.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let inner = &mut *self.inner();
        inner.attempts.push(state.clone());
        let content = encode(inner.address, state);
        if inner.in_place {
            let _ = inner.files.create_dir(Path::new("/state"));
            let mut file = inner.files.create(&inner.file)?;
            return inner.files.write(&mut file, content.as_bytes());
        }
        replace(&inner.files, &inner.file, &inner.file.with_extension("tmp"), content.as_bytes())
    }

    /// What is stored; nothing, if nothing ever was.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn load(&self) -> Result<State, String> {
        let inner = self.inner();
        match inner.files.read(&inner.file) {
            None => Ok(State::default()),
            Some(bytes) => decode(inner.address, &bytes),
        }
    }

    /// The states that were to be stored since this was last asked, oldest first.
    #[must_use]
    pub fn take_attempts(&self) -> Vec<State> {
        std::mem::take(&mut self.inner().attempts)
    }

    /// Forgets everything, as if the file had been deleted.
    pub fn clear(&self) {
        let inner = self.inner();
        let _ = inner.files.remove(&inner.file);
    }

    /// Has the power fail in the `call`-th call from now on that the store makes of its files, counted from 0; or not any more.
    pub fn fail_power_at(&self, call: Option<u32>) {
        self.inner().files.fail_power_at(call);
    }

    /// Whether the file system has no room.
    pub fn set_full(&self, full: bool) {
        self.inner().files.set_full(full);
    }

    /// The power fails and comes back.
    pub fn cut(&self) {
        self.inner().files.cut();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("file", &self.file)
            .field("in_place", &self.in_place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> State {
        State { config: text.as_bytes().to_vec().into(), ..State::default() }
    }

    /// Cuts the power in each call of storing a second state, with many seeds; how often the old, the new and no state was found.
    fn cut_everywhere(in_place: bool) -> [u32; 3] {
        let mut found = [0; 3];
        for seed in 0..200 {
            for call in 0..8 {
                let power = Power::default();
                let store = Store::new(Address::new(7, 3), seed, &power);
                store.save(&config("old")).unwrap();
                if in_place {
                    store.write_in_place();
                }
                store.fail_power_at(Some(call));
                let saved = store.save(&config("new")).is_ok();
                store.cut();
                power.set_off(false);
                match store.load() {
                    Ok(state) if state == config("new") => found[1] += 1,
                    Ok(state) if state == config("old") && !saved => found[0] += 1,
                    _ => found[2] += 1,
                }
            }
        }
        found
    }

    #[test]
    fn power_that_fails_in_any_call_leaves_the_old_state_or_the_new_and_after_it_the_new() {
        let [old, new, none] = cut_everywhere(false);
        assert_eq!(none, 0);
        assert!(old > 100 && new > 100, "{old} {new}");
    }

    #[test]
    fn a_file_written_in_place_is_damaged_by_a_power_cut() {
        assert!(cut_everywhere(true)[2] > 100);
    }

    #[test]
    fn a_full_file_system_leaves_the_old_state() {
        let store = Store::new(Address::new(7, 3), 1, &Power::default());
        store.save(&config("old")).unwrap();
        store.set_full(true);
        store.save(&config("new")).unwrap_err();
        store.cut();
        assert_eq!(store.load(), Ok(config("old")));
    }
}
