//! `vbladectl`: asks and instructs a running `vbladed`.
//!
//! `cli` is what was typed, `client` the connection, `show` the tables, `top` the view that goes on. Whatever goes wrong is an
//! `error`.

mod cli;
mod client;
mod error;
mod figure;
mod show;
mod top;

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use aoe_target::Address;
use clap::Parser;
use clap::error::ErrorKind;
use serde_json::{Value, json};

use self::cli::{Cli, Command, ExportCommand, MaskCommand, Question, ReserveCommand, TopArgs, TraceCommand};
use self::client::Client;
use self::error::Error;
use crate::control::model::{Initiators, Reloaded, RpcError, Snapshot};

/// How long an answer may take: a reload may open many disks.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the command: what `main` is.
#[must_use]
pub fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    if let Some(text) = error.text() {
        // Nobody is left to tell when this fails.
        let _ = writeln!(io::stderr(), "vbladectl: {text}");
    }
    ExitCode::from(error.exit_status())
}

fn run() -> Result<(), Error> {
    let cli = match Cli::try_parse() {
        Err(help) if matches!(help.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return help.print().map_err(Error::Output);
        }
        cli => cli.map_err(Error::CommandLine)?,
    };
    let socket = &cli.global.socket;
    let question = match cli.command {
        Command::Top(TopArgs { interval }) => return top::run(socket, Duration::from_secs(interval)),
        Command::Ask(question) => question,
    };
    let (method, params) = request(&question)?;
    let mut client = Client::connect(socket, PATIENCE)?;
    let result = client.call(method, params)?;
    let failure = failure(method, &result);
    if cli.global.json {
        let text = serde_json::to_string_pretty(&result).map_err(|error| Error::Output(error.into()))?;
        print(&format!("{text}\n"))?;
    } else if failure.is_none() {
        print(&describe(&question, result, &client)?)?;
    }
    failure.map_or(Ok(()), Err)
}

/// What to ask the daemon for.
fn request(question: &Question) -> Result<(&'static str, Value), Error> {
    let of = |export: &str| Ok(json!({ "export": address(export)? }));
    Ok(match question {
        Question::Version => ("version", Value::Null),
        Question::Status => ("status", Value::Null),
        Question::Exports => ("exports", Value::Null),
        Question::Stats { export } => {
            // The answer has all exports: a wrong name should not be told after it.
            export.as_deref().map(address).transpose()?;
            ("stats", Value::Null)
        }
        Question::Initiators { export: None } => ("initiators", Value::Null),
        Question::Initiators { export: Some(export) } => ("initiators", of(export)?),
        Question::Reload => ("reload", Value::Null),
        Question::Export(ExportCommand::Add { file }) => ("export.add", json!({ "toml": read(file)? })),
        Question::Export(ExportCommand::Remove { export }) => ("export.remove", of(export)?),
        Question::Mask(MaskCommand::Clear { export }) => ("mask.clear", of(export)?),
        Question::Reserve(ReserveCommand::Release { export }) => ("reserve.release", of(export)?),
        Question::Trace(TraceCommand::On { export, file, max_bytes, seconds }) => {
            let mut params = of(export)?;
            let given = [("file", json!(file)), ("max_bytes", json!(max_bytes)), ("seconds", json!(seconds))];
            for (name, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
                params[name] = value;
            }
            ("trace.on", params)
        }
        Question::Trace(TraceCommand::Off { export }) => ("trace.off", of(export)?),
    })
}

/// `7.3`, however it is written.
fn address(text: &str) -> Result<String, Error> {
    let address: Address = text.parse().map_err(|error| Error::Usage(format!("export {text:?}: {error}")))?;
    Ok(format!("{}.{}", address.major, address.minor))
}

/// The text of a file, or of standard input.
fn read(file: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|content| text = content)
    };
    read.map_err(|error| Error::Usage(format!("{}: cannot be read: {error}", file.display())))?;
    Ok(text)
}

/// What makes an answer a failure: a reload that changed nothing tells why in its result.
fn failure(method: &str, result: &Value) -> Option<Error> {
    let why = (method == "reload").then(|| result["error"].as_str()).flatten()?;
    Some(Error::Refused(RpcError::new("config", format!("nothing was changed: {why}"))))
}

/// The answer for people.
fn describe(question: &Question, result: Value, client: &Client) -> Result<String, Error> {
    Ok(match question {
        Question::Version => show::version(&client.understood(result)?),
        Question::Status => show::status(&client.understood(result)?),
        Question::Exports => show::exports(&client.understood::<Vec<_>>(result)?),
        Question::Stats { export } => {
            let mut snapshot: Snapshot = client.understood(result)?;
            only(&mut snapshot.exports, export.as_deref(), |figures| &figures.export)?;
            show::stats(&snapshot, export.is_none())
        }
        Question::Initiators { .. } => show::initiators(&client.understood::<Vec<Initiators>>(result)?),
        Question::Reload => show::reloaded(&client.understood::<Reloaded>(result)?),
        Question::Export(ExportCommand::Add { .. }) => show::added(&client.understood(result)?),
        Question::Export(ExportCommand::Remove { export }) => {
            format!("{} is not served any more\n", address(export)?)
        }
        Question::Mask(MaskCommand::Clear { export }) => {
            format!("{}: the mask list is empty: every initiator may use it\n", address(export)?)
        }
        Question::Reserve(ReserveCommand::Release { export }) => {
            format!("{}: is not reserved\n", address(export)?)
        }
        Question::Trace(TraceCommand::On { export, .. }) => {
            show::tracing(&address(export)?, &client.understood(result)?)
        }
        Question::Trace(TraceCommand::Off { export }) => {
            show::traced(&address(export)?, &client.understood(result)?)
        }
    })
}

/// Leaves the one of this address, if one is asked for.
fn only<T>(all: &mut Vec<T>, export: Option<&str>, name: impl Fn(&T) -> &String) -> Result<(), Error> {
    let Some(export) = export.map(address).transpose()? else { return Ok(()) };
    all.retain(|one| *name(one) == export);
    if all.is_empty() {
        let message = format!("there is no export {export}; vbladectl exports lists those that are");
        return Err(Error::Refused(RpcError::new("not_found", message)));
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Output)
}
