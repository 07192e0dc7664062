//! The conformance cases of the AoE target, as tests against the real `vblade` binary, and tests of the `aoe` command
//! against targets good and bad.
//!
//! Each test in `tests/` enters a network namespace of its own, makes a pair of virtual interfaces in it, starts
//! `vblade` on one end and plays the initiator on the other. Frames are written by hand, byte for byte, and replies are
//! judged by hand: nothing here uses the project's codec, which would otherwise be its own judge.
//!
//! | module | what |
//! |---|---|
//! | [`net`] | the namespace, the interfaces, `ip` |
//! | [`client`] | a raw socket on one interface: any bytes out, whole frames in |
//! | [`request`], [`reply`] | request bytes; a reply checked against the request it answers |
//! | [`disk`] | the exported file and a model of what it must contain |
//! | [`faulty`] | a file on a disk that fails when told to |
//! | [`target`] | the `vblade` process |
//! | [`daemon`] | the `vbladed` process |
//! | [`lab`] | all of it put together: what a test receives |
//! | [`tool`], [`terminal`] | the `aoe` process, always with a time limit; a terminal for it |
//! | [`stage`] | what a test of `aoe` receives: a target of either kind, a disk, images |
//! | [`wire`] | a cable that loses, doubles, delays and reorders frames |
//! | [`flood`] | a station that sends as fast as it can |
//! | [`rogue`] | a target that misbehaves as told |
//! | [`nonsense`] | frames that are mutated or random, and what they may do |
//! | [`stamp`] | sectors that say which write they are of, and what must be on a disk after a power cut |
//! | [`pcap`], [`rng`] | capture files; reproducible random numbers |
//!
//! The binaries are `$VBLADE`, `$VBLADED` and `$AOE`, or those of the same names in `target/release` of this repository. A test that lacks something it needs says
//! `SKIP` on stderr and passes, but fails when `CI=true` or `E2E_STRICT=1`. An ordinary user runs the tests in a user
//! namespace, which they enter by themselves where that is allowed.
//!
//! # Panics
//!
//! ```
//! // Two sectors from LBA 64, as the Linux driver asks for them: 36 bytes, padded to 60.
//! let frame = e2e::request::read(64, 2).bytes();
//! assert_eq!(frame.len(), 60);
//! assert_eq!(frame[24..28], [0x40, 0, 2, 0x24]);
//! ```
//!
//! This is test code: whatever goes wrong panics, and the message holds the bytes of the frames concerned.

pub mod client;
pub mod daemon;
pub mod disk;
pub mod faulty;
pub mod flood;
pub mod lab;
pub mod net;
pub mod nonsense;
pub mod pcap;
pub mod reply;
pub mod request;
pub mod rng;
pub mod rogue;
pub mod screen;
pub mod stage;
pub mod stamp;
mod sys;
pub mod target;
pub mod terminal;
pub mod tool;
pub mod wire;

pub use lab::{Lab, Setup, on_a_wire};
pub use reply::Reply;
pub use request::{B, Mac, Request, S, T, ata, config, mac, mask, reserve};

/// Bytes of a sector.
pub const SECTOR: usize = 512;
