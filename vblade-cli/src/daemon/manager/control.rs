//! What can be asked for on the control socket, see `docs/control.md`.

use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use aoe_target::{Address, State, TargetId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::info;

use super::{Ended, Manager};
use crate::control::model::{Initiators, PROTOCOL, RpcError, Version};
use crate::control::server::Handler;
use crate::daemon::config::{self, Config};
use crate::daemon::plan::Key;

/// Under this name an export is written that was added by a client.
const ADDED: &str = "export.add";

/// How long a change may wait for writes in flight.
const PATIENCE: Duration = Duration::from_secs(5);

impl Handler for Manager {
    fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        match method {
            "version" => {
                nothing(params)?;
                show(Version { version: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL })
            }
            "status" => {
                nothing(params)?;
                show(self.daemon_status()?)
            }
            "exports" => {
                nothing(params)?;
                show(self.export_list()?)
            }
            "stats" => {
                nothing(params)?;
                show(self.snapshot()?)
            }
            "initiators" => self.initiators(take(params)?),
            "reload" => {
                nothing(params)?;
                show(self.reload()?)
            }
            "export.add" => self.add_export(take(params)?),
            "export.remove" => self.remove_export(&take::<Named>(params)?),
            "mask.clear" => {
                self.edit(&take::<Named>(params)?, "mask list cleared", |state| state.mask.clear())
            }
            "reserve.release" => {
                self.edit(&take::<Named>(params)?, "reservation released", |state| state.reserve.clear())
            }
            "trace.on" => self.trace_on(&take(params)?),
            "trace.off" => self.trace_off(&take::<Named>(params)?.export),
            _ => Err(RpcError::new(
                "method",
                format!("{method:?} is no method; see docs/control.md for those that there are"),
            )),
        }
    }
}

/// The export that a method is about.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    export: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Perhaps {
    export: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    toml: String,
}

impl Manager {
    fn initiators(&self, of: Perhaps) -> Result<Value, RpcError> {
        let only = of.export.map(|name| self.find(&name)).transpose()?;
        let exports = self.snapshot()?.exports.into_iter();
        let wanted = exports.filter(|of| only.as_ref().is_none_or(|(key, _)| key.name() == of.export));
        show(wanted.map(|of| Initiators { export: of.export, initiators: of.initiators }).collect::<Vec<_>>())
    }

    /// Serves one more export, until the configuration is read anew.
    fn add_export(&mut self, Addition { toml }: Addition) -> Result<Value, RpcError> {
        let added = (Path::new(ADDED), toml.into_bytes());
        let config = Config::load_with(&self.file, Some(added))
            .map_err(|mistakes| RpcError::new("config", mistakes.to_string()))?;
        let ours = |export: &config::Export| export.origin.starts_with(ADDED);
        let mut added = config.exports.into_iter().filter(ours);
        let (Some(export), None) = (added.next(), added.next()) else {
            return Err(RpcError::new("params", "give one [[export]] table, no more and no less"));
        };
        // Those that run may be others than those that are written.
        if let Some(why) = config::among(&export, self.wanted.values().map(|other| &**other)) {
            return Err(RpcError::new("conflict", why));
        }
        let key = Key::of(&export);
        info!(export = %key, "added by a client");
        self.config.exports.push(export);
        self.want();
        self.settle()?;
        let name = key.name();
        show(
            self.export_list()?.into_iter().find(|export| export.export == name && export.path == key.source),
        )
    }

    /// Serves an export no more, until the configuration is read anew.
    fn remove_export(&mut self, named: &Named) -> Result<Value, RpcError> {
        let (key, _) = self.find(&named.export)?;
        info!(export = %key, "removed by a client");
        self.config.exports.retain(|export| Key::of(export) != key);
        self.want();
        self.settle()?;
        Ok(json!({}))
    }

    /// Changes what initiators have set, durably.
    fn edit(&mut self, named: &Named, what: &str, edit: fn(&mut State)) -> Result<Value, RpcError> {
        let (key, id) = self.find(&named.export)?;
        let not_served =
            || RpcError::new("failed", format!("{} is not served now; try again when it is", key.name()));
        let id = id.ok_or_else(not_served)?;
        let (tell, told) = channel::<io::Result<()>>();
        self.engine.with(move |server| {
            let edited = move |result| tell.send(result).unwrap_or_default();
            server.edit_state(id, Box::new(edit), Box::new(edited));
        })?;
        match told.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {
                info!(export = %key, "{what} by a client");
                Ok(json!({}))
            }
            Ok(Err(error)) => Err(RpcError::new("failed", format!("cannot be stored: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                let why = "waits for writes in flight, and is done when they end; look again later";
                Err(RpcError::new("busy", why))
            }
            Err(RecvTimeoutError::Disconnected) => Err(not_served()),
        }
    }

    /// The export called so: `7.3`, or `e7.3`.
    pub(super) fn find(&self, name: &str) -> Result<(Key, Option<TargetId>), RpcError> {
        let address: Address = name
            .parse()
            .map_err(|_| RpcError::new("params", format!("{name:?} is no address; give one such as 7.3")))?;
        let mut at =
            self.exports.iter().filter(|(key, served)| key.address == address && !served.actual.leaving);
        match (at.next(), at.next()) {
            (Some((key, served)), None) => Ok((key.clone(), served.target)),
            (None, _) => {
                Err(RpcError::new("not_found", format!("{address} is no export; see: vbladectl exports")))
            }
            _ => Err(RpcError::new(
                "conflict",
                format!(
                    "{address} is the address of several exports, on different interfaces; change the configuration instead"
                ),
            )),
        }
    }
}

impl From<Ended> for RpcError {
    fn from(ended: Ended) -> Self {
        Self::new("failed", format!("{ended}; the daemon ends"))
    }
}

fn nothing(params: Value) -> Result<(), RpcError> {
    match params {
        Value::Null => Ok(()),
        Value::Object(params) if params.is_empty() => Ok(()),
        _ => Err(RpcError::new("params", "this method takes none")),
    }
}

fn take<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    let params = if params.is_null() { json!({}) } else { params };
    serde_json::from_value(params).map_err(|error| RpcError::new("params", error.to_string()))
}

pub(super) fn show(result: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| RpcError::new("failed", error.to_string()))
}
