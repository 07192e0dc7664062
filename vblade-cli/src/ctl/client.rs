//! The other end of the control socket.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Gid, Group};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::Error;
use crate::control::model::{Request, Response};

/// No answer is as long as this.
const LONGEST_ANSWER: u64 = 256 << 20;

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon at `path`; an answer may take as long as `patience`.
    pub(super) fn connect(path: &Path, patience: Duration) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Error::Denied { path: path.to_owned(), group: group_of(path) },
            _ => Error::NoDaemon { path: path.to_owned(), source: error },
        })?;
        let bounded =
            stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        bounded.map_err(|source| Error::System { doing: "set a time limit", source })?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Result<Value, Error> {
        let response = self.exchange(method, params);
        let response = response.map_err(|source| {
            let doing = match source.kind() {
                ErrorKind::WouldBlock => "the daemon does not answer",
                _ => "the daemon gave no answer",
            };
            Error::Lost { path: self.path.clone(), doing, source }
        })?;
        match response.error {
            Some(error) => Err(Error::Refused(error)),
            None => Ok(response.result.unwrap_or_default()),
        }
    }

    /// Asks for something of a known shape.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, method: &str) -> Result<T, Error> {
        let value = self.call(method, Value::Null)?;
        self.understood(value)
    }

    /// `value` as what it should be.
    pub(super) fn understood<T: DeserializeOwned>(&self, value: Value) -> Result<T, Error> {
        serde_json::from_value(value).map_err(|error| Error::Lost {
            path: self.path.clone(),
            doing: "the daemon is of another version, whose answer only --json shows",
            source: error.into(),
        })
    }

    fn exchange(&mut self, method: &str, params: Value) -> io::Result<Response> {
        let request = Request { id: json!(1), method: method.to_owned(), params };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        let sent = self.stream.get_mut().write_all(&line);
        // A daemon that closes says why first.
        let mut answer = Vec::new();
        self.stream.by_ref().take(LONGEST_ANSWER).read_until(b'\n', &mut answer)?;
        if answer.is_empty() {
            sent?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// Which group would do, as far as this can be seen.
fn group_of(path: &Path) -> String {
    let Ok(socket) = fs::metadata(path) else { return String::new() };
    let gid = Gid::from_raw(socket.gid());
    let group = Group::from_gid(gid).ok().flatten().map_or(gid.to_string(), |group| group.name);
    if gid.as_raw() == 0 {
        String::new()
    } else {
        format!(", or in group {group} (usermod -aG {group} USER)")
    }
}
