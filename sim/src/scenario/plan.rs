//! What is to happen: [`Plan`].

use std::fmt;
use std::time::Duration;

use bdev::Extent;

use crate::{Trouble, Weather};

/// Sectors of a disk that one user has for itself; as many more are everybody's.
pub(crate) const REGION: u64 = 12;

/// Everything that happens in a scenario, but for what frames suffer, which follows from the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where chance begins.
    pub seed: u64,
    /// Networks.
    pub segments: Vec<Segment>,
    /// Machines with disks.
    pub hosts: Vec<HostPlan>,
    /// Disks, over all hosts.
    pub disks: Vec<DiskPlan>,
    /// Initiators. The first is no Linux, and changes settings.
    pub users: Vec<UserPlan>,
    /// What happens, in the order of its time.
    pub steps: Vec<Step>,
    /// When all faults end.
    pub length: Duration,
}

/// A network, and what frames suffer on it.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// On the way to targets.
    pub requests: Weather,
    /// On the way back.
    pub replies: Weather,
}

/// A machine with disks.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// The segments it has an interface on.
    pub links: Vec<usize>,
    /// Of its interfaces, in bytes.
    pub mtu: u32,
}

/// A disk, and how it is served.
#[derive(Clone, Copy, Debug)]
pub struct DiskPlan {
    /// Which host it is in.
    pub host: usize,
    /// What a reply to a write promises.
    pub cache: Cache,
    /// How long a request takes, at least and at most.
    pub latency: (Duration, Duration),
    /// Requests that it takes at a time.
    pub depth: u16,
    /// Whether what was discarded reads as zeros; `None` if nothing can be.
    pub discards: Option<bool>,
}

/// What a reply to a write promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The disk has a cache; the reply comes when the write is durable.
    Writethrough,
    /// The disk has a cache; a flush makes durable.
    Writeback,
    /// Every write goes past the cache.
    Directsync,
}

/// An initiator.
#[derive(Clone, Debug)]
pub struct UserPlan {
    /// Replies that the Linux driver has seen of each disk; `None` is `aoe-initiator`.
    pub linux: Option<u32>,
    /// The segments it has an interface on.
    pub links: Vec<usize>,
    /// Of its interfaces, in bytes.
    pub mtu: u32,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// Something that happens. Faults have the time after which they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A user asks a disk.
    Ask {
        /// Who.
        user: usize,
        /// Whom.
        disk: usize,
        /// For what.
        op: Op,
    },
    /// The config string becomes this number.
    Config(usize, u32),
    /// Only these users (bits) are let in, and the first, who sets it; none of the others after a second set.
    Mask(usize, u32),
    /// The disk is reserved for these users (bits) and the first; 0 releases it.
    Reserve(usize, u32),
    /// The first user switches a disk's write cache.
    WriteCache(usize, bool),
    /// A host's process is killed, and started again.
    Kill(usize, Duration),
    /// A host's power fails, and comes back.
    Cut(usize, Duration),
    /// A disk's host loses power in this call of storing the next change of settings.
    CutInStore(usize, u32, Duration),
    /// A host's process is stopped, and goes on.
    Stop(usize, Duration),
    /// An interface goes down, and up.
    Down(Interface, Duration),
    /// An interface gets another MTU, and its own again.
    Mtu(Interface, u32, Duration),
    /// A host leaves what arrives at one of its interfaces lying.
    Unread(usize, usize, Duration),
    /// A disk fails at something.
    Fail(usize, Trouble, Duration),
    /// There is no room for a disk's settings.
    NoRoom(usize, Duration),
}

/// An interface: of a host or of a user, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// A host's.
    Host(usize, usize),
    /// A user's.
    User(usize, usize),
}

/// What a user asks a disk for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// To read.
    Read(Extent),
    /// To write; durably, if it is so said.
    Write(Extent, bool),
    /// To forget what these sectors hold.
    Trim(Extent),
    /// To make durable what was written.
    Flush,
}

/// A protection that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Overlapping requests run in order.
    OverlapOrder,
    /// A flush waits for earlier writes.
    FlushOrder,
    /// Writes that newer ones have overtaken are dropped.
    LateFrames,
    /// Writes that another overtook by less than the margin are executed.
    LateMargin,
    /// Settings change when earlier writes have ended.
    ChangeOrder,
    /// After a flush that failed every flush does.
    FailedFlush,
    /// A reply to a write comes when it is durable.
    DurableReply,
    /// A state file is replaced as a whole.
    AtomicStateFile,
    /// Who is masked out is not served.
    MaskCheck,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::OverlapOrder,
        Self::FlushOrder,
        Self::LateFrames,
        Self::LateMargin,
        Self::ChangeOrder,
        Self::FailedFlush,
        Self::DurableReply,
        Self::AtomicStateFile,
        Self::MaskCheck,
    ];
}

/// The setting, then a line for each step: what a person reads of a failing seed.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} s", self.seed, self.length.as_secs_f64())?;
        for (number, host) in self.hosts.iter().enumerate() {
            writeln!(f, "host {number}: MTU {}, segments {:?}", host.mtu, host.links)?;
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let DiskPlan { host, cache, latency, depth, discards } = disk;
            let zeroes = discards.map_or("no TRIM", |zeroes| if zeroes { "TRIM to zeros" } else { "TRIM" });
            writeln!(f, "disk {number}: host {host}, {cache:?}, {latency:?}, depth {depth}, {zeroes}")?;
        }
        for (number, user) in self.users.iter().enumerate() {
            let kind =
                user.linux.map_or("aoe-initiator".into(), |replies| format!("Linux after {replies} replies"));
            writeln!(f, "user {number}: {kind}, MTU {}, segments {:?}", user.mtu, user.links)?;
        }
        self.steps
            .iter()
            .try_for_each(|step| writeln!(f, "{:>10.6} s  {:?}", step.at.as_secs_f64(), step.deed))
    }
}
