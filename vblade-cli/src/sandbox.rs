//! What the process may ask of the kernel while it serves: little, so that whoever finds a fault in it by a frame has little of it.
//!
//! * [`files`]: Landlock. Of all files, those in the state directory may be opened; no TCP port, no socket and no process outside may
//!   be reached.
//! * [`filter`]: seccomp, for all threads or for the one that serves and those that it starts ([`Reach`]). The [`calls`] that serving takes are allowed. A call outside the list is not made, and ends the process by
//!   SIGSYS, with a line that names it ([`trap`]): a request that nobody wrote the program to make is a fault, and a target that goes on after it
//!   may serve wrong data, while one that ends is started again by its supervisor, and initiators repeat what was not answered.
//!
//! Both come after everything is opened and before the first frame is served. What was opened stays usable; io_uring makes its requests past seccomp, but
//! not past Landlock and the missing privileges. A kernel or container that lacks one of them is told of, and served without.

use std::fmt;

mod calls;
mod files;
mod filter;
#[cfg(test)]
mod tests;
mod trap;

use std::path::Path;

/// What has been done, or why not.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// The version of Landlock that is in force.
    files: Result<i32, String>,
    calls: Result<(), String>,
}

/// Who is shut in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All threads that there are.
    Process,
    /// The calling thread, and those that it will start.
    Thread,
}

impl Sandbox {
    /// Shuts in who is in `reach`, for good. Landlock holds for the calling thread and those that it starts in any case, so where it is meant for the
    /// process, that thread is to be the only one. Files can be opened in `state_dir` from then on.
    pub(crate) fn enter(state_dir: Option<&Path>, reach: Reach) -> Self {
        // At its first use rustix looks for the vDSO, by a call or in /proc.
        let _ = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        // The second keeps the first from being set up.
        Self { files: files::confine(state_dir), calls: filter::install(reach) }
    }

    /// Whether all of it is in force.
    pub(crate) fn is_whole(&self) -> bool {
        self.files.is_ok() && self.calls.is_ok()
    }
}

/// `seccomp, Landlock ABI 7`, and what is missing.
impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seccomp = self.calls.as_ref().map(|()| "seccomp".to_owned());
        let landlock = self.files.as_ref().map(|abi| format!("Landlock ABI {abi}"));
        let both = [seccomp, landlock];
        let there: Vec<_> = both.iter().flatten().map(String::as_str).collect();
        let missing: Vec<_> =
            both.iter().filter_map(|part| part.as_ref().err()).map(|why| why.as_str()).collect();
        f.write_str(&there.join(", "))?;
        match (there.is_empty(), missing.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => f.write_str(&missing.join("; ")),
            (false, false) => write!(f, "; {}", missing.join("; ")),
        }
    }
}
