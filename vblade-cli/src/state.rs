//! What initiators set, kept over restarts: one small file for each export.
//!
//! A change is durable before its reply: the new file is written beside the old one, synced, renamed over it, and the directory is
//! synced ([`replace`]). Nothing is created before the first change. The file's layout is in [`text`].

mod file;
mod place;
mod replace;
mod text;

#[cfg(target_os = "linux")]
pub(crate) use file::prepare;
pub(crate) use file::{StateError, StateFile};
pub(crate) use place::Environment;
#[cfg(target_os = "linux")]
pub(crate) use text::escape;
