//! `aoe`: sees, tests, repairs and loads ATA over Ethernet targets.
//!
//! [`cli`] is what was typed; each command is a module with one `run`. All work with a [`host`], this computer as an initiator, and end
//! with an [`error`] or well.
#![forbid(unsafe_code)]

mod bench;
mod block;
mod cli;
mod config;
mod copy;
mod discover;
mod error;
mod flush;
mod host;
mod identify;
mod maclist;
mod mask;
mod output;
mod ping;
#[path = "../plain.rs"]
mod plain;
mod progress;
mod range;
mod read_write;
mod reserve;
mod sancheck;
#[cfg(test)]
mod scene;
#[path = "../sentence.rs"]
mod sentence;
mod signals;
mod text;
mod transfer;
mod trim;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::error::Error;

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    if let Some(line) = error.line() {
        // Nobody is left to tell when this fails.
        let _ = writeln!(io::stderr(), "aoe: {line}");
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
    let global = &cli.global;
    match &cli.command {
        Command::Discover(args) => discover::run(args, global),
        Command::Ping(args) => ping::run(args, global),
        Command::Identify(args) => identify::run(args, global),
        Command::Config(args) => config::run(args, global),
        Command::Mask(args) => mask::run(args, global),
        Command::Reserve(args) => reserve::run(args, global),
        Command::Read(args) => read_write::read(args, global),
        Command::Write(args) => read_write::write(args, global),
        Command::Copy(args) => copy::run(args, global),
        Command::Flush(args) => flush::run(args, global),
        Command::Trim(args) => trim::run(args, global),
        Command::Sancheck(args) => sancheck::run(args, global),
        Command::Bench(args) => bench::run(args, global),
    }
}
