//! Word to the service manager, if one has started us (sd_notify(3)), and its watchdog.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// What has been told so far.
#[derive(Debug)]
pub(super) struct Notify {
    /// How often life is to be shown, if it is asked for.
    interval: Option<Duration>,
    shown: Instant,
    /// Turns of the serving thread by then.
    turns: u64,
}

impl Notify {
    /// Takes the environment at its word.
    pub(super) fn new() -> Self {
        // Half of the time after which the service manager gives up.
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { interval, shown: Instant::now(), turns: 0 }
    }

    /// Everything is served that can be.
    pub(super) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says in one line how things are.
    pub(super) fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// The configuration is read anew; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => debug!(%error, "no time for the service manager"),
        }
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("ending: answering what was asked")]);
    }

    /// Shows that the daemon lives, if that is due. The manager does when it calls this; the serving thread, if `turns` has moved.
    pub(super) fn alive(&mut self, turns: u64) {
        if self.interval.is_some_and(|interval| self.shown.elapsed() >= interval) && turns != self.turns {
            tell(&[NotifyState::Watchdog]);
            (self.shown, self.turns) = (Instant::now(), turns);
        }
    }

    /// How long the next word may take.
    pub(super) fn timeout(&self) -> Option<Duration> {
        // Never none at all: until the serving thread turns there is nothing to tell.
        self.interval.map(|interval| interval.saturating_sub(self.shown.elapsed()).max(interval / 8))
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager does not listen");
    }
}
