//! A disk that goes away and comes back.

use std::time::Duration;

use aoe_wire::{AtaError, ErrorCode};
use bdev::{DeviceInfo, Features};

use super::Target;
use crate::reply::Reply;

/// For how long a disk that is gone is believed to come back, so that initiators are told to try again and not that it failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the disk is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Present,
    /// It may come back within seconds.
    Away {
        /// When that was first looked at.
        since: Option<Duration>,
    },
    Gone,
}

impl Medium {
    /// What an ATA command is answered without a disk; `None` where it is there.
    pub(super) fn refusal(self) -> Option<Reply> {
        match self {
            Self::Present => None,
            Self::Away { .. } => Some(Reply::Refused(ErrorCode::DEVICE_UNAVAILABLE)),
            Self::Gone => Some(Reply::AtaFailed(AtaError::ABRT)),
        }
    }
}

impl Target {
    /// The disk is gone: ATA commands are answered with error 3, device unavailable, and when it has been gone for ten seconds by
    /// status 41, error 04 (AoEr11 §2). The rest is answered as ever.
    ///
    /// Writes that were acknowledged may have been in a cache that is gone too. So where there were any, no flush succeeds again.
    pub(crate) fn lose_disk(&mut self) {
        if self.medium == Medium::Present {
            self.medium = Medium::Away { since: None };
            self.flush_failed |= self.cached && self.disk.features.contains(Features::FLUSH);
        }
    }

    /// The disk is there, as `disk` describes it. Whether that is news.
    pub(crate) fn find_disk(&mut self, disk: DeviceInfo) -> bool {
        let news = self.medium != Medium::Present || self.disk != disk;
        (self.medium, self.disk) = (Medium::Present, disk);
        news
    }

    /// Looks at the time, which ends the hope that the disk comes back.
    pub(crate) fn wait_for_disk(&mut self, now: Duration) {
        if let Medium::Away { since } = &mut self.medium
            && now.saturating_sub(*since.get_or_insert(now)) >= PATIENCE
        {
            self.medium = Medium::Gone;
        }
    }
}
