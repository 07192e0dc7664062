//! What initiators set and a restart must not lose: config string, mask list, reservation.

use aoe_wire::MacAddr;
use bytes::Bytes;

/// The settings of a target that live longer than the process. The caller stores them, see [`Target::change`](crate::Target::change).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The config string, up to 1024 bytes of anything. Initiators write it: escape it in logs.
    pub config: Bytes,
    /// The mask list in order of arrival; empty admits everybody (AoEr11 §3.3).
    pub mask: Vec<MacAddr>,
    /// Who holds the reservation; empty is nobody (AoEr11 §3.4).
    pub reserve: Vec<MacAddr>,
}
