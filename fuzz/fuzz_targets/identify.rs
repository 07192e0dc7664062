//! Any bytes as an IDENTIFY DEVICE page: see [`fuzz::identify`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::identify::run(bytes));
