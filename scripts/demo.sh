# shellcheck shell=bash
# The main job in a private network: export a disk, use it from the other side. Leaves nothing behind.

require() {
    command -v "$1" >/dev/null && return
    echo "x: the demo needs the command '$1': apt-get install $2" >&2
    exit 1
}

if [ "${DEMO_INSIDE:-}" != 1 ]; then
    require ip iproute2
    require unshare util-linux
    require cc gcc
    say "building vblade and aoe"
    cargo build --release --locked -p vblade-cli
    # A network of our own: as root directly, else in a user namespace in which we are root.
    own=(unshare --net --mount --fork --kill-child)
    [ "$(id -u)" = 0 ] || own=(unshare --map-root-user --net --mount --fork --kill-child)
    if ! "${own[@]}" true 2>/dev/null; then
        echo "x: the demo needs a network namespace of its own, and this user may not make one." >&2
        echo "   Run it as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1" >&2
        exit 1
    fi
    DEMO_INSIDE=1 exec "${own[@]}" ./x demo
fi

vblade=target/release/vblade
aoe=$PWD/target/release/aoe
work=$(mktemp -d)
server='' far=''
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$far" ] || kill "$far" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say "two machines: a private pair of network namespaces, joined by a cable (veth)"
unshare --net sleep 300 &
far=$!
until [ "$(readlink "/proc/$far/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add target0 type veth peer name host0 netns "$far"
ip link set target0 mtu 9000 up
on_host() { nsenter --target "$far" --net "$@"; }
on_host ip link set host0 mtu 9000 up
ip -brief link show target0
on_host ip -brief link show host0

say "a sparse 64 MiB disk, exported as e7.3: vblade 7 3 target0 disk.img"
truncate -s 64M "$work/disk.img"
"$vblade" --state-dir "$work" 7 3 target0 "$work/disk.img" >"$work/vblade.out" 2>"$work/vblade.err" &
server=$!
for _ in $(seq 100); do
    grep -q sectors "$work/vblade.out" && break
    kill -0 "$server" 2>/dev/null || { cat "$work/vblade.err" >&2; exit 1; }
    sleep 0.05
done
cat "$work/vblade.out"

say "discover, from the other machine: who serves disks on this cable?"
on_host "$aoe" discover host0

say "identify: what is e7.3?"
on_host "$aoe" identify e7.3

say "sancheck: which frame sizes pass?"
on_host "$aoe" sancheck e7.3

say "copy 16 MiB of random data to it, verify, and copy them back"
head -c 16M /dev/urandom >"$work/written"
on_host "$aoe" copy --verify "$work/written" e7.3
on_host "$aoe" copy --length 32768 e7.3 "$work/read"
(cd "$work" && sha256sum written read)
cmp "$work/written" "$work/read"
echo "and on the disk itself:"
head -c 16M "$work/disk.img" | sha256sum
cmp "$work/written" <(head -c 16M "$work/disk.img")

say "bench: one second of random reads, 16 in flight"
on_host "$aoe" bench e7.3 --duration 1

say "stop the target: it finishes what is queued, syncs, and exits"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=''
echo "vblade exited with status $status"
[ "$status" = 0 ]

printf '\nThe demo worked: every byte was found again.\n'
echo "To do this for real: README.md, \"Export a disk\"."
