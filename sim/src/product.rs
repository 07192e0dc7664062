//! Lines of `vblade` that are simulated as they are: how it lays out a state file, and how it replaces one.

#[path = "../../vblade-cli/src/state/replace.rs"]
pub(crate) mod replace;
#[path = "../../vblade-cli/src/state/text.rs"]
mod text;

use aoe_target::{Address, State};
use text::Key;

fn key(address: Address) -> Key {
    Key { address, path: "/disk".into() }
}

/// The content of the state file of the export at `address`.
pub(crate) fn encode(address: Address, state: &State) -> String {
    text::encode(&key(address), state)
}

/// What such a file says.
pub(crate) fn decode(address: Address, bytes: &[u8]) -> Result<State, String> {
    let text = text::escape(bytes);
    text::decode(bytes, &key(address)).map_err(|error| format!("the state file is {error:?}: {text}"))
}
