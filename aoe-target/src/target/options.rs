//! What an operator sets about a target.

use std::num::{NonZeroU32, NonZeroU64};

use aoe_wire::{Address, MacAddr};

use crate::Identity;

/// Settings of a target. No initiator can change them; [`Server::set_options`](crate::Server::set_options) can, but for the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOptions {
    /// The address it answers to; no wildcard, see [`Address::owned`].
    pub address: Address,
    /// Names for IDENTIFY DEVICE.
    pub identity: Identity,
    /// Requests that initiators may have outstanding, as advertised; at least 2, or Linux does not attach.
    pub buffer_count: u16,
    /// Advertise a multiple of 8 sectors where the MTU allows 8 or more, so that Linux sends requests aligned to 4 KiB.
    pub sector_align: bool,
    /// The only initiators that are answered; empty is all. Unlike the mask list, no initiator can change it.
    pub allow: Vec<MacAddr>,
    /// Initiators that are not answered, also where they are on `allow` or on the mask list.
    pub deny: Vec<MacAddr>,
    /// Initiators may read the config string and not write it: a set and a force set are answered with error 2, bad argument, as what
    /// cannot be carried out (AoEr11 §3.2).
    pub lock_config: bool,
    /// The same for the mask list: edits are answered with error 2 (AoEr11 §3.3).
    pub lock_mask: bool,
    /// The same for the reservation: a set and a force set, which release it too, are answered with error 2 (AoEr11 §3.4).
    pub lock_reserve: bool,
    /// Whether a reply to a write may be sent while the data is in a volatile cache. Without it every write is made durable first.
    /// Initiators turn this on and off by SET FEATURES.
    pub write_cache: bool,
    /// Disk requests a second, of all initiators together; `None` is no limit. What exceeds it waits, in order and never dropped; after a
    /// rest, what 100 ms earn is let through at once, or one request if that is more. Flushes, and what needs no disk, are not limited,
    /// but wait where they must follow a write that waits.
    pub iops: Option<NonZeroU32>,
    /// Bytes read and written a second, in the same way. A request may begin when there is a byte left of the rest; what it exceeds it by
    /// is waited for after it.
    pub bytes_per_second: Option<NonZeroU64>,
}

impl TargetOptions {
    /// The settings of the classic vblade, but for the write cache, which is off: the Linux driver never sends a flush.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            identity: Identity::of_address(address),
            buffer_count: 16,
            sector_align: false,
            allow: Vec::new(),
            deny: Vec::new(),
            lock_config: false,
            lock_mask: false,
            lock_reserve: false,
            write_cache: false,
            iops: None,
            bytes_per_second: None,
        }
    }
}
