//! What `vbladed` shows and takes orders by.
//!
//! [`model`] is what is said, [`server`] the Unix socket it is said on, in lines of JSON; [`metrics`] says the figures as Prometheus reads
//! them, and [`http`] is where it asks. All of that runs in the daemon's manager thread, driven by poll and never waiting. [`trace`] writes frames
//! as [`pcapng`], in a thread of its own.

mod connection;
mod histogram;
pub mod http;
pub mod metrics;
pub mod model;
mod pause;
pub mod pcapng;
pub mod server;
mod socket;
pub mod trace;

pub use self::socket::BindError;
pub(crate) use self::socket::group_id;
