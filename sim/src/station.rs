//! Interfaces on segments: [`StationId`], [`SegmentId`], and what the network knows of each.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use aoe_l2::LinkInfo;
use aoe_wire::{ETH_HEADER_LEN, MIN_FRAME, MacAddr};
use bytes::BytesMut;

use crate::Weather;

/// Frames that a station holds for its process; later ones are lost.
const ROOM: usize = 1024;

/// Names a segment of a network: stations that hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentId(pub(crate) usize);

/// Names a station: one interface on one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StationId(pub(crate) usize);

/// `s3`.
impl fmt::Display for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// A way through a station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Frames that it receives.
    In,
    /// Frames that it sends.
    Out,
}

/// What a [tap](crate::Network::tap) decides about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is lost.
    Drop,
    /// It goes on this much later, and others may pass it.
    Hold(Duration),
    /// It goes on, and so does a copy this much later.
    Twice(Duration),
}

/// Sees and may change each frame that a station sends, at its time.
pub type Tap = Box<dyn FnMut(Duration, &mut BytesMut) -> Verdict>;

pub(crate) struct Station {
    pub(crate) segment: SegmentId,
    pub(crate) info: LinkInfo,
    pub(crate) weather: [Weather; 2],
    pub(crate) tap: Option<Tap>,
    /// Frames that have arrived, and when.
    pub(crate) arriving: VecDeque<(Duration, BytesMut)>,
    /// What has arrived is not shown to the process for now.
    pub(crate) unread: bool,
    /// What the process takes and sends is noted.
    pub(crate) watched: bool,
    /// Links that have it open.
    pub(crate) listeners: usize,
    /// It takes no frame to send for now.
    pub(crate) blocked: bool,
}

impl Station {
    pub(crate) fn new(segment: SegmentId, mac: MacAddr, mtu: u32) -> Self {
        Self {
            segment,
            info: LinkInfo { mac, mtu, payload_align: 1, up: true, generation: 0 },
            weather: [Weather::NONE; 2],
            tap: None,
            arriving: VecDeque::new(),
            unread: false,
            watched: false,
            listeners: 0,
            blocked: false,
        }
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut LinkInfo)) {
        let before = self.info;
        change(&mut self.info);
        if self.info != before {
            self.info.generation = before.generation + 1;
        }
    }

    pub(crate) fn accepts(&self, destination: MacAddr) -> bool {
        destination == self.info.mac || destination.is_broadcast()
    }

    pub(crate) fn carries(&self, frame: &[u8]) -> bool {
        frame.len() <= self.info.mtu as usize + ETH_HEADER_LEN
    }

    /// Whether there is nobody to take a frame, or no room for it.
    pub(crate) fn is_deaf(&self) -> bool {
        self.listeners == 0 || self.arriving.len() >= ROOM
    }

    /// Takes a frame for the process.
    pub(crate) fn take(&mut self, now: Duration, mut frame: BytesMut) {
        // A read lands in the frame of its request, so there must be room for the longest.
        let room = self.capacity();
        frame.reserve(room.saturating_sub(frame.len()));
        self.arriving.push_back((now, frame));
    }

    /// Bytes that a frame needs room for.
    pub(crate) fn capacity(&self) -> usize {
        (self.info.mtu as usize + ETH_HEADER_LEN).max(MIN_FRAME)
    }
}
