//! `aoe identify`: what a target says of its disk.

mod decode;

use std::time::Duration;

use aoe_initiator::{Answer, AttachOptions, Control, RemoteId};
use aoe_link::Link;
use aoe_wire::{AFlags, AtaArg, AtaCommand, IdentifyDevice, Lba, Smart};

use self::decode::{Decoded, SmartStatus};
use crate::cli::{Global, IdentifyArgs};
use crate::error::Error;
use crate::host::{self, CONTROL_TIMEOUT, Host};
use crate::output;

/// SMART RETURN STATUS (ATA8-ACS §7.53), in the feature register.
const RETURN_STATUS: u8 = 0xda;

/// The signature of SMART commands, in LBA bytes 1 and 2, and what comes back from a disk that is failing.
const SMART_LBA: [u8; 2] = [0x4f, 0xc2];
const FAILING_LBA: [u8; 2] = [0xf4, 0x2c];

/// How long the disk may take for its SMART status.
const SMART_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &IdentifyArgs, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    let mut host = Host::open(global, &[])?;
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let id = host.attach(address, AttachOptions { deadline, ..AttachOptions::default() })?;
    let page = host.driver.remote(id).and_then(|remote| remote.identity()).copied();
    let page = page.ok_or_else(|| host::unexpected(address))?;
    if args.raw {
        return output::print(&decode::words(&page));
    }
    let smart = smart(&mut host, id, &page)?;
    let decoded = Decoded::new(address, &page, smart);
    if args.json { output::json(&decoded) } else { output::print(&decoded.text()) }
}

/// The disk's own judgement of its health, where it announces one.
fn smart<L: Link>(host: &mut Host<L>, id: RemoteId, page: &IdentifyDevice) -> Result<SmartStatus, Error> {
    match page.features().smart {
        Smart::Absent => return Ok(SmartStatus::Absent),
        Smart::Disabled => return Ok(SmartStatus::Disabled),
        Smart::Enabled => {}
    }
    let [low, high] = SMART_LBA;
    let arg = AtaArg::request(AtaCommand::SMART, AFlags::NONE, Lba([0, low, high, 0, 0, 0]), 0);
    let control = Control::Ata { arg: arg.with_feature(RETURN_STATUS), data: Vec::new(), expect: 0 };
    let timeout = host.timeout(SMART_TIMEOUT);
    Ok(match host.try_ask(id, control, timeout)? {
        Ok(reply) => match reply.answer {
            Answer::Ata { arg, .. } => judge(&arg),
            _ => SmartStatus::Unknown,
        },
        Err(_) => SmartStatus::Unknown,
    })
}

fn judge(arg: &AtaArg) -> SmartStatus {
    let Lba([_, low, high, ..]) = arg.lba;
    match [low, high] {
        _ if arg.status().is_failure() => SmartStatus::Unknown,
        SMART_LBA => SmartStatus::Healthy,
        FAILING_LBA => SmartStatus::Failing,
        _ => SmartStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use aoe_wire::AtaError;

    use super::*;

    #[test]
    fn the_signature_that_comes_back_tells_of_the_disks_health() {
        let with =
            |low, high| AtaArg { cmd_status: 0x40, lba: Lba([0, low, high, 0, 0, 0]), ..AtaArg::default() };
        assert_eq!(judge(&with(0x4f, 0xc2)), SmartStatus::Healthy);
        assert_eq!(judge(&with(0xf4, 0x2c)), SmartStatus::Failing);
        assert_eq!(judge(&with(0, 0)), SmartStatus::Unknown);
        let mut refused = with(0x4f, 0xc2);
        refused.fail(AtaError::ABRT);
        assert_eq!(judge(&refused), SmartStatus::Unknown);
    }
}
