//! What the programs `vblade`, `vbladed` and `vbladectl` are made of. It is not an interface: depend on `aoe-target` and its companions.
#![deny(unsafe_code)]
#![doc(hidden)]

mod claim;
mod cli;
pub mod control;
pub mod ctl;
#[cfg(target_os = "linux")]
pub mod daemon;
mod error;
mod link;
mod lock;
mod options;
mod plain;
mod privileges;
mod probe;
mod report;
#[cfg(target_os = "linux")]
mod sandbox;
mod sentence;
mod serve;
mod source;
mod stack;
mod state;
pub mod vblade;
mod wait;
