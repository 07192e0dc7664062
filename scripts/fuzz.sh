# shellcheck shell=bash
# Runs every fuzz target on its seeds, FUZZ_SECONDS each (default 60, with --smoke 12). What is found stays in fuzz/artifacts.

say fuzz
seconds=${FUZZ_SECONDS:-60}
[ "${1:-}" != --smoke ] || seconds=${FUZZ_SECONDS:-12}
# The sanitizers are unstable options of rustc, which a stable one takes when told so.
export RUSTC_BOOTSTRAP=1
(cd fuzz && cargo fmt --check && cargo test --locked --quiet)
# No address sanitizer: the little unsafe code there is has tests of its own, and without it five times as much is tried.
cargo fuzz build -s none
for target in $(cargo fuzz list); do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus"
    [ ! -d "fuzz/seeds/$target" ] || cp -n "fuzz/seeds/$target"/* "$corpus/"
    log=target/fuzz-$target.log
    if ! cargo fuzz run -s none "$target" "$corpus" -- -max_total_time="$seconds" -max_len=16384 -timeout=20 >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "x: the fuzz target '$target' found something; run it again: RUSTC_BOOTSTRAP=1 cargo fuzz run -s none $target fuzz/artifacts/$target/FILE" >&2
        exit 1
    fi
    echo "$target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log"), nothing found"
done
