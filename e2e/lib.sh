# shellcheck shell=bash
# What the end-to-end tests share. Source it first, after setting test_name where the script's own
# name does not say enough. It makes a scratch directory ($work) and a trap that removes whatever the
# test made or started, however the test ends: passed, failed, skipped or interrupted.
#
# A test prints "# what it does now", "> lines worth quoting", and ends with one line: PASS, FAIL or SKIP.
# Exit status: 0 passed, 1 failed, 77 skipped.
set -Eeuo pipefail

PATH=$PATH:/usr/sbin:/sbin
e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(dirname "$e2e")
target_dir=${CARGO_TARGET_DIR:-$repo/target}
# The target under test. Debian's own vblade takes the same arguments, so VBLADE=/usr/sbin/vblade compares.
vblade=${VBLADE:-$target_dir/release/vblade}
test_name=${test_name:-$(basename "$0" .sh)}

work=$(mktemp -d "${TMPDIR:-/tmp}/e2e-$test_name.XXXXXX")
# Where the target keeps config strings and lists: a test leaves none behind and finds none.
export STATE_DIRECTORY=$work/state
namespaces=()
declare -A children=() # name given to spawn -> process id
why=''                 # what the FAIL line says

note() { printf '# %s\n' "$*"; }
show() { printf '> %s\n' "$*"; }

fail() {
    why=$*
    exit 1
}

# missing WHY: ends the test as skipped; as failed where skipping would hide something.
missing() {
    if [[ ${CI:-} == true || ${E2E_STRICT:-} == 1 ]]; then
        fail "$*"
    fi
    echo "SKIP $test_name: $*"
    exit 77
}

# require COMMAND PACKAGE
require() {
    command -v "$1" >/dev/null || missing "needs the command $1: apt-get install $2"
}

require_root() {
    ((EUID == 0)) || missing "needs root, for network namespaces and raw sockets"
}

require_target() {
    require ip iproute2
    [[ -x $vblade ]] || missing "no target at $vblade: cargo build --release -p vblade-cli, or set VBLADE"
}

# tool NAME: the path of a program in examples/, built when it is not. Call it as x=$(tool NAME).
tool() {
    cargo build --quiet --locked --manifest-path "$repo/Cargo.toml" -p e2e --example "$1" >&2
    echo "$target_dir/debug/examples/$1"
}

# guest_with KERNEL: the directory of a guest, built when it is not; all that takes is at hand. Call it as x=$(guest_with 6.12).
guest_with() {
    local guest=$target_dir/e2e/guest-$1
    "$e2e/guest/build.sh" "$guest" "$1" >&2 || return 1
    echo "$guest"
}

# namespace NAME: a network namespace of this test alone, for `inside NAME command...`
namespace() {
    ip netns add "e2e$$-$1" || missing "cannot make network namespaces here"
    namespaces+=("$1")
}

inside() {
    local ns=e2e$$-$1
    shift
    ip netns exec "$ns" "$@"
}

# veth NAME NAME MTU: joins two namespaces by a pair of interfaces, each called eth0
veth() {
    local ns mac=0
    ip link add eth0 netns "e2e$$-$1" type veth peer name eth0 netns "e2e$$-$2"
    for ns in "$1" "$2"; do
        mac=$((mac + 1))
        ip -n "e2e$$-$ns" link set lo up
        ip -n "e2e$$-$ns" link set eth0 address "02:00:00:00:00:0$mac" mtu "$3" up
    done
}

# tap NAME MTU: a tap device called tap0 in the namespace, for QEMU to attach to
tap() {
    ip -n "e2e$$-$1" tuntap add tap0 mode tap || missing "cannot make tap devices here (/dev/net/tun)"
    ip -n "e2e$$-$1" link set tap0 address 02:00:00:00:00:01 mtu "$2" up
}

# bounded SECONDS COMMAND...: for commands that may wait for ever; status 124 when they would have
bounded() {
    timeout --foreground --kill-after=5 "$@"
}

# spawn NAME NAMESPACE COMMAND...: runs it in the background, output in $work/NAME.log
spawn() {
    local name=$1 ns=e2e$$-$2
    shift 2
    : >"$work/$name.log"
    # Not through `inside`: a shell function would stand between us and the process to be ended.
    ip netns exec "$ns" "$@" >>"$work/$name.log" 2>&1 </dev/null &
    children[$name]=$!
}

alive() { kill -0 "${children[$1]}" 2>/dev/null; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "waited in vain for $what"
        sleep 0.1
    done
}

ended() { ! alive "$1"; }

# finished NAME SECONDS: waits for a spawned command to end by itself; its exit status
finished() {
    local pid=${children[$1]}
    wait_for "$2" "the end of $1" ended "$1"
    unset "children[$1]"
    wait "$pid"
}

# stop NAME: ends a spawned command by SIGTERM; its exit status
stop() {
    alive "$1" || fail "$1 ended before its time: $(tail -n 1 "$work/$1.log")"
    kill "${children[$1]}"
    finished "$1" 10
}

# start_target NAMESPACE ARGUMENT...: runs vblade and returns when it serves, which it says on its first line
start_target() {
    start_target_as target "$@"
}

# start_target_as NAME NAMESPACE ARGUMENT...: one of several
start_target_as() {
    local name=$1 ns=$2
    shift 2
    note "$name: $(basename "$vblade") $*"
    spawn "$name" "$ns" "$vblade" "$@"
    wait_for 15 "the $name to serve" served_or_ended "$name"
    alive "$name" || fail "the $name did not start: $(tail -n 1 "$work/$name.log")"
}

# served_or_ended [NAME]
served_or_ended() {
    grep -qE '^pid [0-9]+: e[0-9]+\.[0-9]+, [0-9]+ sectors' "$work/${1:-target}.log" || ended "${1:-target}"
}

# stop_target: SIGTERM, which ours takes for a good end (Debian's vblade has no handler for it: 143)
stop_target() {
    stop_target_as target
}

# stop_target_as NAME
stop_target_as() {
    local name=$1 status=0
    stop "$name" || status=$?
    [[ $status == 0 || $status == 143 && -n ${VBLADE:-} ]] || fail "the $name exited with $status on SIGTERM"
    ! grep -q panicked "$work/$name.log" || fail "a thread of the $name panicked"
}

# equal WHAT GOT EXPECTED
equal() {
    [[ $2 == "$3" ]] || fail "$1: got '$2', expected '$3'"
}

# contains WHAT TEXT PATTERN (extended regular expression)
contains() {
    grep -qE -- "$3" <<<"$2" || fail "$1: no line matches '$3' in: $2"
}

show_logs() {
    local log
    for log in "$work"/*.log; do
        [[ -s $log ]] || continue
        echo "--- end of $(basename "$log")"
        tail -n 40 "$log"
    done
    echo "---"
}

end_children() {
    local name tries
    for name in "${!children[@]}"; do
        kill "${children[$name]}" 2>/dev/null || continue
        for ((tries = 0; tries < 30; tries++)); do
            alive "$name" || continue 2
            sleep 0.1
        done
        kill -KILL "${children[$name]}" 2>/dev/null || true
    done
}

# undo: what a test made that the others do not know. It may define its own, which is called when its children have ended.
undo() { :; }

cleanup() {
    local status=$? ns
    trap - EXIT ERR
    trap '' INT TERM HUP
    set +e
    end_children
    undo
    for ns in "${namespaces[@]}"; do
        ip netns pids "e2e$$-$ns" | xargs -r kill -KILL # what children left behind, if anything
        ip netns del "e2e$$-$ns"
    done
    ((status == 0 || status == 77)) || show_logs
    rm -rf "$work"
    case $status in
    0) echo "PASS $test_name" ;;
    77) ;; # missing has said why
    *) echo "FAIL $test_name: ${why:-exit status $status}" ;;
    esac
    exit "$status"
}

trap cleanup EXIT
trap 'why=${why:-line $LINENO: $BASH_COMMAND}' ERR
trap 'why=interrupted; exit 130' INT
trap 'why=terminated; exit 143' TERM HUP
