//! What is known of a target: [`Remote`], and the ways to it, [`Path`].

use std::time::Duration;

use aoe_wire::{Address, ConfigInfo, IdentifyDevice, MacAddr, Trim};
use bdev::{DeviceInfo, Features, SECTOR_SIZE};

use crate::LinkId;

/// How a target is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachOptions {
    /// How long a frame is repeated until its request counts as failed, and a request waits while nothing at all is answered. A large
    /// request may take longer, as long as the target goes on answering. For a control request, until its answer. Default 30 s.
    pub deadline: Duration,
    /// How long the target is looked for at first; `None`, the default, is as long as the deadline.
    pub seek: Option<Duration>,
    /// Requests that may be in the air, at least 1; the target's buffer count is a limit, too. Default 64.
    pub window: u16,
    /// Sectors in one frame, at least 1; what the target advertises and the path carries are limits, too. Default 255.
    pub max_sectors: u8,
    /// Whether block requests end in the order in which they were submitted. Default no: each ends when it is done.
    pub in_order: bool,
    /// Whether to ask the disk what it is. Without that no block requests are possible, only [`Control`](crate::Control). Default yes.
    pub identify: bool,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            seek: None,
            window: 64,
            max_sectors: u8::MAX,
            in_order: false,
            identify: true,
        }
    }
}

/// One way to a target: a station that answers at its address, by one link. All paths lead to the same disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// The link.
    pub link: LinkId,
    /// The station.
    pub mac: MacAddr,
    /// Whether requests take this path. One by which several in a row were lost is only probed, as long as there is another.
    pub alive: bool,
    /// What the target said of itself by this path when it was last asked.
    pub config: ConfigInfo,
    /// Requests lost in a row.
    pub(crate) lost: u32,
    /// When something last came by it.
    pub(crate) heard: Duration,
}

/// A target as an initiator knows it.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) address: Address,
    pub(crate) options: AttachOptions,
    pub(crate) paths: Vec<Path>,
    pub(crate) identity: Option<Box<IdentifyDevice>>,
    pub(crate) disk: Option<DeviceInfo>,
    pub(crate) sectors_per_frame: u8,
    pub(crate) window: u32,
    pub(crate) in_flight: usize,
    pub(crate) rtt: Option<Duration>,
    pub(crate) stats: RemoteStats,
}

impl Remote {
    pub(crate) fn new(address: Address, options: AttachOptions) -> Self {
        Self {
            address,
            options,
            paths: Vec::new(),
            identity: None,
            disk: None,
            sectors_per_frame: 1,
            window: 0,
            in_flight: 0,
            rtt: None,
            stats: RemoteStats::default(),
        }
    }

    /// Shelf and slot.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The IDENTIFY data, once it was read.
    #[must_use]
    pub fn identity(&self) -> Option<&IdentifyDevice> {
        self.identity.as_deref()
    }

    /// The disk as a block device, once it was identified. Whether it takes writes is not announced and so not known.
    #[must_use]
    pub fn disk(&self) -> Option<DeviceInfo> {
        self.disk
    }

    /// What the target last said of itself.
    #[must_use]
    pub fn config(&self) -> Option<ConfigInfo> {
        self.paths.iter().find(|path| path.alive).or(self.paths.first()).map(|path| path.config)
    }

    /// Every station that has answered at this address, and by which link.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter()
    }

    /// Sectors in the largest request that is sent: what the target advertises and each path carries.
    #[must_use]
    pub fn sectors_per_frame(&self) -> u8 {
        self.sectors_per_frame
    }

    /// Requests that may be in the air now.
    #[must_use]
    pub fn window(&self) -> u16 {
        u16::try_from(self.window).unwrap_or(u16::MAX)
    }

    /// Frames of block requests that wait for their reply.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Smoothed round trip of reads, or of writes if nothing was read yet.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// What was counted since the target was attached.
    #[must_use]
    pub fn stats(&self) -> &RemoteStats {
        &self.stats
    }
}

/// What was counted of one target. All in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStats {
    /// Requests sent for the first time.
    pub requests: u64,
    /// Replies that ended a request.
    pub replies: u64,
    /// Requests sent again.
    pub retransmits: u64,
    /// Times that no reply came at all, so that the window went back to one.
    pub timeouts: u64,
    /// Replies to an earlier sending of a request that was sent again.
    pub late: u64,
    /// Replies that fit no request: another sector, another command.
    pub strays: u64,
    /// Replies that contradict themselves.
    pub malformed: u64,
    /// Replies that tell of an error, by ATA or by AoE.
    pub errors: u64,
    /// Times that a path was given up for another.
    pub failovers: u64,
}

/// What IDENTIFY data say of a disk as a block device (ATA8-ACS, IDENTIFY DEVICE).
pub(crate) fn device_info(page: &IdentifyDevice) -> DeviceInfo {
    let announced = page.features();
    let mut features = Features::NONE;
    if page.supports_flush() || page.supports_flush_ext() {
        features = features | Features::FLUSH;
    }
    match announced.trim {
        Trim::Absent => {}
        Trim::Indeterminate => features = features | Features::DISCARD,
        Trim::Zeroes => {
            features = features | Features::DISCARD | Features::DISCARD_ZEROES | Features::WRITE_ZEROES;
        }
    }
    DeviceInfo {
        sectors: page.capacity(),
        physical_block: (SECTOR_SIZE as u32) << announced.physical_exponent,
        features,
        ..DeviceInfo::default()
    }
}
