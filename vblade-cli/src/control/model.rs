//! What `vbladed` tells of itself on its control socket: the types that it writes and `vbladectl` reads, as JSON.
//!
//! Fields are added, never renamed or given another meaning, within one `protocol` version. `docs/control.md` is the reference.
//!
//! | method | params | result |
//! |---|---|---|
//! | `version` | | [`Version`] |
//! | `status` | | [`Status`] |
//! | `exports` | | `[`[`Export`]`]` |
//! | `stats` | | [`Snapshot`] |
//! | `initiators` | `export?` | `[`[`Initiators`]`]` |
//! | `reload` | | [`Reloaded`] |
//! | `export.add` | `toml` | [`Export`] |
//! | `export.remove` | `export` | `{}` |
//! | `mask.clear`, `reserve.release` | `export` | `{}` |
//! | `trace.on` | `export`, `file?`, `max_bytes?`, `seconds?` | [`Tracing`] |
//! | `trace.off` | `export` | [`Traced`] |

use serde::{Deserialize, Serialize};

pub use super::histogram::Histogram;

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;

/// A request: one line. `{"id": 1, "method": "export.add", "params": {...}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Given back with the answer: any JSON value.
    #[serde(default)]
    pub id: serde_json::Value,
    /// One of the methods above.
    pub method: String,
    /// What the method wants: an object, or nothing.
    #[serde(default)]
    pub params: serde_json::Value,
}

/// The answer: one line, `result` or `error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response {
    /// That of the request; null where it could not be read.
    pub id: serde_json::Value,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RpcError {
    /// `parse`, `method`, `params`, `not_found`, `conflict`, `config`, `failed`, `busy`.
    pub code: String,
    /// What is wrong and what would help, one line (several for `config`).
    pub message: String,
}

impl RpcError {
    /// An error of this code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// The `version` answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Of the program.
    pub version: String,
    /// [`PROTOCOL`].
    pub protocol: u32,
}

/// The `status` answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Since it started.
    pub uptime_seconds: f64,
    /// The configuration file.
    pub config: String,
    /// When and how the last reload went.
    pub last_reload: Option<Reloaded>,
    /// All that are configured.
    pub exports: usize,
    /// Those of them that are not `up`.
    pub exports_down: usize,
    /// Those that exports name and those that match their globs.
    pub interfaces: Vec<Interface>,
    /// `no capabilities, seccomp, Landlock ABI 7`, or what is missing.
    pub sandbox: String,
}

/// The `reload` answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// Exports that are new.
    pub added: Vec<String>,
    /// Exports that are gone.
    pub removed: Vec<String>,
    /// Exports that are another way.
    pub changed: Vec<String>,
    /// Unix time in seconds.
    pub at: u64,
    /// What is wrong, if nothing was changed.
    pub error: Option<String>,
    /// What takes a restart to come into force.
    pub restart_for: Vec<String>,
}

/// One element of the `initiators` answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Initiators {
    /// `7.3`.
    pub export: String,
    /// Those in its table.
    pub initiators: Vec<InitiatorFigures>,
}

/// The `trace.on` answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracing {
    /// The path of the file that frames are written to.
    pub file: String,
}

/// The `trace.off` answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traced {
    /// The path of the file.
    pub file: String,
    /// Frames in it.
    pub frames: u64,
    /// Its size.
    pub bytes: u64,
    /// Frames that are not in it: the file was full, or its disk slower than the traffic.
    #[serde(default)]
    pub dropped: u64,
}

/// An interface.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Interface {
    /// As the system has it.
    pub name: String,
    /// False while there is none of that name.
    pub present: bool,
    /// Whether its link is up.
    pub up: bool,
    /// Its address, `02:00:00:00:00:01`.
    pub mac: String,
    /// Bytes of payload in a frame.
    pub mtu: u32,
    /// `packet`, `xdp (native)`, ...
    pub way: String,
    /// Dropped by the kernel because the receive ring was full.
    pub rx_dropped: u64,
    /// Received and not taken: other protocols, too short, cut.
    pub rx_refused: u64,
    /// Replies that the kernel did not take.
    pub tx_dropped: u64,
}

/// An export as it is set and as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Export {
    /// `7.3`.
    pub export: String,
    /// What is served, as it was written.
    pub path: String,
    /// Where it was written, `/etc/vblade/vblade.toml:12`.
    pub origin: String,
    /// `up`, `down` (not served: file or interface missing), `gone` (its disk vanished), `leaving`.
    pub state: String,
    /// Why it is not up.
    pub why: Option<String>,
    /// Names and globs, as they were written.
    pub interfaces: Vec<String>,
    /// Of 512 bytes.
    pub sectors: u64,
    /// As `--cache` has it.
    pub cache: String,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Requests that an initiator may have in flight, as advertised.
    pub buffer_count: u16,
    /// Addresses that may use it; all, if there are none.
    pub mask: Vec<String>,
    /// Addresses that it is reserved for.
    pub reserve: Vec<String>,
    /// Escaped.
    pub config_string: String,
    /// The file that its frames are written to.
    pub trace: Option<String>,
}

/// All figures at one moment; the `stats` answer. Counters count from the start of the export and never go back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Seconds since the daemon started.
    pub at: f64,
    /// Of the loop that serves all exports.
    pub server: ServerFigures,
    /// As in [`Status`].
    pub interfaces: Vec<Interface>,
    /// By address.
    pub exports: Vec<ExportFigures>,
}

/// What the loop counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ServerFigures {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Config replies that nobody asked for.
    pub advertisements: u64,
    /// Requests that waited for one they overlap.
    pub overlaps: u64,
    /// Requests of initiators that had more in flight than their share.
    pub over_share: u64,
    /// Times that a disk took no more.
    pub queue_full: u64,
    /// Frames that could not be had for a copy or an advertisement.
    pub no_frame: u64,
    /// Wildcard requests beyond the limit.
    pub wildcards_dropped: u64,
    /// Times that another station answered for an export.
    pub address_conflicts: u64,
}

/// What an export counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExportFigures {
    /// `7.3`.
    pub export: String,
    /// As [`Export::state`].
    pub state: String,
    /// Of 512 bytes.
    pub sectors: u64,
    /// All initiators together, also those that were forgotten.
    #[serde(flatten)]
    pub counts: Counts,
    /// Answered with an AoE error (AoEr11 §2.4).
    pub aoe_errors: u64,
    /// Answered with an ATA error, the disk not having failed.
    pub ata_errors: u64,
    /// Answered with an ATA error because the disk failed.
    pub disk_errors: u64,
    /// Frames without an answer: masked, denied, malformed.
    pub ignored: u64,
    /// Writes dropped because a later one had been executed.
    pub late_writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Trims.
    pub trims: u64,
    /// Requests that the rate limit made wait.
    pub limited: u64,
    /// Initiators that gave way to others in the table.
    pub initiators_forgotten: u64,
    /// Most requests in flight at a time.
    pub max_in_flight: u64,
    /// Of reads.
    pub read_latency: Histogram,
    /// Of writes.
    pub write_latency: Histogram,
    /// Of everything else.
    pub other_latency: Histogram,
    /// Those in the table.
    pub initiators: Vec<InitiatorFigures>,
}

/// What both an export and each of its initiators count.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests of all kinds.
    pub requests: u64,
    /// Those that read.
    pub reads: u64,
    /// Those that write.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Answered with an error of any kind.
    pub errors: u64,
    /// Requests that had come before.
    pub retransmits: u64,
    /// Being worked on now: a gauge, not a counter.
    pub in_flight: u64,
}

/// What an initiator of an export counts. The table is bounded: see [`ExportFigures::initiators_forgotten`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InitiatorFigures {
    /// Its address, `02:00:00:00:00:01`.
    pub mac: String,
    /// From /etc/ethers as it was at the last reload, if it is there.
    pub name: Option<String>,
    /// Its own.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds ago.
    pub last_seen: f64,
    /// Of all its requests.
    pub latency: Histogram,
}
