//! `aoe mask`: the initiators that a target answers.

use aoe_initiator::{Address, Answer, Control, Failure, MacAddr, RemoteId};
use aoe_link::Link;
use aoe_wire::{Directive, DirectiveCommand, MaskCommand as Wire, MaskError};

use crate::cli::{Global, MaskArgs, MaskCommand, MaskEdit};
use crate::error::Error;
use crate::host::{self, CONTROL_TIMEOUT, Host};
use crate::{maclist, output};

pub(crate) fn run(args: &MaskArgs, global: &Global) -> Result<(), Error> {
    match &args.command {
        MaskCommand::List { target, json } => {
            let address = host::target(target)?;
            let mut host = Host::open(global, &[])?;
            let list = read(&mut host, address, "read the mask list")?.1;
            if *json { maclist::json(address, &list) } else { show(address, &list) }
        }
        MaskCommand::Add(edit) => change(DirectiveCommand::ADD, edit, global),
        MaskCommand::Remove(edit) => change(DirectiveCommand::DELETE, edit, global),
        MaskCommand::Clear { target } => {
            let address = host::target(target)?;
            let mut host = Host::open(global, &[])?;
            let doing = "clear the mask list";
            let (id, list) = read(&mut host, address, doing)?;
            let list = edit(&mut host, address, id, doing, DirectiveCommand::DELETE, &list)?;
            show(address, &list)?;
            if list.is_empty() { Ok(()) } else { Err(not_as_asked(address)) }
        }
    }
}

fn change(command: DirectiveCommand, args: &MaskEdit, global: &Global) -> Result<(), Error> {
    let address = host::target(&args.target)?;
    let macs = maclist::parse(&args.macs)?;
    let mut host = Host::open(global, &[])?;
    let doing = doing(command);
    let (id, before) = read(&mut host, address, doing)?;
    let wanted = after(command, &before, &macs);
    let own = host.own_macs(id);
    let admitted = own.iter().filter(|mac| wanted.is_empty() || wanted.contains(mac)).count();
    if admitted == 0 && !args.force {
        return Err(Error::Usage(format!(
            "{address}: that would lock out this host, which is {}: add it to the list, or give --force",
            maclist::text(&own)
        )));
    }
    if admitted < own.len() {
        let what = if admitted == 0 { "this host any more" } else { "every interface of this host" };
        output::note(&format!("{address} will not answer {what}, which is {}", maclist::text(&own)));
    }
    let list = edit(&mut host, address, id, doing, command, &macs)?;
    show(address, &list)?;
    let done = macs.iter().all(|mac| list.contains(mac) == (command == DirectiveCommand::ADD));
    if done { Ok(()) } else { Err(not_as_asked(address)) }
}

fn doing(command: DirectiveCommand) -> &'static str {
    if command == DirectiveCommand::ADD { "add to the mask list" } else { "remove from the mask list" }
}

/// The list as it will be.
fn after(command: DirectiveCommand, before: &[MacAddr], macs: &[MacAddr]) -> Vec<MacAddr> {
    match command {
        DirectiveCommand::ADD => [before, macs].concat(),
        _ => before.iter().copied().filter(|mac| !macs.contains(mac)).collect(),
    }
}

/// Finds the target, and asks for its list. `doing` is what that is part of.
fn read<L: Link>(
    host: &mut Host<L>,
    address: Address,
    doing: &'static str,
) -> Result<(RemoteId, Vec<MacAddr>), Error> {
    let id = host.find(address)?;
    let control = Control::Mask { command: Wire::READ, directives: Vec::new() };
    match host.ask(id, doing, control)?.answer {
        Answer::Mask { error: MaskError::NONE, list, .. } => Ok((id, list)),
        Answer::Mask { error, .. } => {
            Err(Error::Failed(format!("{address}: it does not tell its mask list: error {error}")))
        }
        _ => Err(host::unexpected(address)),
    }
}

/// All changes in one request, so that there is no list in between. Returns the list in force.
fn edit<L: Link>(
    host: &mut Host<L>,
    address: Address,
    id: RemoteId,
    doing: &'static str,
    command: DirectiveCommand,
    macs: &[MacAddr],
) -> Result<Vec<MacAddr>, Error> {
    if macs.is_empty() {
        return Ok(Vec::new());
    }
    let directives = macs.iter().map(|mac| Directive::new(command, *mac)).collect();
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let reply = host.try_ask(id, Control::Mask { command: Wire::EDIT, directives }, deadline)?.map_err(
        |failure| {
            let remedy = match &failure {
                Failure::Timeout { .. } if command == DirectiveCommand::DELETE => {
                    "; the classic vblade dies of such a request: see whether it still runs"
                }
                Failure::TooLong { .. } => "; give fewer addresses at a time",
                _ => "",
            };
            match host.failed(address, doing, failure, deadline) {
                Error::Request { address, doing, failure, .. } => {
                    Error::Request { address, doing, failure, remedy }
                }
                error => error,
            }
        },
    )?;
    match reply.answer {
        Answer::Mask { error: MaskError::NONE, list, .. } => Ok(list),
        Answer::Mask { error, stopped_at, .. } => {
            let mac = macs.get(usize::from(stopped_at)).map_or_else(|| "?".to_owned(), MacAddr::to_string);
            let why = match error {
                MaskError::LIST_FULL => "its list is full",
                MaskError::BAD_DIRECTIVE => "it does not know how to",
                _ => "it refuses",
            };
            Err(Error::Failed(format!(
                "{address}: stopped at {mac}, those before it are done: {why}; see aoe mask list {address}"
            )))
        }
        _ => Err(host::unexpected(address)),
    }
}

fn show(address: Address, list: &[MacAddr]) -> Result<(), Error> {
    if list.is_empty() {
        output::note(&format!("the mask list is empty: {address} answers everybody"));
    }
    maclist::show(list)
}

fn not_as_asked(address: Address) -> Error {
    Error::Failed(format!(
        "{address}: the list is not as it was asked for; a classic vblade cannot keep a list of more than one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_to_come_is_known_before_it_is_asked_for() {
        let [a, b, c] = [1, 2, 3].map(|last| MacAddr([2, 0, 0, 0, 0, last]));
        assert_eq!(after(DirectiveCommand::ADD, &[a], &[b, c]), [a, b, c]);
        assert_eq!(after(DirectiveCommand::DELETE, &[a, b], &[b, c]), [a]);
        assert_eq!(after(DirectiveCommand::DELETE, &[a], &[a]), []);
    }
}
