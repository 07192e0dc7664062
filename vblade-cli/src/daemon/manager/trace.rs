//! Traces: the frames of an export in a capture file, begun and ended by a client.
//!
//! The thread that serves is given the one end of a [`Trace`], and the other stays here with the thread that writes. An export has one at a time,
//! which ends with it.

use std::fs::DirBuilder;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aoe_target::{LinkId, Tap, TargetId};
use serde::Deserialize;
use serde_json::Value;
use tracing::{info, warn};

use super::control::show;
use super::{Ended, Manager};
use crate::control::model::{RpcError, Traced, Tracing};
use crate::control::pcapng::Direction;
use crate::control::trace::{Finished, Limits, Recorder, Trace};
use crate::daemon::plan::Key;

/// How soon it is noticed that a trace has come to its end.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What `trace.on` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    export: String,
    file: Option<String>,
    max_bytes: Option<NonZeroU64>,
    seconds: Option<NonZeroU64>,
}

impl Manager {
    /// Begins a trace of an export.
    pub(super) fn trace_on(&mut self, order: &Order) -> Result<Value, RpcError> {
        let (key, id) = self.find(&order.export)?;
        let Some(id) = id else {
            return Err(RpcError::new(
                "failed",
                format!("{} is not served now; trace it when it is", key.name()),
            ));
        };
        self.end_traces_that_are_over()?;
        if let Some(trace) = self.exports.get(&key).and_then(|served| served.trace.as_ref()) {
            let (name, path) = (key.name(), trace.path().display());
            let why =
                format!("{name} is traced to {path} already; end that with: vbladectl trace off {name}");
            return Err(RpcError::new("conflict", why));
        }
        let path = self.trace_file(&key, order.file.as_deref())?;
        let mut limits = Limits::default();
        if let Some(bytes) = order.max_bytes {
            limits.max_bytes = bytes.get();
        }
        if let Some(seconds) = order.seconds {
            limits.duration = Duration::from_secs(seconds.get());
        }
        let trace = Trace::start(&path, limits).map_err(|error| not_made(&path, &error))?;
        let file = path.display().to_string();
        info!(export = %key, file, "traced, as a client wants it");
        let Some(served) = self.exports.get_mut(&key) else { return Err(Ended.into()) };
        served.trace = Some(trace);
        self.tap(&key, id)?;
        show(Tracing { file })
    }

    /// Ends the trace of an export.
    pub(super) fn trace_off(&mut self, export: &str) -> Result<Value, RpcError> {
        let (key, _) = self.find(export)?;
        self.end_traces_that_are_over()?;
        let Some(ended) = self.end_trace(&key)? else {
            let why =
                format!("{} is not traced; how a trace ended that came to its end is in the log", key.name());
            return Err(RpcError::new("not_found", why));
        };
        let Finished { path, frames, bytes, dropped } =
            ended.map_err(|error| RpcError::new("failed", format!("the trace is incomplete: {error}")))?;
        show(Traced { file: path.display().to_string(), frames, bytes, dropped })
    }

    /// Has the trace of an export, if there is one, see its frames on the links as they are now.
    pub(super) fn tap(&self, key: &Key, id: TargetId) -> Result<(), Ended> {
        let Some(trace) = self.exports.get(key).and_then(|served| served.trace.as_ref()) else {
            return Ok(());
        };
        let names = self.ports.iter().map(|(name, port)| (port.id, name.as_str().into())).collect();
        let tap = tap(trace.recorder(), names);
        self.engine.with(move |server| server.set_tap(id, Some(tap)))
    }

    /// Ends the traces whose time is over or whose file is full.
    pub(super) fn end_traces_that_are_over(&mut self) -> Result<(), Ended> {
        let is_over = |served: &super::Served| served.trace.as_ref().is_some_and(Trace::is_over);
        let over = self.exports.iter().filter(|(_, served)| is_over(served));
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        over.iter().try_for_each(|key| self.end_trace(key).map(drop))
    }

    /// Ends the trace of an export, if there is one. How it went is told to the log, too.
    pub(super) fn end_trace(&mut self, key: &Key) -> Result<Option<io::Result<Finished>>, Ended> {
        let Some(served) = self.exports.get_mut(key) else { return Ok(None) };
        let Some(trace) = served.trace.take() else { return Ok(None) };
        if let Some(id) = served.target {
            self.engine.with(move |server| server.set_tap(id, None))?;
        }
        let file = trace.path().display().to_string();
        let ended = trace.stop();
        match &ended {
            Ok(Finished { frames, bytes, dropped, .. }) => {
                info!(export = %key, file, frames, bytes, dropped, "the trace has ended");
            }
            Err(error) => warn!("{}: {file}: the trace is incomplete: {error}", key.name()),
        }
        Ok(Some(ended))
    }

    /// The path of a new file in the directory for traces, which is made if need be. Its name is made up where none is given.
    fn trace_file(&self, key: &Key, name: Option<&str>) -> Result<PathBuf, RpcError> {
        let name = match name {
            Some(name) if is_plain(name) => name.to_owned(),
            Some(name) => {
                let why =
                    format!("file {name:?}: give a plain name; the file is made in the trace directory");
                return Err(RpcError::new("params", why));
            }
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                format!("{}-{}.pcapng", key.name(), now.as_secs())
            }
        };
        let default = || self.state_dir.as_ref().map(|dir| dir.join("trace"));
        let Some(dir) = self.config.daemon.trace_dir.clone().or_else(default) else {
            let why = "there is no directory for traces; give trace_dir under [daemon], and restart vbladed";
            return Err(RpcError::new("failed", why));
        };
        // What is in it is what is on disks.
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| {
            RpcError::new("failed", format!("{}: the trace directory cannot be made: {error}", dir.display()))
        })?;
        Ok(dir.join(name))
    }
}

/// Whether a name is that of a file in a directory, and of nothing elsewhere.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

fn not_made(path: &Path, error: &io::Error) -> RpcError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            RpcError::new("conflict", format!("{} is there already; give another name", path.display()))
        }
        _ => RpcError::new("failed", format!("{}: cannot be made: {error}", path.display())),
    }
}

/// Hands frames to the writer of a trace, with the names of their interfaces.
fn tap(recorder: Recorder, names: Vec<(LinkId, Arc<str>)>) -> Tap {
    let unknown: Arc<str> = "?".into();
    Box::new(move |frame| {
        let direction = match frame.direction {
            aoe_target::Direction::Received => Direction::Received,
            aoe_target::Direction::Sent => Direction::Sent,
        };
        let name = names.iter().find(|(id, _)| *id == frame.link).map_or(&unknown, |(_, name)| name);
        recorder.record(direction, name, SystemTime::now(), frame.pieces.iter().copied());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_other_directory() {
        for name in ["7.3.pcapng", "a b", "...", ".hidden"] {
            assert!(is_plain(name), "{name:?}");
        }
        for name in ["", ".", "..", "/etc/passwd", "a/b", "../x", "a\0b"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
