#!/bin/bash
# Boots a guest and prints its console: run.sh GUESTDIR JOBDIR [SECONDS]. Run it in the network namespace that has
# tap0; the guest's network card is that tap and has its MTU. JOBDIR appears in the guest as /job, and the guest
# runs /job/run. The exit status is the job's; 124 when the guest did not come to an end in time.
# GUEST_NIC names another network card of QEMU's and the kernel's, e.g. e1000. GUEST_DISK is a disk for it (/dev/vda), as QEMU
# names one. GUEST_CONSOLE and GUEST_PID name files that hold what the guest says, while it says it, and QEMU's process id.
set -euo pipefail

guest=${1:?usage: run.sh GUESTDIR JOBDIR [SECONDS]} job=${2:?usage: run.sh GUESTDIR JOBDIR [SECONDS]} seconds=${3:-120}
nic=${GUEST_NIC:-virtio-net-pci}
mtu=$(cat /sys/class/net/tap0/mtu)

tmp=$(mktemp -d "${TMPDIR:-/tmp}/guest-run.XXXXXX")
qemu=''
trap 'kill "$qemu" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 143' INT TERM HUP

# The kernel unpacks archives that follow one another, so the job is simply appended.
mkdir "$tmp/job"
cp -r "$job" "$tmp/job/job"
cp "$guest/initrd" "$tmp/initrd"
(cd "$tmp/job" && find . | cpio --quiet -o -H newc -R 0:0) >>"$tmp/initrd"

console=${GUEST_CONSOLE:-$tmp/console}
more=()
[[ -z ${GUEST_PID:-} ]] || more+=(-pidfile "$GUEST_PID")
# What the guest has not flushed may be lost with this machine: QEMU itself keeps nothing back.
[[ -z ${GUEST_DISK:-} ]] || more+=(-drive "file=$GUEST_DISK,format=raw,if=virtio,cache=writeback")
card=$nic,netdev=net,mac=52:54:00:00:00:01
[[ $nic != virtio-net-pci ]] || card+=,host_mtu=$mtu
# The emulator without KVM, everywhere: a test must not depend on what machine it happens to run on.
timeout --kill-after=5 "$seconds" qemu-system-x86_64 -accel tcg -machine q35 -cpu max -m 768 \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio \
    -kernel "$guest/vmlinuz" -initrd "$tmp/initrd" -append "console=ttyS0 quiet loglevel=4 panic=-1 mtu=$mtu" \
    -netdev tap,id=net,ifname=tap0,script=no,downscript=no -device "$card" "${more[@]}" </dev/null >"$console" &
qemu=$!
status=0
wait "$qemu" || status=$?

tr -d '\r' <"$console"
((status == 0)) || exit "$status"
status=$(tr -d '\r' <"$console" | sed -n 's/^GUEST-EXIT //p')
[[ -n $status ]] || exit 1
exit "$status"
