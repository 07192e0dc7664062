#!/bin/bash
# The Linux driver writes on while its target, or the way there, suffers: kernel-faults.sh KERNEL MTU, e.g. 6.12 9000.
# In turn: the target is killed by SIGKILL and started again at once, three times; stopped for 5 s; its interface is down for
# 30 s; is deleted and made again; one frame in ten is lost in either direction. The guest writes files all the time, each
# synced; every one must be found again, also in the image itself, and the file system must be clean.
usage='usage: kernel-faults.sh KERNEL MTU'
kernel=${1:?$usage} mtu=${2:?$usage}
test_name=kernel-faults-$kernel-mtu$mtu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require qemu-system-x86_64 qemu-system-x86
require debugfs e2fsprogs
cable=$(tool cable)
guest=$(guest_with "$kernel") || missing "cannot build a guest with kernel $kernel"

disk=$work/disk.img
truncate -s 256M "$disk"
mkdir "$work/job"
cp "$e2e/guest/faults-job" "$work/job/run"
cat >"$work/job/phases" <<END
kill 8
stop 9
down 36
remade 8
loss 12
END

# plug: the target's cable, into the guest's switch
plug() {
    veth target net "$mtu"
    ip -n "e2e$$-net" link set eth0 master br0
}

namespace net
namespace target
ip -n "e2e$$-net" link add br0 mtu "$mtu" type bridge
ip -n "e2e$$-net" link set br0 up
tap net "$mtu"
# Not the target's address: the switch would keep the frames for itself.
ip -n "e2e$$-net" link set tap0 address 02:00:00:00:00:0f master br0
plug
start_target target -b 64 7 3 eth0 "$disk"

said() { grep -qxF "$1" <(tr -d '\r' <"$work/console.log") 2>/dev/null || ended guest; }
# in_phase NAME: returns a second after it has begun
in_phase() {
    wait_for 60 "phase $1" said "PHASE $1"
    alive guest || fail "the guest ended before phase $1: $(tail -n 1 "$work/console.log")"
    note "$1"
    sleep 1
    ! said "DONE $1" || fail "phase $1 is over before it was begun"
}

note "boot the guest (emulated: a minute and a half)"
export GUEST_CONSOLE=$work/console.log
: >"$GUEST_CONSOLE"
spawn guest net "$e2e/guest/run.sh" "$guest" "$work/job" 200

in_phase kill
for round in 1 2 3; do
    kill -KILL "${children[target]}"
    finished target 5 2>/dev/null || true
    ! grep -q panicked "$work/target.log" || fail "a thread of the target panicked"
    start_target target -b 64 7 3 eth0 "$disk"
    sleep "1.$round"
done

in_phase stop
kill -STOP "${children[target]}"
sleep 5
kill -CONT "${children[target]}"

in_phase down
ip -n "e2e$$-target" link set eth0 down
sleep 30
ip -n "e2e$$-target" link set eth0 up

in_phase remade
ip -n "e2e$$-target" link del eth0
sleep 1
plug

in_phase loss
ip -n "e2e$$-net" link set eth0 nomaster
ip -n "e2e$$-net" link set tap0 nomaster
spawn cable net "$cable" eth0 tap0 100
wait_for 60 "the end of the phase" said "DONE loss"
show "one frame in ten lost: $(tail -n 1 "$work/cable.log")"
stop cable || true
ip -n "e2e$$-net" link set eth0 master br0
ip -n "e2e$$-net" link set tap0 master br0

status=0
finished guest 90 || status=$?
grep -E '^[#>] ' "$work/guest.log" || true
((status == 0)) || fail "the guest ended with status $status: $(grep '^guest:' "$work/guest.log" | tail -n 1)"
stop_target

note "the image, read without any driver"
e2fsck -fn "$disk" >"$work/e2fsck.log" 2>&1 || fail "the image's file system is not clean"
mkdir "$work/back"
# Its exit status says nothing, the comparison does.
debugfs -R "rdump / $work/back" "$disk" >"$work/debugfs.log" 2>&1
(cd "$work/back" && sha256sum --quiet -c SHA256SUMS) || fail "the image holds other files than were written"
show "host: image clean, $(wc -l <"$work/back/SHA256SUMS") files as written"
