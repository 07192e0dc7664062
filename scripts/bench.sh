# shellcheck shell=bash
# Benchmarks. With figures: the codec, the engine, the queues, and the real command beside Debian's vblade over a veth pair.
# With --test: only shows that each runs, and that the data path allocates nothing.

if [ "${1:-}" = --test ]; then
    say "bench: every benchmark runs, and the data path allocates nothing"
    cargo bench --locked -p benches -- --test
else
    say "bench: codec, engine, queues"
    cargo bench --locked -p benches
    say "bench: over a veth pair, beside Debian's vblade"
    cargo build --release --locked -p vblade-cli
    benches/veth.sh
fi
