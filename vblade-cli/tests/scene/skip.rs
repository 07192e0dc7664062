//! What cannot run here.

use std::{env, thread};

/// Says that this test does nothing, which is no success where everything should be there.
pub(crate) fn skip(why: &str) {
    let thread = thread::current();
    let line = format!("SKIP {}: {why}", thread.name().unwrap_or_default());
    let is = |name: &str, value: &str| env::var_os(name).is_some_and(|set| set == value);
    assert!(!is("CI", "true") && !is("E2E_STRICT", "1"), "{line}");
    eprintln!("{line}");
}
