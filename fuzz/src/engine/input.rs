//! What a session is made of.

mod decode;

pub use decode::script;

/// A server, its disks, and what initiators do to it.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) setup: Setup,
    pub(super) steps: Vec<Step>,
}

/// The server at the beginning.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) mtu: u32,
    pub(super) links: usize,
    /// Whether the last link knows when frames arrive; the first does.
    pub(super) timed: bool,
    pub(super) targets: usize,
    pub(super) write_cache: bool,
    pub(super) sector_align: bool,
    /// How many of the hosts are let in; 0 is everybody.
    pub(super) allow: usize,
    pub(super) disk: DiskSetup,
}

/// A disk and the layers on it; all disks of a session are alike.
#[derive(Clone, Debug)]
pub(super) struct DiskSetup {
    pub(super) sectors: u64,
    pub(super) read_only: bool,
    pub(super) discard: bool,
    pub(super) discard_zeroes: bool,
    pub(super) big_blocks: bool,
    pub(super) layers: [Option<Layer>; 2],
    pub(super) depth: u16,
    /// Sectors that cannot be read, and sectors that cannot be written.
    pub(super) bad_read: Option<u64>,
    pub(super) bad_write: Option<u64>,
    /// Number of the flush that fails first, and how often from then on; 0 is never.
    pub(super) flush_fails: u64,
    /// Every how many requests the queue has no room; 0 is never.
    pub(super) full_every: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Reorder(u64),
    /// Requests wait for [`Step::Release`].
    Gate,
    Delay(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Request(Request),
    /// Any bytes as a frame.
    Raw {
        link: usize,
        stamp: Stamp,
        bytes: Vec<u8>,
    },
    /// An earlier frame once more, by any link, under the same tag or, as Linux does it, another.
    Repeat {
        link: usize,
        stamp: Stamp,
        back: usize,
        same_tag: bool,
    },
    Turn(usize),
    /// Lets requests through the gates.
    Release(usize),
    /// A link takes so many frames per turn from now on; 0 is all.
    Jam {
        link: usize,
        frames: usize,
    },
    /// When all is answered: the link changes its MTU or comes up once more.
    Change {
        link: usize,
        mtu: u32,
    },
}

/// When a frame arrived, as its link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// So many milliseconds after the latest of all frames before it.
    After(u64),
    /// So many before that.
    Before(u64),
    Unknown,
}

/// A request that is mostly well-formed.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) link: usize,
    pub(super) stamp: Stamp,
    pub(super) from: Mac,
    pub(super) to: Mac,
    pub(super) address: (u16, u8),
    pub(super) ver_flags: u8,
    pub(super) error: u8,
    pub(super) body: Body,
    pub(super) mangle: Mangle,
}

/// A station, by its place in the tables of [`super::frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mac {
    /// The link's own.
    Own,
    Broadcast,
    Host(u8),
    /// No request may come from, or list, such an address.
    Group,
    Zero,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Ata { registers: [u8; 4], lba: Place, sectors: u8 },
    Trim { feature: u8, count: u8, ranges: Vec<(Place, u16)> },
    Config { command: u8, longer: u8, string: Vec<u8> },
    Mask { command: u8, more: u8, directives: Vec<(u8, Mac)> },
    Reserve { command: u8, more: u8, macs: Vec<Mac> },
    Unknown { command: u8, len: u8 },
}

/// A sector.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    At(u64),
    /// So many before the end of the disk.
    BeforeEnd(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Mangle {
    None,
    Cut(u16),
    Extend(u16),
    Flip(u16, u8),
}
