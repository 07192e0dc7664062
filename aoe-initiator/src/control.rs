//! Requests that are not block I/O, and what targets answer: [`Control`], [`Answer`], [`Reply`].

use std::time::Duration;

use aoe_wire::{
    AtaArg, AtaStatus, ConfigCommand, ConfigInfo, Directive, MacAddr, MaskCommand, MaskError, ReserveCommand,
};

use crate::LinkId;

/// A request in one frame that is no block I/O.
///
/// Each may reach the target more than once, since what is not answered is repeated: all of them but some [`Ata`](Self::Ata) commands
/// mean the same when done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Reads, compares or sets the config string (AoEr11, command 1).
    ///
    /// A target whose string does not match a [`TEST`](ConfigCommand::TEST) or [`PREFIX`](ConfigCommand::PREFIX) stays quiet: that is
    /// [`Failure::Timeout`](crate::Failure::Timeout) here.
    Config {
        /// What to do.
        command: ConfigCommand,
        /// The argument, at most 1024 bytes.
        string: Vec<u8>,
    },
    /// Reads or edits the list of initiators that the target answers (command 2).
    Mask {
        /// What to do.
        command: MaskCommand,
        /// Carried out in order; at most 255.
        directives: Vec<Directive>,
    },
    /// Reads or sets the list of initiators that may use the disk (command 3).
    Reserve {
        /// What to do.
        command: ReserveCommand,
        /// The new list, at most 255; none releases.
        macs: Vec<MacAddr>,
    },
    /// An ATA command (command 0): IDENTIFY, SMART, SET FEATURES and the like.
    Ata {
        /// The registers.
        arg: AtaArg,
        /// Bytes that follow the registers.
        data: Vec<u8>,
        /// Bytes of data that a reply without error has at least, a multiple of 512.
        expect: usize,
    },
}

impl Control {
    /// Reads the config string; every target answers it, which makes it the ping of AoE.
    #[must_use]
    pub fn query() -> Self {
        Self::Config { command: ConfigCommand::READ, string: Vec::new() }
    }
}

/// What a target answered to a [`Control`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Control::Config`]: what the target says of itself, and the string now stored.
    Config {
        /// Buffer count, firmware version, sector count.
        info: ConfigInfo,
        /// At most 1024 bytes, any of them.
        string: Vec<u8>,
    },
    /// To [`Control::Mask`].
    Mask {
        /// Why editing stopped; [`MaskError::NONE`] if it did not.
        error: MaskError,
        /// Index of the directive where it stopped, if it did.
        stopped_at: u8,
        /// The whole list, empty when editing stopped.
        list: Vec<MacAddr>,
    },
    /// To [`Control::Reserve`]: the list in force.
    Reserve(Vec<MacAddr>),
    /// To [`Control::Ata`].
    Ata {
        /// The registers; the status says whether the command failed.
        arg: AtaArg,
        /// As many bytes as were [expected](Control::Ata::expect), none when the command failed.
        data: Vec<u8>,
    },
}

impl Answer {
    /// The status register of an ATA answer.
    #[must_use]
    pub fn ata_status(&self) -> Option<AtaStatus> {
        match self {
            Self::Ata { arg, .. } => Some(arg.status()),
            _ => None,
        }
    }
}

/// An [`Answer`], and the way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What the target said.
    pub answer: Answer,
    /// The link it came by.
    pub link: LinkId,
    /// The station that sent it.
    pub mac: MacAddr,
    /// From the sending of the request that was answered to the reply; zero when that was sent again more than three times since.
    pub rtt: Duration,
}
