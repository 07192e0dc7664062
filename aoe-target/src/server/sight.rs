//! What is to be seen of a server's targets, beside [`Target::stats`](crate::Target::stats).

use super::{Server, TargetId};
use crate::{Initiator, Link};

impl<L: Link> Server<L> {
    /// Who has used a target lately, in no order: the 64 that were seen last, and whoever has something in flight.
    pub fn initiators(&self, id: TargetId) -> impl Iterator<Item = &Initiator> {
        self.number(id)
            .and_then(|number| self.exports.get(number))
            .into_iter()
            .flat_map(|export| export.initiators())
    }
}
