//! Whole scenarios: from one seed a [`Plan`] of initiators, targets, disks, requests and faults; an oracle that judges what comes of it.
//!
//! * [`Plan::generate`] draws everything beforehand, so that a plan can be printed, and shortened: [`shrink`].
//! * [`run`] carries a plan out, and says what was broken, and what happened: [`Outcome`].
//! * [`Mutation`] names a protection to be taken away, by which the oracle is shown to see what it protects from.
//!
//! Two judges look on. One sits at each target's own frames (`wire`): the order in which a process takes requests says exactly what each
//! reply may be. The other is each initiator (`user`), who has some sectors for itself: what it was told to be done is there, whatever
//! happened on the way. What no target can see it is spared, and so no plan does it: frames that are delayed over a restart, or by a
//! network for as long as an initiator takes to send again (protocol reference, section 5.1, X8 and X9).

mod deeds;
mod generate;
mod plan;
mod run;
mod shrink;
mod tally;
mod user;
mod wire;

pub use plan::{Cache, Deed, DiskPlan, HostPlan, Interface, Mutation, Op, Plan, Segment, Step, UserPlan};
pub use run::{Outcome, run};
pub use shrink::{report, shrink};
pub use tally::Tally;
