#!/bin/bash
# A power cut: power-cut.sh CACHE [ROUNDS], CACHE one of vblade's modes, writethrough, directsync, writeback, none.
# The target runs inside an emulated PC, on a disk with a volatile cache that loses everything that was not flushed: nbdkit
# keeps writes in memory of its own until QEMU passes a flush on. A client outside writes stamped sectors at random and notes
# what is answered. Amid that, nbdkit and the PC get SIGKILL; then the client's notes are held against the image. Uneven rounds
# serve the bare disk, even ones a sparse file in an ext4 file system on it, whose journal is replayed first.
usage='usage: power-cut.sh writethrough|directsync|writeback|none [ROUNDS]'
cache=${1:?$usage} rounds=${2:-2} kernel=6.12 sectors=16384
test_name=power-cut-$cache
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require nbdkit nbdkit
require qemu-system-x86_64 qemu-system-x86
require debugfs e2fsprogs
stamp=$(tool stamp)
guest=$(guest_with "$kernel") || missing "cannot build a guest with kernel $kernel"

case $cache in
writethrough) promise=write options='--cache writethrough' ;;
directsync) promise=write options='-d -s' ;;
writeback | none) promise=flush options="--cache $cache" ;;
*) fail "$usage" ;;
esac

mkdir -p "$work/job/lib"
cp "$e2e/guest/power-cut-job" "$work/job/run"
cp "$vblade" "$work/job/vblade"
ldd "$vblade" | grep -oE '/[^ ]+' | xargs -I{} cp -L {} "$work/job/lib/"
echo "$options -b 64" >"$work/job/options"
echo "$sectors" >"$work/job/sectors"

namespace net
tap net 9000
medium=$work/medium
export GUEST_DISK=nbd:unix:$work/nbd GUEST_CONSOLE=$work/console.log GUEST_PID=$work/qemu TMPDIR=$work

serves() { grep -q 'sectors O_RDWR' "$work/console.log" 2>/dev/null || ended guest; }
flushed() { [[ -s $work/writer.log ]] || ended writer; }
listening() { [[ -S $work/nbd ]]; }

# cut: nothing that happens to the disk after this counts, and the machine sees no more of it
cut() {
    alive writer || fail "the writer ended before the cut: $(tail -n 1 "$work/writer.log")"
    kill -KILL "${children[nbd]}" "$(<"$work/qemu")"
}

forgotten=0 jumps=0
for ((round = 1; round <= rounds; round++)); do
    rm -f "$medium" "$work/nbd" "$work/console.log" "$work/qemu" "$work/notes" "$work/image"
    truncate -s 64M "$medium"
    place=vda
    ((round % 2 == 1)) || place=ext4
    [[ $place == vda ]] || mkfs.ext4 -q -F "$medium"
    echo "$place" >"$work/job/place"
    spawn nbd net nbdkit -f --unix "$work/nbd" --filter=cache file "$medium" cache=writeback
    wait_for 10 "nbdkit" listening
    spawn guest net "$e2e/guest/run.sh" "$guest" "$work/job" 100
    wait_for 60 "the target in the guest" serves
    alive guest || fail "the guest ended before its time: $(tail -n 3 "$work/console.log")"

    spawn writer net "$stamp" write tap0 52:54:00:00:00:01 "$sectors" "$work/notes"
    wait_for 30 "the first flush" flushed
    sleep "$((RANDOM % 2)).$((RANDOM % 9 + 1))"
    cut
    finished nbd 10 2>/dev/null || true
    finished guest 10 2>/dev/null || true
    finished writer 20 || fail "the writer: $(tail -n 1 "$work/writer.log")"

    jumps=$((jumps + $(grep -c '^clock: ' "$work/console.log" || true)))
    image=$medium
    if [[ $place == ext4 ]]; then
        e2fsck -fy "$medium" >"$work/e2fsck.log" 2>&1 || (($? == 1)) || fail "e2fsck: $(tail -n 1 "$work/e2fsck.log")"
        image=$work/image
        debugfs -R "dump /disk $image" "$medium" >"$work/debugfs.log" 2>&1
        truncate -s $((sectors * 512)) "$image"
    fi
    status=0
    verdict=$("$stamp" check "$image" "$work/notes" "$promise") || status=$?
    show "$cache, round $round, $place: $(tail -n 1 "$work/writer.log"); $(head -n 1 <<<"$verdict")"
    ((status == 0)) || fail "acknowledged writes are not on the image: $verdict"
    [[ $verdict =~ ([1-9][0-9]*)\ sectors\ promised ]] || fail "nothing was promised in time: too early a cut"
    [[ $verdict =~ ([0-9]+)\ answered\ and ]] && forgotten=$((forgotten + BASH_REMATCH[1]))
done
# Else the cut proves nothing.
[[ $cache != writeback ]] || ((forgotten > 0)) || fail "nothing was lost that only the page cache had: was there a power cut?"
((jumps > 0)) || fail "the guest's clock did not jump"
show "$cache: $rounds power cuts, nothing lost or torn that was promised; the target's clock jumped $jumps times meanwhile"
