//! Configurations of the daemon, and those it imports. See [`fuzz::config`].
#![no_main]

use fuzz::config::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run(bytes));
