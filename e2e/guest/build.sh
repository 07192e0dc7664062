#!/bin/bash
# Builds a guest that has the real Linux aoe driver: build.sh OUTDIR VERSION, where VERSION is a kernel series
# such as 6.1. Takes Debian's newest kernel package of that series, without installing it, and an initramfs of
# this machine's busybox, e2fsprogs, fio and so on. OUTDIR receives vmlinuz, initrd and release (the kernel's
# full version); it is kept as long as it is complete and was made by these very scripts.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: build.sh OUTDIR VERSION} series=${2:?usage: build.sh OUTDIR VERSION}

modules=(failover net_failover virtio_net e1000 virtio_pci virtio_rng virtio_blk crc32c_generic ext4 aoe)
programs=(mkfs.ext4 e2fsck fio hdparm sfdisk)

made_by=$(cat "$here/build.sh" "$here/init" | sha256sum)
if [[ -s $out/made-by && $(<"$out/made-by") == "$made_by" ]]; then
    exit 0
fi

die() {
    echo "build.sh: $*" >&2
    exit 1
}

# Newest package of the series for ordinary PCs; Debian's names hold the point release.
find_package() {
    apt-cache --names-only search "^linux-image-${series//./\\.}\\.[0-9].*-amd64\$" |
        cut -d' ' -f1 | grep -vE -e '-(cloud|rt)-amd64$' | sort -V | tail -n 1
}

unpack_kernel() {
    local package
    package=$(find_package) || true
    [[ -n $package ]] || die "no kernel $series in the package lists: apt-get update?"
    echo "building a guest of $package in $out"
    (cd "$tmp" && apt-get -q -o APT::Sandbox::User=root download "$package" >download.log 2>&1) || {
        cat "$tmp/download.log" >&2
        die "cannot download $package: apt-get update?"
    }
    dpkg-deb -x "$tmp"/linux-image-*.deb "$tmp/kernel"
    release=$(ls "$tmp/kernel/lib/modules")
    depmod -b "$tmp/kernel" "$release"
}

# The modules with all they depend on, plain (later kernels pack them) and in loading order; aoe beside them.
copy_modules() {
    local module path name
    mkdir -p "$root/modules"
    for module in "${modules[@]}"; do
        modprobe -d "$tmp/kernel" -S "$release" --show-depends "$module" || die "kernel $release has no module $module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tmp/modules"
    while read -r path; do
        name=$(basename "$path")
        case $name in
        *.ko.xz) xz -dc "$path" >"$root/modules/${name%.xz}" ;;
        *) cp "$path" "$root/modules/$name" ;;
        esac
        name=${name%%.*}.ko
        [[ $name == aoe.ko ]] || echo "$name"
    done <"$tmp/modules" >"$root/modules/order"
    [[ -s $root/modules/aoe.ko ]] || die "kernel $release has no aoe module"
}

# A program and the libraries it is linked with, where its loader looks for them.
copy_program() {
    local program library
    program=$(command -v "$1") || die "needs the command $1"
    cp -L "$program" "$root/usr/bin/"
    ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
        install -D -m 755 "$library" "$root$library"
    done
}

make_initrd() {
    local program busybox
    mkdir -p "$root/bin" "$root/usr/bin" "$root/etc"
    busybox=$(command -v busybox) || die "needs the command busybox"
    if ldd "$busybox" >/dev/null 2>&1; then
        die "$busybox needs libraries: apt-get install busybox-static"
    fi
    cp "$busybox" "$root/bin/"
    for program in "${programs[@]}"; do
        copy_program "$program"
    done
    cp /etc/mke2fs.conf "$root/etc/"
    install -m 755 "$here/init" "$root/init"
    # Not compressed: unpacking costs the emulated processor more than loading does.
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$tmp/guest/initrd"
}

mkdir -p "$(dirname "$out")"
tmp=$(mktemp -d "$(realpath "$out").XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
root=$tmp/root
mkdir "$root" "$tmp/guest"

unpack_kernel
copy_modules
make_initrd
cp "$tmp/kernel/boot/vmlinuz-$release" "$tmp/guest/vmlinuz"
echo "$release" >"$tmp/guest/release"
echo "$made_by" >"$tmp/guest/made-by"

rm -rf "$out"
mv "$tmp/guest" "$out"
