#!/bin/bash
# A PC without a disk boots from ours: iPXE, the network ROM of QEMU's card, learns "aoe:e0.0" by DHCP, and the
# boot sector it finds there reads a further sector through the BIOS.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require qemu-system-x86_64 qemu-system-x86
require dnsmasq dnsmasq-base
[[ -e /usr/lib/ipxe/qemu/pxe-virtio.rom ]] || missing "needs iPXE's network ROMs: apt-get install ipxe-qemu"

text=SECTOR-ONE-$RANDOM-$RANDOM
disk=$work/boot.img
"$e2e/guest/boot-image.sh" "$disk" "$text"
before=$(sha256sum <"$disk")

namespace net
tap net 1500
ip -n "e2e$$-net" address add 192.0.2.1/24 dev tap0
start_target net 0 0 tap0 "$disk"

note "DHCP: root path aoe:e0.0"
spawn dhcp net dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --user=root --pid-file \
    --dhcp-leasefile="$work/leases" --no-ping --port=0 --interface=tap0 --bind-interfaces \
    --dhcp-range=192.0.2.10,192.0.2.20,1h --dhcp-option=17,aoe:e0.0

note "switch the PC on (emulated; iPXE also looks for an IPv6 router, for 15 s)"
spawn console net timeout --kill-after=5 90 qemu-system-x86_64 -accel tcg -machine pc,graphics=off -m 64 \
    -nodefaults -no-user-config -display none -serial stdio -boot n \
    -netdev tap,id=net,ifname=tap0,script=no,downscript=no \
    -device virtio-net-pci,netdev=net,mac=52:54:00:00:00:01

console() { tr -d '\r' <"$work/console.log"; }
finished_booting() { console | grep -qE "^$text\$|^READ-FAILED|No more network devices" || ended console; }
wait_for 90 "the boot sector's last line" finished_booting

console | grep -E 'Registered SAN device|^BOOTED$|^SECTOR-ONE' | sed 's/^/> /' || true
contains "registered by iPXE" "$(console)" 'Registered SAN device 0x80'
contains "first line of the boot sector" "$(console)" '^BOOTED$'
contains "sector 1 through the BIOS" "$(console)" "^$text\$"

stop console || true
stop_target
equal "checksum of the image" "$(sha256sum <"$disk")" "$before"
