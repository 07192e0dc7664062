//! Tests of the whole crate, from outside.

mod conformance;
mod file;
mod layers;
mod lost;
mod memory;
mod open;
mod pooled;
mod random;
mod raw;
mod size;
mod suite;
mod support;
