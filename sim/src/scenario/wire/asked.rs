//! What a request asks for, as far as the oracle cares: [`Asked`].

use std::time::Duration;

use aoe_wire::{Arg, AtaArg, AtaCommand, MacAddr, trim_ranges};

/// A request that was taken.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) from: MacAddr,
    pub(super) tag: u32,
    pub(super) number: u64,
    pub(super) arrived: Duration,
    pub(super) exact: bool,
    /// A write that arrived enough later, with a sector in common, was taken before: it may be dropped.
    pub(super) late: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Read {
        lba: u64,
        sectors: u64,
    },
    Write {
        lba: u64,
        sectors: u64,
        durable: bool,
    },
    /// Ranges of first sector and count.
    Trim {
        ranges: Vec<(u64, u64)>,
    },
    Flush,
    /// SET FEATURES, which flushes too.
    WriteCache {
        on: bool,
    },
    /// IDENTIFY.
    Identify,
    Config {
        change: bool,
    },
    Mask {
        change: bool,
    },
    Reserve {
        change: bool,
    },
}

/// What an ATA command is to the oracle; `None` for those that move and promise nothing.
pub(super) fn ata(arg: &AtaArg, payload: &[u8]) -> Option<What> {
    let (lba, sectors) = (arg.lba.lba48(), u64::from(arg.sector_count));
    match arg.command() {
        AtaCommand::READ_SECTORS_EXT => Some(What::Read { lba, sectors }),
        AtaCommand::WRITE_SECTORS_EXT => Some(What::Write { lba, sectors, durable: false }),
        AtaCommand::WRITE_DMA_FUA_EXT => Some(What::Write { lba, sectors, durable: true }),
        AtaCommand::DATA_SET_MANAGEMENT => {
            let ranges = trim_ranges(payload, 1).ok()?.iter().filter(|range| range.sectors() != 0);
            Some(What::Trim { ranges: ranges.map(|range| (range.lba(), range.sectors().into())).collect() })
        }
        AtaCommand::SET_FEATURES => match arg.err_feature {
            0x02 => Some(What::WriteCache { on: true }),
            0x82 => Some(What::WriteCache { on: false }),
            _ => None,
        },
        AtaCommand::FLUSH_CACHE | AtaCommand::FLUSH_CACHE_EXT => Some(What::Flush),
        AtaCommand::IDENTIFY_DEVICE => Some(What::Identify),
        _ => None,
    }
}

impl What {
    pub(super) fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Config { change: true } | Self::Mask { change: true } | Self::Reserve { change: true }
        )
    }

    /// What it changes on the disk, as first sectors and counts.
    pub(super) fn changes(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Write { lba, sectors, .. } => vec![(*lba, *sectors)],
            Self::Trim { ranges } => ranges.clone(),
            _ => Vec::new(),
        }
    }

    /// In which order the replies of one turn are judged: what others depend on first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Write { .. } | Self::Trim { .. } => 0,
            Self::Flush | Self::WriteCache { .. } => 1,
            _ => 2,
        }
    }

    pub(super) fn fits(&self, arg: &Arg<'_>) -> bool {
        match self {
            Self::Config { .. } => matches!(arg, Arg::Config(..)),
            Self::Mask { .. } => matches!(arg, Arg::Mask(..)),
            Self::Reserve { .. } => matches!(arg, Arg::Reserve(..)),
            _ => matches!(arg, Arg::Ata(..)),
        }
    }
}
