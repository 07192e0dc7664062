//! SIGINT and SIGTERM: [`Signals`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::Error;

/// The first signal is noted here, and interrupts a wait; a second one ends the program on the spot.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Takes over the signals.
    pub(crate) fn new() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the flag is still clear when the first signal looks at it.
            flag::register_conditional_shutdown(signal, Error::INTERRUPTED.into(), Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self { stop })
    }

    /// Takes over no signal: `stop` is what a signal would set.
    #[cfg(test)]
    pub(crate) fn with_flag(stop: Arc<AtomicBool>) -> Self {
        Self { stop }
    }

    /// Whether a signal to end has arrived.
    pub(crate) fn stop(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
