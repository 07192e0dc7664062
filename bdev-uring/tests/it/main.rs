//! Tests of the whole crate, from outside.

mod blocks;
mod conformance;
mod durable;
mod faults;
mod queue;
mod random;
mod support;
