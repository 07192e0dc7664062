//! What `vbladed` shows and takes orders by.
//!
//! [`model`] is what is said, [`server`] the Unix socket it is said on, in lines of JSON; [`metrics`] says the figures as Prometheus reads
//! them, and [`http`] is where it asks. All of it runs in the daemon's manager thread, driven by poll and never waiting.

mod connection;
mod histogram;
pub mod http;
pub mod metrics;
pub mod model;
pub mod server;
mod socket;

pub use self::socket::BindError;
