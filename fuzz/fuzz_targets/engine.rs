//! A session of initiators against a model: see [`fuzz::engine`].
#![no_main]

libfuzzer_sys::fuzz_target!(|session: fuzz::engine::Session| fuzz::engine::run(&session));
