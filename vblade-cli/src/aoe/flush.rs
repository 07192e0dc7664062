//! `aoe flush`: makes durable what a target has acknowledged.

use aoe_initiator::AttachOptions;
use bdev::{AlignedBuf, Features, Io};

use crate::block::{self, Blocks};
use crate::cli::{FlushArgs, Global};
use crate::error::Error;
use crate::host::{self, CONTROL_TIMEOUT, Host};

pub(crate) fn run(args: &FlushArgs, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    let mut host = Host::open(global, &[])?;
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let id = host.attach(address, AttachOptions { deadline, ..AttachOptions::default() })?;
    let disk = block::disk(&host, id)?;
    if !disk.features.contains(Features::FLUSH) {
        return Err(Error::Failed(format!(
            "{address}: it announces no FLUSH CACHE, so what its answers to writes promise is all there is"
        )));
    }
    let mut blocks = Blocks::new(&mut host, id);
    blocks.submit("flush", Io::flush(AlignedBuf::new(0, 1, 0)))?;
    blocks.finish("flush", |_| ())
}
