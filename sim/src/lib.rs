//! A world for tests: initiators and targets of ATA over Ethernet (AoE) joined by a lossy network, on one clock that is not real.
//!
//! The engines are pure: they take frames and the time and give frames. So a whole network with its processes runs in one thread, as fast
//! as it computes, and everything that happens follows from one seed: which frames are lost, doubled, held back or damaged, and
//! how long each takes. A test that fails prints the seed, the last frames, and the line that runs it again.
//!
//! * [`Network`]: segments and stations, the [`Weather`] on each, cables, MTUs and addresses that change; [`SimLink`] is a process's hold on
//!   a station, a `Link` like any other. A [tap](Network::tap) sees, changes, drops, delays or doubles what a station sends: so an honest
//!   target is made to answer rubbish.
//! * [`World`]: a network, the [`TargetHost`]s and [`Client`]s on it, and the clock. [`World::step`] goes to the next thing that happens.
//! * [`Lag`]: a disk that takes its time, by the same clock. [`CrashDisk`]: one that forgets at a power cut. [`Store`]: a state file that
//!   does.
//! * [`Linux`]: the Linux driver's habits, beside the real initiator.
//! * [`scenario`]: all of these together, from one seed, with an oracle.
//! * [`seeds`]: which seeds a test runs with.
//!
//! ```
//! use std::sync::Arc;
//!
//! use aoe_initiator::AttachOptions;
//! use aoe_wire::Address;
//! use bdev::{Extent, Inline, MemDisk};
//! use sim::{Export, Weather, World, seeds};
//!
//! for seed in seeds(3) {
//!     let mut world = World::new(seed);
//!     let lan = world.net.add_segment();
//!     world.net.set_weather(lan, Weather::rough(100));
//!     let disk = Arc::new(Inline::new(MemDisk::new(2048)));
//!     world.add_target(&[lan], 1500, [Export::new(Address::new(7, 3), Arc::clone(&disk))]);
//!     let client = world.add_initiator(&[lan], 1500);
//!
//!     let remote = world.attach(client, Address::new(7, 3), AttachOptions::default()).unwrap();
//!     world.write(client, remote, 9, &[7; 5120]).unwrap();
//!     assert_eq!(world.read(client, remote, Extent::new(9, 10)).unwrap(), [7; 5120]);
//!     assert_eq!(disk.disk().content()[9 * 512..19 * 512], [7; 5120]);
//! }
//! ```
#![forbid(unsafe_code)]

mod air;
mod chance;
mod client;
mod content;
mod crash;
mod files;
mod history;
mod lag;
mod linux;
mod network;
mod product;
pub mod scenario;
mod seed;
mod station;
mod store;
mod target;
mod trace;
mod wake;
mod watch;
mod weather;
mod world;

pub use air::NetStats;
pub use chance::Chance;
pub use client::{Client, ClientId};
pub use content::{content, stamp_of};
pub use crash::{CrashDisk, Trouble};
pub use history::History;
pub use lag::{Clock, Lag};
pub use linux::{Linux, LinuxEnd, LinuxId};
pub use network::{Network, SimLink};
use seed::replay;
pub use seed::seeds;
pub use station::{SegmentId, StationId, Tap, Verdict, Way};
pub use store::Store;
pub use target::{DISK_POLL, Export, TargetHost};
pub use watch::{Note, Passed, Power};
pub use weather::Weather;
pub use world::{HostId, World};
