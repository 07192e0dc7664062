//! Fuzzing: what the targets of `fuzz_targets/` do with their input.
//!
//! | Target | Input | Nothing may |
//! |---|---|---|
//! | [`parse`] | any bytes | panic, print a control character, or be read in two ways |
//! | [`identify`] | any 512 bytes, or names and numbers | panic, or read back as something else than was built |
//! | [`engine`] | a session: requests of several initiators, turns, faults | differ from a model of the protocol and of the disk |
//! | [`initiator`] | a session: requests, replies that are late, doubled, changed, or made up | panic, end twice or never, or mix sectors up |
//! | [`state`] | a state and damage to its file, or any bytes | be taken that would not be written so |
//! | [`config`] | any bytes, as files of `vbladed` and of others | panic, be misplaced, or be accepted with a conflict in it |
//! | [`stack`] | a stack of layers and requests to it | differ from flat memory |
//!
//! The bodies are ordinary functions, so that `cargo test` replays the seeds of `seeds/` without instrumentation, and so that an
//! input that libFuzzer found can be replayed under a debugger. To fuzz, from the top of the repository:
//!
//! ```text
//! mkdir -p fuzz/corpus/engine && cp -n fuzz/seeds/engine/* fuzz/corpus/engine/
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none engine -- -max_total_time=30
//! ```
//!
//! `-s none` leaves out the address sanitizer, which finds little where nearly nothing is unsafe, and makes `engine` five times slower.
//! `RUSTC_BOOTSTRAP=1` lets the stable compiler instrument; with a nightly one `cargo +nightly fuzz` does without. To look at an input as
//! it was understood: `cargo fuzz fmt engine FILE`. `cargo run --example seeds` writes those seeds again that come from the captured
//! frames of `aoe-wire`'s tests; the others are minimised corpora.

pub mod config;
pub mod engine;
pub mod identify;
pub mod initiator;
pub mod parse;
pub mod stack;
pub mod state;
