//! Any bytes as a frame: see [`fuzz::parse`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::parse::run(bytes));
