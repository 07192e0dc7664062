//! Changes of a target's state, which wait for the writes in flight: [`Change`].

use std::io;

use crate::State;
use crate::inflight::Origin;

/// Stores a target's state durably before it returns; see [`Target::change`](crate::Target::change).
pub type SaveState = Box<dyn FnMut(&State) -> io::Result<()> + Send>;

/// A change that no initiator asked for; see [`Server::edit_state`](crate::Server::edit_state).
pub type EditState = Box<dyn FnOnce(&mut State) + Send>;

/// Is told how such a change has ended.
pub type Edited = Box<dyn FnOnce(io::Result<()>) + Send>;

pub(crate) enum Change<F> {
    /// Whence a request came, and its frame.
    Asked(Origin, F),
    Edit(EditState, Edited),
}

impl<F> Change<F> {
    /// Whether it was asked for by link number `at`.
    pub(crate) fn is_from(&self, at: usize) -> bool {
        matches!(self, Self::Asked(origin, _) if origin.link == at)
    }
}
