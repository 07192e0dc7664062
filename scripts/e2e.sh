# shellcheck shell=bash
# End to end: the real binary, over interfaces in private namespaces, against real initiators.

say "end to end: conformance cases, captures replayed"
cargo build --release --locked --quiet -p vblade-cli
# Most of a test's time is waiting, so more threads than processors.
cargo test --locked -p e2e -- --test-threads=8

say "end to end: the Linux driver, iPXE, aoetools"
e2e/all.sh
