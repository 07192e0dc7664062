# shellcheck shell=bash
# Simulated scenarios: ./x sim [--seeds N] [--seed S] [--mutation NAME]. Without arguments 1000 seeds that no run has tried.

say "sim: initiators, targets, disks and faults on a virtual clock"
cargo run --quiet --release --locked -p sim -- "$@"
