//! `vbladed`: many exports in one process.

#[expect(dead_code, unused_imports, reason = "the core of the daemon, which uses it, is not here yet")]
pub(crate) mod config;
