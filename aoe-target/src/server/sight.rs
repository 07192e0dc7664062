//! What is to be seen of a server's targets, beside [`Target::stats`](crate::Target::stats).

use super::{Server, TargetId};
use crate::{Initiator, Link, Tap};

impl<L: Link> Server<L> {
    /// Who has used a target lately, in no order: the 64 that were seen last, and whoever has something in flight.
    pub fn initiators(&self, id: TargetId) -> impl Iterator<Item = &Initiator> {
        self.number(id)
            .and_then(|number| self.exports.get(number))
            .into_iter()
            .flat_map(|export| export.initiators())
    }

    /// Has `tap` see each frame that a target takes or sends from now on; `None` ends that. The data of reads is in the replies. What
    /// the target never gets is not seen: frames for others, and those dropped where there is no room.
    ///
    /// It is called in the middle of a turn, so it must not wait.
    pub fn set_tap(&mut self, id: TargetId, tap: Option<Tap>) {
        let number = self.number(id);
        if let Some(export) = number.and_then(|number| self.exports.get_mut(number)) {
            export.tap = tap;
        }
    }
}
