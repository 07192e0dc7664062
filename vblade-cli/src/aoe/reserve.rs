//! `aoe reserve`: the initiators that a target is reserved for.

use aoe_initiator::{Address, Answer, Control, Failure, MacAddr, RemoteId};
use aoe_link::Link;
use aoe_wire::{ErrorCode, ReserveCommand as Wire};

use crate::cli::{Global, ReserveArgs, ReserveCommand, ReserveEdit};
use crate::error::Error;
use crate::host::{self, CONTROL_TIMEOUT, Host};
use crate::{maclist, output};

pub(crate) fn run(args: &ReserveArgs, global: &Global) -> Result<(), Error> {
    match &args.command {
        ReserveCommand::List { target, json } => {
            let address = host::target(target)?;
            let mut host = Host::open(global, &[])?;
            let id = host.find(address)?;
            let list = ask(&mut host, address, id, Wire::READ, Vec::new())?;
            if *json { maclist::json(address, &list) } else { show(address, &list) }
        }
        ReserveCommand::Set(edit) => reserve(Wire::SET, edit, global),
        ReserveCommand::Force(edit) => reserve(Wire::FORCE, edit, global),
        ReserveCommand::Release { target, force } => {
            let address = host::target(target)?;
            let mut host = Host::open(global, &[])?;
            let id = host.find(address)?;
            let command = if *force { Wire::FORCE } else { Wire::SET };
            let list = ask(&mut host, address, id, command, Vec::new())?;
            show(address, &list)?;
            same(address, &list, &[])
        }
    }
}

fn reserve(command: Wire, args: &ReserveEdit, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    let mut macs = maclist::parse(&args.macs)?;
    let mut host = Host::open(global, &[])?;
    let id = host.find(address)?;
    let own = host.own_macs(id);
    if macs.is_empty() {
        macs.clone_from(&own);
    } else if !own.iter().any(|mac| macs.contains(mac)) {
        output::note(&format!(
            "{address} will be reserved for others than this host, which is {}",
            maclist::text(&own)
        ));
    }
    let list = ask(&mut host, address, id, command, macs.clone())?;
    show(address, &list)?;
    same(address, &list, &macs)
}

/// Reads or sets the list; returns the one in force.
fn ask<L: Link>(
    host: &mut Host<L>,
    address: Address,
    id: RemoteId,
    command: Wire,
    macs: Vec<MacAddr>,
) -> Result<Vec<MacAddr>, Error> {
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let doing = if command == Wire::READ { "read the reservation" } else { "set the reservation" };
    let remedy = if macs.is_empty() {
        "aoe reserve release --force ends that"
    } else {
        "aoe reserve force takes it over"
    };
    let reply =
        host.try_ask(id, Control::Reserve { command, macs }, deadline)?.map_err(|failure| match failure {
            Failure::Aoe { code: ErrorCode::TARGET_RESERVED, holders, .. } => {
                Error::Failed(format!("{address}: it is reserved for {}; {remedy}", maclist::text(&holders)))
            }
            failure => host.failed(address, doing, failure, deadline),
        })?;
    match reply.answer {
        Answer::Reserve(list) => Ok(list),
        _ => Err(host::unexpected(address)),
    }
}

fn show(address: Address, list: &[MacAddr]) -> Result<(), Error> {
    if list.is_empty() {
        output::note(&format!("{address} is not reserved"));
    }
    maclist::show(list)
}

/// Whether the list in force is the one that was asked for, in whatever order.
fn same(address: Address, list: &[MacAddr], asked: &[MacAddr]) -> Result<(), Error> {
    let has_all = |of: &[MacAddr], all: &[MacAddr]| all.iter().all(|mac| of.contains(mac));
    if has_all(list, asked) && has_all(asked, list) {
        return Ok(());
    }
    Err(Error::Failed(format!("{address}: the reservation is not as it was asked for")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_asked_whatever_its_order() {
        let address = Address::new(7, 3);
        let [a, b] = [1, 2].map(|last| MacAddr([2, 0, 0, 0, 0, last]));
        assert!(same(address, &[b, a], &[a, b]).is_ok());
        assert!(same(address, &[a], &[a, b]).is_err());
        assert!(same(address, &[a, b], &[a]).is_err());
        assert!(same(address, &[], &[]).is_ok());
    }
}
