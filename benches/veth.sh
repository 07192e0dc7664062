#!/usr/bin/env bash
# Replies per second over a real interface: our vblade beside another target, in one run.
#
# In a private network namespace with one veth pair, each target in turn (A B A B ...) exports the same 64 MiB file, which lies in memory,
# and `aoe bench` puts a load of random 1 KiB reads on it from the other end. The target has the first processor, the load the second. Printed are
# the median of each and their ratio; a ratio below LEAST is a failure.
#
#   benches/veth.sh [ROUNDS [SECONDS [LEAST]]]      default: 5 3 0.6
#
# WINDOW (16), MTU (1500), SECTORS (2) change the load; OURS and THEIRS name the two programs. Takes root, or user namespaces. Needs two
# processors, iproute2, util-linux, and the other target: Debian's package `vblade`, unless THEIRS names another.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
rounds=${1:-5} seconds=${2:-3} least=${3:-0.6}
window=${WINDOW:-16} mtu=${MTU:-1500} sectors=${SECTORS:-2}
# The client keeps to the target's buffer count, of which 16 is the default.
buffers=$((window > 16 ? window : 16))
ours=${OURS:-$top/target/release/vblade}
theirs=${THEIRS:-/usr/sbin/vblade}
aoe=$top/target/release/aoe

if [ -z "${VETH_INSIDE:-}" ]; then
    for program in ip taskset unshare "$theirs"; do
        command -v "$program" >/dev/null || { echo "veth.sh: $program is missing" >&2; exit 2; }
    done
    [ "$(nproc)" -ge 2 ] || { echo "veth.sh: needs two processors" >&2; exit 2; }
    cargo build --quiet --release --manifest-path "$top/Cargo.toml" -p vblade-cli
    user=()
    [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
    # The namespace, and all in it, goes with the last process in it.
    VETH_INSIDE=1 exec unshare "${user[@]}" --net --pid --fork --kill-child --mount-proc "$0" "$rounds" "$seconds" "$least"
fi

work=$(mktemp -d /dev/shm/veth-bench.XXXXXX)
server=
stop() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    server=
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

ip link add target mtu "$mtu" type veth peer name client mtu "$mtu"
for end in target client; do
    echo 1 >"/proc/sys/net/ipv6/conf/$end/disable_ipv6" 2>/dev/null || true
    ip link set "$end" up
done
head -c 64M /dev/urandom >"$work/disk"
mkdir "$work/state"

run() { # NAME COMMAND...: starts a target, loads it, stops it
    local name=$1
    shift
    taskset -c 0 "$@" >"$work/$name.log" 2>&1 &
    server=$!
    # The first MiB is compared, so that a target that answers fast and wrong is noticed.
    if ! taskset -c 1 "$aoe" -i client read e7.3 - --length 2048 | cmp - <(head -c 1M "$work/disk") ||
        ! taskset -c 1 "$aoe" -i client bench e7.3 --json --window "$window" --sectors "$sectors" --duration "$seconds" >"$work/reply"; then
        cat "$work/$name.log" >&2
        exit 1
    fi
    stop
    # The first of them is of reads and writes together.
    rate=$(sed -n 's/.*"replies_per_second": \([0-9]*\).*/\1/p' "$work/reply" | head -n 1)
    printf '%-7s %s replies/s, %s sent again\n' "$name" "$rate" "$(sed -n 's/.*"retransmits": \([0-9]*\).*/\1/p' "$work/reply")"
    echo "$rate" >>"$work/$name.rates"
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

echo "random reads of $sectors sectors, window $window, MTU $mtu, $rounds rounds of $seconds s"
for ((round = 0; round < rounds; round++)); do
    run ours "$ours" -b "$buffers" --state-dir "$work/state" --cache writeback 7 3 target "$work/disk"
    run theirs "$theirs" -b "$buffers" 7 3 target "$work/disk"
done
a=$(median "$work/ours.rates") b=$(median "$work/theirs.rates")
awk -v a="$a" -v b="$b" -v least="$least" 'BEGIN {
    printf "median: ours %d replies/s, theirs %d replies/s, ratio %.2f\n", a, b, a / b
    if (a / b < least) { printf "below %.2f\n", least; exit 1 }
}'
