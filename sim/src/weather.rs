//! What frames suffer on their way: [`Weather`].

use std::time::Duration;

/// How often frames are harmed, and how long they take. Rates are per thousand frames, each drawn by itself.
///
/// A frame passes three weathers: the sender's way out, the segment, the receiver's way in. Their times add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Frames that never arrive.
    pub loss: u16,
    /// Frames that arrive twice.
    pub duplicate: u16,
    /// Frames that are held back while others pass them.
    pub reorder: u16,
    /// Frames of which one bit behind the Ethernet header is turned and no check sequence notices.
    pub corrupt: u16,
    /// Shortest and longest time on the way. Variation alone does not let frames pass each other.
    pub delay: (Duration, Duration),
    /// How long a frame that is to be passed by others is held at most.
    pub held: Duration,
}

impl Weather {
    /// Nothing happens, and it takes no time.
    pub const NONE: Self = Self {
        loss: 0,
        duplicate: 0,
        reorder: 0,
        corrupt: 0,
        delay: (Duration::ZERO, Duration::ZERO),
        held: Duration::from_millis(2),
    };

    /// A good local network: 20 to 60 microseconds, nothing lost.
    pub const LAN: Self =
        Self { delay: (Duration::from_micros(20), Duration::from_micros(60)), ..Self::NONE };

    /// A local network that loses, doubles and reorders this many frames of a thousand, each.
    #[must_use]
    pub const fn rough(per_mille: u16) -> Self {
        Self { loss: per_mille, duplicate: per_mille, reorder: per_mille, ..Self::LAN }
    }
}
