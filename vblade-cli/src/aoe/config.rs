//! `aoe config`: the string that a target keeps for whoever asks.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use aoe_initiator::{Address, Answer, Control, Failure, RemoteId};
use aoe_link::Link;
use aoe_wire::{ConfigCommand as Wire, ErrorCode, MAX_CONFIG};
use serde::Serialize;

use crate::cli::{ConfigArgs, ConfigCommand, ConfigString, Global};
use crate::error::Error;
use crate::host::{self, CONTROL_TIMEOUT, Host};
use crate::output;
use crate::text::escaped;

/// A target is silent for so long when its string is another than the tested one.
const SILENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &ConfigArgs, global: &Global) -> Result<(), Error> {
    match &args.command {
        ConfigCommand::Get { target, json } => get(host::target(target)?, *json, global),
        ConfigCommand::Set(set) => store(Wire::SET, parse(set)?, global),
        ConfigCommand::Force(set) => store(Wire::FORCE, parse(set)?, global),
        ConfigCommand::Clear { target } => store(Wire::FORCE, (host::target(target)?, Vec::new()), global),
        ConfigCommand::Test(test) => {
            let (address, string) = parse(test)?;
            let mut host = Host::open(global, &[])?;
            compare(&mut host, address, string)
        }
    }
}

/// A string that can be sent.
pub(crate) fn bytes(string: &OsStr) -> Result<Vec<u8>, Error> {
    let bytes = string.as_bytes();
    if bytes.len() > MAX_CONFIG {
        let len = bytes.len();
        return Err(Error::Usage(format!(
            "the config string has {len} bytes, and {MAX_CONFIG} is the most that a target keeps; shorten it"
        )));
    }
    Ok(bytes.to_vec())
}

fn parse(args: &ConfigString) -> Result<(Address, Vec<u8>), Error> {
    Ok((host::target(&args.target)?, bytes(&args.string)?))
}

#[derive(Serialize)]
struct Shown {
    address: String,
    /// Escaped.
    config: String,
    /// Of the string itself.
    length: usize,
    hex: String,
}

fn get(address: Address, json: bool, global: &Global) -> Result<(), Error> {
    let mut host = Host::open(global, &[])?;
    let string = read(&mut host, address)?.1;
    if json {
        let hex = string.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown =
            Shown { address: address.to_string(), config: escaped(&string), length: string.len(), hex };
        return output::json(&shown);
    }
    let mut line = if io::stdout().is_terminal() { escaped(&string).into_bytes() } else { string };
    line.push(b'\n');
    output::write(&line)
}

/// Finds the target, and asks for its string.
fn read<L: Link>(host: &mut Host<L>, address: Address) -> Result<(RemoteId, Vec<u8>), Error> {
    let id = host.find(address)?;
    let reply = host.ask(id, "read the config string", Control::query())?;
    match reply.answer {
        Answer::Config { string, .. } => Ok((id, string)),
        _ => Err(host::unexpected(address)),
    }
}

fn store(command: Wire, (address, string): (Address, Vec<u8>), global: &Global) -> Result<(), Error> {
    let mut host = Host::open(global, &[])?;
    let id = host.find(address)?;
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let control = Control::Config { command, string: string.clone() };
    let reply = host.try_ask(id, control, deadline)?.map_err(|failure| match failure {
        Failure::Aoe { code: ErrorCode::CONFIG_PRESENT, string, .. } => Error::Failed(format!(
            "{address}: another config string is set: \"{}\"; aoe config force replaces it",
            escaped(&string)
        )),
        failure @ Failure::TooLong { .. } => Error::Request {
            address,
            doing: "set the config string",
            failure,
            remedy: "; shorten the string, or raise the MTU of the interface and of all between",
        },
        failure => host.failed(address, "set the config string", failure, deadline),
    })?;
    match reply.answer {
        Answer::Config { string: stored, .. } if stored == string => Ok(()),
        Answer::Config { string: stored, .. } => Err(Error::Failed(format!(
            "{address}: it has stored another config string: \"{}\"",
            escaped(&stored)
        ))),
        _ => Err(host::unexpected(address)),
    }
}

/// Whether the string is this one, as the target judges.
fn compare<L: Link>(host: &mut Host<L>, address: Address, string: Vec<u8>) -> Result<(), Error> {
    // One that is not there is silent, too.
    let (id, set) = read(host, address)?;
    let silence = host.timeout(SILENCE);
    let is_equal = set == string;
    match host.try_ask(id, Control::Config { command: Wire::TEST, string }, silence)? {
        Ok(_) => Ok(()),
        Err(Failure::Timeout { .. }) if !is_equal => {
            Err(Error::Failed(format!("{address}: the config string is another: \"{}\"", escaped(&set))))
        }
        Err(failure) => Err(host.failed(address, "compare the config string", failure, silence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_1024_bytes_can_be_sent_and_a_longer_one_cannot() {
        assert_eq!(bytes(OsStr::from_bytes(&[0xff; 1024])).expect("room").len(), 1024);
        let error = bytes(OsStr::from_bytes(&[b'x'; 1025])).expect_err("no room");
        assert_eq!(error.exit_status(), 2);
        assert!(error.line().is_some_and(|line| line.contains("1025") && line.contains("1024")));
    }
}
