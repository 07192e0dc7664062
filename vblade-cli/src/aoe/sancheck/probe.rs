//! Frames of chosen sizes by one path: what comes back.

use std::io;
use std::time::{Duration, Instant};

use aoe_initiator::{Control, Driver, Event, Failure, LinkId, Malformed, RemoteId};
use aoe_link::Link;
use aoe_wire::{AFlags, AtaArg, AtaCommand, Lba, MacAddr, SECTOR};
use bdev::AlignedBuf;

use super::report::largest;

/// How long one attempt may take; the core repeats the frame meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

/// Attempts until a size counts as lost.
const ATTEMPTS: u32 = 3;

/// Whether large frames pass from here to there or from there to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Reads of some sectors: the reply is large.
    Replies,
    /// IDENTIFY, followed by sectors that mean nothing: the request is large.
    Requests,
}

/// One way to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) remote: RemoteId,
    pub(crate) link: LinkId,
    pub(crate) mac: MacAddr,
}

/// What a search has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Sectors in the largest frame that passed, 0 if none did.
    pub(crate) sectors: u8,
    /// An answer that was no success.
    pub(crate) refused: Option<String>,
}

/// Finds the largest frame of at most `most` sectors that passes. `None` when `stop` became true.
pub(crate) fn search<L: Link>(
    driver: &mut Driver<L, AlignedBuf>,
    way: Way,
    direction: Direction,
    most: u8,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Passed>> {
    let mut refused = None;
    let sectors = largest(most, |sectors| {
        for _ in 0..ATTEMPTS {
            let Some(end) = ask(driver, way, direction, sectors, stop).map_err(Some)? else {
                return Err(None);
            };
            match judge(direction, end) {
                Found::Passed => return Ok(true),
                Found::Lost => {}
                Found::Refused(why) => {
                    refused = Some(why);
                    return Ok(false);
                }
            }
        }
        Ok(false)
    });
    match sectors {
        Ok(sectors) => Ok(Some(Passed { sectors, refused })),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}

enum Found {
    Passed,
    Lost,
    Refused(String),
}

fn judge(direction: Direction, end: Result<(), Failure>) -> Found {
    match (direction, end) {
        (_, Ok(())) => Found::Passed,
        (_, Err(Failure::Timeout { .. } | Failure::NotFound | Failure::TooLong { .. })) => Found::Lost,
        // Whatever the target thinks of the request: it has arrived there.
        (Direction::Requests, Err(Failure::Ata { .. } | Failure::Aoe { .. })) => Found::Passed,
        (_, Err(failure @ Failure::Malformed(Malformed::ShortData { .. }))) => {
            Found::Refused(failure.to_string())
        }
        (_, Err(failure)) => Found::Refused(failure.to_string()),
    }
}

/// One request and its end; `None` when `stop` became true.
fn ask<L: Link>(
    driver: &mut Driver<L, AlignedBuf>,
    way: Way,
    direction: Direction,
    sectors: u8,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Result<(), Failure>>> {
    let bytes = usize::from(sectors) * SECTOR;
    let control = match direction {
        Direction::Replies => {
            let arg = AtaArg::request(AtaCommand::READ_SECTORS_EXT, AFlags::EXTENDED, Lba::ZERO, sectors);
            Control::Ata { arg, data: Vec::new(), expect: bytes }
        }
        Direction::Requests => {
            let arg = AtaArg::request(AtaCommand::IDENTIFY_DEVICE, AFlags(0), Lba::ZERO, 1);
            Control::Ata { arg, data: vec![0; bytes], expect: SECTOR }
        }
    };
    let id = driver.control_by(way.remote, way.link, way.mac, control, Some(PATIENCE));
    let start = Instant::now();
    // The core ends it at its deadline; the rest is in case that it does not.
    while start.elapsed() < 2 * PATIENCE {
        if stop() {
            return Ok(None);
        }
        let mut idle = driver.turn()?.is_idle();
        while let Some(event) = driver.poll() {
            idle = false;
            match event {
                Event::Answer(answered, result) if answered == id => return Ok(Some(result.map(|_| ()))),
                _ => {}
            }
        }
        if idle {
            driver.wait(PATIENCE / 4)?;
        }
    }
    Ok(Some(Err(Failure::Timeout { waited: start.elapsed(), sent: 1 })))
}
