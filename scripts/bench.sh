# shellcheck shell=bash
# Benchmarks. With figures: the codec, the engine, the queues, and the real command beside others over a veth pair.
#
#   ./x bench                       all of them
#   ./x bench compare [OPTIONS]     only the command beside others; --help has more
#   ./x bench scale [OPTIONS]       only many exports in one process
#   ./x bench --test                shows that each runs, and that the data path allocates nothing

compare() {
    cargo build --quiet --release --locked -p vblade-cli -p benches --bins
    "${CARGO_TARGET_DIR:-target}/release/compare" "$@"
}

case ${1:-} in
    --test)
        say "bench: every benchmark runs, and the data path allocates nothing"
        cargo bench --locked -p benches -- --test
        say "bench: vblade beside others over a veth pair, briefly"
        compare --test
        ;;
    compare)
        shift
        compare "$@"
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
        ;;
    *)
        echo "x: bench knows compare, scale and --test, not '$1'" >&2
        exit 2
        ;;
esac
