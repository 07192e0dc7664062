//! `aoe trim`: tells a target which sectors are not needed any more.

use aoe_initiator::AttachOptions;
use aoe_link::Link;
use bdev::{AlignedBuf, Features, Io, Op, SECTOR_SIZE};

use crate::block::{self, Blocks};
use crate::cli::{Global, TrimArgs};
use crate::error::Error;
use crate::host::{self, Host, TRANSFER_TIMEOUT};
use crate::output;
use crate::progress::Progress;
use crate::range::{DoneMap, Sectors};

/// Sectors of one request: 1 GiB.
const CHUNK: u32 = 1 << 21;

/// Requests in flight.
const DEPTH: usize = 2;

pub(crate) fn run(args: &TrimArgs, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    let mut host = Host::open(global, &[])?;
    let deadline = host.timeout(TRANSFER_TIMEOUT);
    let id = host.attach(address, AttachOptions { deadline, ..AttachOptions::default() })?;
    let disk = block::disk(&host, id)?;
    if !disk.features.contains(Features::DISCARD) {
        return Err(Error::Failed(format!(
            "{address}: it does not announce TRIM (IDENTIFY word 169); nothing was trimmed"
        )));
    }
    let range = Sectors::choose(args.offset, args.length, disk.sectors)
        .map_err(|error| Error::Usage(format!("{address}: {error}")))?;

    let mut progress = Progress::new("trim", Some(range.bytes()), false);
    let mut map = DoneMap::new(range.start);
    let result = trim(&mut Blocks::new(&mut host, id), range, &mut map, &mut progress);
    drop(progress);
    if result.is_err() {
        let done = Sectors { start: range.start, end: map.contiguous() };
        output::note(&format!("{address}: trimmed: {done}, of {range}; go on with --offset {}", done.end));
    }
    result
}

fn trim<L: Link>(
    blocks: &mut Blocks<'_, L>,
    range: Sectors,
    map: &mut DoneMap,
    progress: &mut Progress,
) -> Result<(), Error> {
    let mut next = range.start;
    loop {
        while blocks.in_flight() < DEPTH
            && let Some(extent) = range.step(next, CHUNK)
        {
            blocks.submit("trim", Io::new(Op::Discard, extent, AlignedBuf::new(0, 1, 0), 0))?;
            next = extent.end();
        }
        if blocks.in_flight() == 0 {
            return Ok(());
        }
        blocks.step("trim", |extent| map.mark(extent))?;
        progress.update(map.count() * SECTOR_SIZE as u64);
    }
}
