//! State files. See [`fuzz::state`].
#![no_main]

use fuzz::state::{Script, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| run(&script));
