//! The initiator against a target that answers as it likes: see [`fuzz::initiator`].
#![no_main]

libfuzzer_sys::fuzz_target!(|session: fuzz::initiator::Session| fuzz::initiator::run(&session));
