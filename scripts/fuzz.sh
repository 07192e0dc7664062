# shellcheck shell=bash
# Runs every fuzz target on its seeds, FUZZ_SECONDS each (default 60, with --smoke 12). What is found stays in fuzz/artifacts.
# --coverage: which part of the code the corpora reach; no fuzzing.

# The sanitizers, and what counts for coverage, are unstable options of rustc, which a stable one takes when told so.
export RUSTC_BOOTSTRAP=1

# Has `target`'s corpus in `corpus`, with the seeds in it.
prepare() {
    target=$1 corpus=fuzz/corpus/$1
    mkdir -p "$corpus"
    [ ! -d "fuzz/seeds/$target" ] || cp -n "fuzz/seeds/$target"/* "$corpus/"
}

smoke() {
    (cd fuzz && cargo fmt --check && cargo test --locked --quiet)
    # No address sanitizer: the little unsafe code there is has tests of its own, and without it five times as much is tried.
    cargo fuzz build -s none
    for target in $(cargo fuzz list); do
        prepare "$target"
        log=target/fuzz-$target.log
        if ! cargo fuzz run -s none "$target" "$corpus" -- -max_total_time="$seconds" -max_len=16384 -timeout=20 >"$log" 2>&1; then
            tail -n 60 "$log" >&2
            echo "x: the fuzz target '$target' found something; run it again: RUSTC_BOOTSTRAP=1 cargo fuzz run -s none $target fuzz/artifacts/$target/FILE" >&2
            exit 1
        fi
        echo "$target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log"), nothing found"
    done
}

# Runs each corpus once, and prints the lines of each file that any of them reached.
coverage() {
    llvm=/usr/lib/llvm-$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin
    if [ ! -x "$llvm/llvm-cov" ]; then
        echo "x: coverage needs $llvm/llvm-cov: apt-get install llvm-${llvm//[^0-9]/}" >&2
        exit 1
    fi
    out=$PWD/target/coverage objects=()
    mkdir -p "$out"
    rm -f "$out"/*.profraw
    (cd fuzz && RUSTFLAGS='-C instrument-coverage' cargo build --release --locked --quiet --bins --target-dir "$out")
    for target in $(cargo fuzz list); do
        prepare "$target"
        LLVM_PROFILE_FILE=$out/$target.profraw "$out/release/$target" -runs=0 "$corpus" 2>/dev/null
        objects+=(-object "$out/release/$target")
    done
    "$llvm/llvm-profdata" merge -sparse "$out"/*.profraw -o "$out/all.profdata"
    "$llvm/llvm-cov" report "${objects[@]:1}" -instr-profile="$out/all.profdata" -ignore-filename-regex='/registry/|/rustc/|/fuzz/' |
        awk 'NR == 1 || /^-/ { next } { printf "%-45s %6s lines, %6s reached\n", $1, $8, $10 }'
}

seconds=${FUZZ_SECONDS:-60}
case ${1:-} in
    '' | --smoke)
        [ "${1:-}" != --smoke ] || seconds=${FUZZ_SECONDS:-12}
        say fuzz
        smoke
        ;;
    --coverage)
        say "fuzz: coverage"
        coverage
        ;;
    *)
        echo "x: fuzz knows --smoke and --coverage, not '$1'" >&2
        exit 2
        ;;
esac
