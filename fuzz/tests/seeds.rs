//! Every seed passes: the targets work on a compiler that does not instrument.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};

/// Runs `target` on every seed of a folder; how many there are.
fn replay(folder: &str, target: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(folder);
    let paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.iter().for_each(|path| target(&fs::read(path).unwrap()));
    paths.len()
}

/// Numbers that a seed determines (xorshift), as bytes.
fn chance(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn session(bytes: &[u8]) {
    fuzz::engine::run(&Arbitrary::arbitrary_take_rest(Unstructured::new(bytes)).unwrap());
}

fn initiator(bytes: &[u8]) {
    fuzz::initiator::run(&Arbitrary::arbitrary_take_rest(Unstructured::new(bytes)).unwrap());
}

fn script(bytes: &[u8]) {
    if let Ok(script) = Arbitrary::arbitrary_take_rest(Unstructured::new(bytes)) {
        fuzz::stack::run(&script);
    }
}

fn state(bytes: &[u8]) {
    if let Ok(script) = Arbitrary::arbitrary_take_rest(Unstructured::new(bytes)) {
        fuzz::state::run(&script);
    }
}

#[test]
fn every_captured_frame_is_parsed() {
    assert!(replay("parse", fuzz::parse::run) >= 60);
}

#[test]
fn every_captured_identify_page_is_read() {
    assert!(replay("identify", fuzz::identify::run) >= 3);
}

#[test]
fn every_session_kept_is_served_as_the_model_says() {
    assert!(replay("engine", session) >= 300);
}

#[test]
fn every_stack_kept_behaves_as_flat_memory() {
    assert!(replay("stack", script) >= 300);
}

#[test]
fn every_session_kept_of_the_initiator_ends_every_request_once() {
    assert!(replay("initiator", initiator) >= 300);
}

#[test]
fn every_state_kept_is_read_back_or_refused() {
    assert!(replay("state", state) >= 200);
}

#[test]
fn every_configuration_is_read_or_refused_with_a_place() {
    assert!(replay("config", fuzz::config::run) >= 6);
}

#[test]
fn random_sessions_are_served_as_the_model_says() {
    (0..400).for_each(|seed| session(&chance(seed, 1500)));
}

#[test]
fn random_stacks_behave_as_flat_memory() {
    (0..400).for_each(|seed| script(&chance(seed, 1500)));
}

#[test]
fn random_sessions_of_the_initiator_end_every_request_once() {
    (0..400).for_each(|seed| initiator(&chance(seed, 1500)));
}

#[test]
fn random_states_are_read_back_and_damaged_ones_refused() {
    (0..2000).for_each(|seed| state(&chance(seed, 600)));
}
