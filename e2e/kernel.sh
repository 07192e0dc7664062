#!/bin/bash
# A stock Debian kernel's own aoe driver uses our disk: kernel.sh KERNEL MTU [chain|xdp], e.g. kernel.sh 6.12 9000.
# With "chain" the target has no file: the disk it exports is one that it reaches over AoE itself, on another target.
# With "xdp" frames take that way, in several pieces where the MTU is 9000.
# In the guest: discovery, partition table, ext4, files copied and found again after dropped caches and after a
# reload of the driver, fsck, fio with verification. Then, on the host: the same files in the image itself.
usage='usage: kernel.sh KERNEL MTU [chain|xdp]'
kernel=${1:?$usage} mtu=${2:?$usage} way=${3:-}
test_name=kernel-$kernel-mtu$mtu${way:+-$way}
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require qemu-system-x86_64 qemu-system-x86
require busybox busybox-static
require apt-get apt
require xz xz-utils
require cpio cpio
require modprobe kmod
require fio fio
require hdparm hdparm
require sfdisk fdisk
require debugfs e2fsprogs
[[ $(uname -m) == x86_64 ]] || missing "the guest is made of this machine's programs, which are not x86_64's"

guest=$target_dir/e2e/guest-$kernel
"$e2e/guest/build.sh" "$guest" "$kernel" || missing "cannot build a guest with kernel $kernel"

note "a disk of 64 MiB, and files to copy"
disk=$work/disk.img
truncate -s 64M "$disk"
files=$work/job/files
mkdir -p "$files/small"
cp "$e2e/guest/kernel-job" "$work/job/run"
head -c 16M /dev/urandom >"$files/random.bin"
for ((i = 0; i < 300; i++)); do
    head -c $((RANDOM % 4000 + 1)) /dev/urandom >"$files/small/$i"
done
(cd "$files" && sha256sum random.bin small/* >SHA256SUMS)

namespace net
tap net "$mtu"
if [[ $way == chain ]]; then
    namespace far
    veth far net "$mtu"
    start_target_as far-target far 8 0 eth0 "$disk"
    start_target net 7 3 tap0 aoe:e8.0@eth0
elif [[ $way == xdp ]]; then
    start_target net --link xdp 7 3 tap0 "$disk"
else
    start_target net 7 3 tap0 "$disk"
fi

note "boot the guest (emulated: half a minute)"
spawn guest net "$e2e/guest/run.sh" "$guest" "$work/job" 170
status=0
finished guest 180 || status=$?
grep -E '^[#>] ' "$work/guest.log" || true
((status == 0)) || fail "the guest ended with status $status: $(grep '^guest:' "$work/guest.log" | tail -n 1)"
stop_target
[[ $way != chain ]] || stop_target_as far-target

note "the image, read without any driver"
file_system="$disk?offset=$((2048 * 512))"
e2fsck -fn "$file_system" >"$work/e2fsck.log" 2>&1 || fail "the image's file system is not clean"
mkdir "$work/back"
# Its exit status says nothing, the comparison does.
debugfs -R "rdump files $work/back" "$file_system" >"$work/debugfs.log" 2>&1
diff -r "$files" "$work/back/files" || fail "the image holds other files than were copied"
show "host: image clean, $(wc -l <"$work/back/files/SHA256SUMS") files as copied; random.bin $(sha256sum "$work/back/files/random.bin" | cut -c1-16)..."
