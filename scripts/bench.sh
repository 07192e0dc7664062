# shellcheck shell=bash
# Benchmarks. With figures: the codec, the engine, the queues, and the real command beside others over a veth pair.
#
#   ./x bench                       all of them
#   ./x bench compare [OPTIONS]     only the command beside others; --help has more
#   ./x bench scale [OPTIONS]       only many exports in one process
#   ./x bench rack [OPTIONS]        only vbladed: reloads under load, a daemon at rest
#   ./x bench --test                shows that each runs, and that the data path allocates nothing

compare() {
    cargo build --quiet --release --locked -p vblade-cli -p benches --bins
    "${CARGO_TARGET_DIR:-target}/release/compare" "$@"
}

rack() {
    cargo build --quiet --release --locked -p vblade-cli -p benches --bins
    "${CARGO_TARGET_DIR:-target}/release/rack" "$@"
}

case ${1:-} in
    --test)
        say "bench: every benchmark runs, and the data path allocates nothing"
        cargo bench --locked -p benches -- --test
        say "bench: vblade beside others over a veth pair, briefly"
        compare --test
        say "bench: vbladed reloads under load and rests, briefly"
        rack --test
        ;;
    compare)
        shift
        compare "$@"
        ;;
    rack)
        shift
        rack "$@"
        ;;
    scale)
        shift
        cargo build --quiet --release --locked -p vblade-cli
        cargo run --quiet --release --locked -p benches --example scale -- "$@"
        ;;
    '')
        say "bench: codec, engine, queues"
        cargo bench --locked -p benches
        say "bench: vblade beside others over a veth pair"
        compare
        say "bench: vbladed, reloads under load and at rest"
        rack
        ;;
    *)
        echo "x: bench knows compare, rack, scale and --test, not '$1'" >&2
        exit 2
        ;;
esac
