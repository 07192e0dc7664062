//! A stack of layers against flat memory: see [`fuzz::stack`].
#![no_main]

libfuzzer_sys::fuzz_target!(|script: fuzz::stack::Script| fuzz::stack::run(&script));
