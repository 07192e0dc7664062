//! When a reload is near: [`Phases`].

use std::time::Duration;

/// What is not measured at the beginning, while windows grow.
const WARM_UP: Duration = Duration::from_millis(500);
/// How far from a reload it is near.
const NEAR: Duration = Duration::from_millis(500);

/// How often, and how far apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phases {
    pub(crate) rounds: u32,
    /// From one reload to the next.
    pub(crate) every: Duration,
}

/// Where a moment is among the reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Before,
    /// In the second around a reload.
    During,
    /// Past the first, and near none.
    After,
}

impl Phases {
    /// When a reload begins. The first has as much time before it as lies between two.
    pub(crate) fn reload(self, round: u32) -> Duration {
        WARM_UP + (self.every + NEAR).max(2 * NEAR) + self.every * round
    }

    pub(crate) fn end(self) -> Duration {
        self.reload(self.rounds)
    }

    pub(crate) fn at(self, time: Duration) -> Phase {
        if time < WARM_UP {
            return Phase::WarmUp;
        }
        if time + NEAR < self.reload(0) {
            return Phase::Before;
        }
        let near = |round| time + NEAR >= self.reload(round) && time < self.reload(round) + NEAR;
        if (0..self.rounds).any(near) { Phase::During } else { Phase::After }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_has_its_phase() {
        let phases = Phases { rounds: 2, every: Duration::from_secs(2) };
        let at = |millis| phases.at(Duration::from_millis(millis));
        assert_eq!(phases.reload(0), Duration::from_secs(3));
        assert_eq!([at(0), at(499)], [Phase::WarmUp; 2]);
        assert_eq!([at(500), at(2499)], [Phase::Before; 2]);
        assert_eq!([at(2500), at(3000), at(3499)], [Phase::During; 3]);
        assert_eq!([at(3500), at(4499)], [Phase::After; 2]);
        assert_eq!([at(4500), at(5499)], [Phase::During; 2]);
        assert_eq!([at(5500), at(6999)], [Phase::After; 2]);
        assert_eq!(phases.end(), Duration::from_secs(7));
    }
}
