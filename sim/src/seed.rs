//! Which seeds a test runs with: [`seeds`].

/// The variable that names the one seed to run with.
const VARIABLE: &str = "SIM_SEED";

/// The seeds 1 to `count`, the same at every run; only that in the environment variable `SIM_SEED` if it is set.
///
/// # Panics
///
/// When the variable is set to something that is no number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let only = std::env::var(VARIABLE)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is {text:?}, which is no number")));
    match only {
        Some(seed) => seed..=seed,
        None => 1..=count,
    }
}

/// A command line that runs the current test again with one seed.
pub(crate) fn replay(seed: u64) -> String {
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo appends a digest to the name of a test binary, and each test runs in a thread of its name.
    let binary = stem.rsplit_once('-').map_or(stem.as_str(), |(name, _)| name);
    let thread = std::thread::current();
    format!("{VARIABLE}={seed} cargo test -p sim --test {binary} {}", thread.name().unwrap_or_default())
}
