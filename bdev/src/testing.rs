//! Tools for testing what stands above and below a queue.
//!
//! * Below: [`conformance`] checks any backend against the [contract](crate#the-contract), and [`conformance_segmented`] does it with
//!   buffers in pieces. Each rule is a function of [`rules`], for backends that cannot keep all of them.
//! * Above: [`Faulty`] makes requests fail, [`Delay`] holds them until told otherwise, [`Reorder`] lets them run and end in another order.
//!   Each wraps a backend and is one, so they stack. None of them has a clock, and chance comes from a seed: what failed once fails again.
//! * Further below, on Linux: `LoopDevice` is a block device out of a file, or one that has less room than it says.
//!
//! ```
//! use bdev::testing::{Fault, Faults, Faulty, conformance};
//! use bdev::{AlignedBuf, Backend, Extent, Inline, Io, MemDisk, Status, Submit};
//!
//! let disk = Inline::new(MemDisk::new(256));
//! conformance(&disk);
//!
//! let faults = Faults::default();
//! let disk = Faulty::new(disk, &faults);
//! faults.add(Fault::status(Status::Media).touching(Extent::new(7, 1)));
//! let mut queue = disk.open_queue(1)?;
//! let Submit::Done(done) = queue.submit(Io::read(Extent::new(6, 2), AlignedBuf::with_len(1024, 512), 0)) else { unreachable!() };
//! assert_eq!(done.status(), Status::Media);
//! # Ok::<(), std::io::Error>(())
//! ```

mod chance;
mod conform;
mod content;
mod delay;
mod driver;
mod faulty;
#[cfg(target_os = "linux")]
mod loop_device;
mod model;
mod pieces;
mod reorder;
pub mod rules;

pub use conform::{conformance, conformance_segmented};
pub use delay::{Delay, DelayQueue, Gate};
pub use faulty::{Fault, Faults, Faulty, FaultyQueue};
#[cfg(target_os = "linux")]
pub use loop_device::LoopDevice;
pub use model::{Step, run_against_model};
pub use pieces::{Pieces, TestBuf};
pub use reorder::{Reorder, ReorderQueue};
