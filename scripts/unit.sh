# shellcheck shell=bash
# Unit, property and doc tests of every crate. Tests that need a network of their own make one in a namespace.

say "unit, property and namespace tests"
cargo test --workspace --all-features --locked --exclude e2e
