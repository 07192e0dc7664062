#!/bin/bash
# The Debian package does what a package should, on a small Debian 12 that systemd boots (in a container): it installs, starts the daemon,
# serves what the configuration then says, reloads, restarts what was killed, takes itself for an upgrade, goes, and leaves nothing; and it takes the
# place of Debian's own vblade, with the exports of that one's configuration.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

release=bookworm
aoe=$target_dir/release/aoe
base=$target_dir/e2e/root-$release.tar

require_root
require ip iproute2
require mmdebstrap mmdebstrap
require systemd-nspawn systemd-container
require lintian lintian
require apt-get apt

# in_system COMMAND...: in the container, bounded
in_system() {
    timeout --kill-after=5 60 nsenter --target "$leader" --all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}

# boot: starts the container on $root, and waits until its systemd has started everything
boot() {
    : >"$work/system.log"
    # Capabilities, since units cannot have what the container has not.
    systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --machine="e2e$$" --console=pipe --capability=all \
        --network-namespace-path="/run/netns/e2e$$-target" </dev/null >>"$work/system.log" 2>&1 &
    children[system]=$!
    wait_for 20 "the container's first process" booting
    wait_for 60 "systemd in the container" booted
}

booting() {
    alive system || missing "cannot boot a container here: $(tail -n 1 "$work/system.log")"
    leader=$(pgrep --parent "${children[system]}" --oldest systemd)
}

booted() { [[ $(in_system systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; }

# halt: orders the container's systemd to power off
halt() {
    kill -RTMIN+4 "$leader"
    finished system 60 || fail "the container ended with status $?"
}

# The control groups of the container, which nspawn leaves where systemd is not the host's.
undo() {
    find /sys/fs/cgroup -depth -type d \( -path '*/payload*' -o -path '*/supervisor*' \) -exec rmdir {} + 2>/dev/null
}

# files: what is in the root, apart from what any system writes as it goes
files() {
    (cd "$root" && find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./tmp -o -path ./run -o -path './var/lib/dpkg' \
        -o -path './var/lib/systemd/[^d]*' -o -path ./var/tmp \) -prune -o -print | grep -vE '^./etc/(ld.so.cache|machine-id|hostname|resolv.conf|mtab|\.pwd\.lock|\.updated)$' | sort)
}

# left SINCE: what is there more than files said then
left() { comm -13 "$1" <(files); }

# finds ADDRESS...: whether the other side discovers these exports and no others
finds() {
    local found
    found=$(bounded 10 ip netns exec "e2e$$-initiator" "$aoe" discover -i eth0 --json 2>/dev/null | grep -oE '"address": ?"[0-9.e]+"' | grep -oE '[0-9]+\.[0-9]+' | sort -u | xargs)
    [[ $found == "$*" ]]
}

# keeps ADDRESS SECTOR: whether what is written there is read again
keeps() {
    head -c 8192 /dev/urandom >"$work/written"
    bounded 10 ip netns exec "e2e$$-initiator" "$aoe" write -i eth0 --offset "$2" "$1" "$work/written" >>"$work/aoe.log" 2>&1 || return 1
    bounded 10 ip netns exec "e2e$$-initiator" "$aoe" read -i eth0 --offset "$2" --length 16 "$1" >"$work/read" 2>>"$work/aoe.log" || return 1
    cmp "$work/written" "$work/read"
}

unit() { in_system systemctl show --property "$2" --value "$1"; }

journal() { in_system journalctl --no-pager --output=cat --unit "$1"; }

note "building the package"
(cd "$repo" && ./x package) >"$work/build.log" 2>&1 || fail "./x package: $(tail -n 1 "$work/build.log")"
deb=$(ls "$target_dir"/debian/vblade-rs_*.deb)
show "$(basename "$deb"), $(stat -c %s "$deb") bytes"

note "lintian"
# Statically linked crates have no packages of theirs, and there is no bug to close.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$deb" || fail "lintian has complaints"

if [[ ! -e $base ]]; then
    note "making a Debian $release"
    mkdir -p "$(dirname "$base")"
    mmdebstrap --quiet --variant=minbase --include=systemd-sysv "$release" "$work/base.tar" || fail "mmdebstrap: exit status $?"
    mv "$work/base.tar" "$base"
fi
root=$work/root
mkdir "$root"
tar -C "$root" -xpf "$base" --exclude='./dev/*'
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "vblade/$release") || fail "apt-get download vblade: exit status $?"
debian=$(ls "$work"/vblade_*.deb)

namespace target
namespace initiator
veth target initiator 9000
mkdir -p "$root/srv"
truncate -s 8M "$root/srv/a.img" "$root/srv/b.img" "$root/srv/c.img"
boot
mkdir "$root/root/packages"
cp "$deb" "$root/root/packages/ours.deb"
cp "$debian" "$root/root/packages/debian.deb"
files >"$work/before"

note "installing"
in_system dpkg -i /root/packages/ours.deb >"$work/dpkg.log" 2>&1 || fail "dpkg -i: $(tail -n 1 "$work/dpkg.log")"
equal "the daemon after the installation" "$(unit vbladed ActiveState)" active
equal "whether it will be started at boot" "$(in_system systemctl is-enabled vbladed)" enabled
finds || fail "something is served before anything was configured"
in_system vbladed check >"$work/check.log" 2>&1 || fail "the configuration that comes with it: $(<"$work/check.log")"
for program in vblade vbladed vbladectl aoe; do
    in_system "$program" --version >/dev/null || fail "$program --version: exit status $?"
    [[ -e $root/usr/share/man/man8/$program.8.gz ]] || fail "no manual page of $program"
    [[ -e $root/usr/share/bash-completion/completions/$program ]] || fail "no completions of $program"
done

note "systemd's opinion"
in_system systemd-analyze verify --man=no vbladed.service vblade.service vblade@x.service >"$work/verify.log" 2>&1 || fail "systemd-analyze verify: $(<"$work/verify.log")"
[[ ! -s $work/verify.log ]] || fail "systemd-analyze verify: $(<"$work/verify.log")"
# exposed UNIT TENTHS: by systemd's measure, where 10 is no protection, and no more than this
exposed() {
    local line
    line=$(in_system systemd-analyze security --no-pager "$1" | tail -n 1)
    show "${line#* }"
    [[ $line =~ :\ ([0-9]+)\.([0-9]) ]] || fail "systemd-analyze security $1: $line"
    ((${BASH_REMATCH[1]}${BASH_REMATCH[2]} <= $2)) || fail "$1 is more exposed than it was"
}
exposed vbladed.service 31
exposed vblade@x.service 28

note "two exports"
cat >>"$root/etc/vblade/vblade.toml" <<'END'
[[export]]
address = "7.3"
path = "/srv/a.img"
interfaces = ["eth0"]

[[export]]
address = "7.4"
path = "/srv/b.img"
interfaces = ["eth0"]
END
in_system systemctl reload vbladed || fail "systemctl reload: $(journal vbladed | tail -n 3)"
wait_for 10 "both exports" finds 7.3 7.4
keeps e7.3 0 || fail "e7.3 does not keep what is written"
keeps e7.4 64 || fail "e7.4 does not keep what is written"
cmp --bytes=8192 "$work/written" "$root/srv/b.img" 0 32768 || fail "what was written is not in the image"
status=$(in_system vbladectl status) || fail "vbladectl status: exit status $?"
show "vbladectl: $(head -n 1 <<<"$status")"
contains "vbladectl exports" "$(in_system vbladectl exports)" '7\.3.*up'
pid=$(unit vbladed MainPID)

note "a third one, by SIGHUP; and a mistake"
printf '\n[[export]]\naddress = "7.5"\npath = "/srv/c.img"\ninterfaces = ["eth*"]\n' >>"$root/etc/vblade/vblade.toml"
in_system systemctl kill --kill-whom=main --signal=HUP vbladed
wait_for 10 "the third export" finds 7.3 7.4 7.5
cp "$root/etc/vblade/vblade.toml" "$work/good.toml"
echo 'adress = 1' >>"$root/etc/vblade/vblade.toml"
if in_system systemctl reload vbladed 2>/dev/null; then fail "a file with a mistake was taken"; fi
contains "the journal" "$(journal vbladed)" 'vblade\.toml:[0-9]+:[0-9]+: .*adress'
finds 7.3 7.4 7.5 || fail "a file with a mistake changed something"
cp "$work/good.toml" "$root/etc/vblade/vblade.toml"
equal "the process after all this" "$(unit vbladed MainPID)" "$pid"

served_anew() { [[ $(unit vbladed MainPID) != "$pid" && $(unit vbladed ActiveState) == active ]] && finds 7.3 7.4 7.5; }
note "killed"
in_system systemctl kill --kill-whom=main --signal=KILL vbladed
wait_for 20 "the exports after SIGKILL" served_anew
pid=$(unit vbladed MainPID)

note "watched: not killed for idleness, but when it hangs"
watch=/run/systemd/system/vbladed.service.d
in_system sh -c "mkdir -p $watch && printf '[Service]\nWatchdogSec=6\n' >$watch/watchdog.conf && systemctl daemon-reload && systemctl restart vbladed"
wait_for 20 "the exports after a restart" served_anew
pid=$(unit vbladed MainPID)
sleep 8
equal "the process after 8 idle seconds" "$(unit vbladed MainPID)" "$pid"
in_system systemctl kill --kill-whom=main --signal=STOP vbladed
wait_for 30 "the exports after SIGSTOP" served_anew
pid=$(unit vbladed MainPID)
in_system sh -c "rm -r $watch && systemctl daemon-reload"

note "upgraded"
in_system dpkg -i /root/packages/ours.deb >"$work/dpkg.log" 2>&1 || fail "dpkg -i, again: $(tail -n 1 "$work/dpkg.log")"
wait_for 20 "the exports after an upgrade" served_anew

note "removed"
in_system dpkg -r vblade-rs >"$work/dpkg.log" 2>&1 || fail "dpkg -r: $(tail -n 1 "$work/dpkg.log")"
finds || fail "something is served by a package that is gone"
! pgrep --ns "$leader" --nslist pid vblade >/dev/null || fail "a process is left"
! in_system test -e /run/vblade || fail "/run/vblade is left"
# Debian masks the units of packages that are removed and not purged.
unexpected=$(left "$work/before" | grep -vE '^\./(etc/vblade(/vblade\.toml)?|var/lib/vblade(/.*)?|etc/systemd/system/(multi-user\.target\.wants/)?vbladed?\.service|var/lib/systemd/deb-systemd-helper-.*)$' || true)
[[ -z $unexpected ]] || fail "left after removal: $unexpected"

note "purged"
in_system dpkg -P vblade-rs >"$work/dpkg.log" 2>&1 || fail "dpkg -P: $(tail -n 1 "$work/dpkg.log")"
unexpected=$(left "$work/before")
[[ -z $unexpected ]] || fail "left after purging: $unexpected"

note "in place of Debian's vblade"
in_system dpkg -i /root/packages/debian.deb >"$work/dpkg.log" 2>&1 || fail "Debian's vblade: $(tail -n 1 "$work/dpkg.log")"
printf 'shelf=8\nslot=1\nnetif=eth0\nfilename=/srv/a.img\noptions="-b 32"\n' >"$root/etc/vblade.conf.d/web1.conf"
in_system systemctl daemon-reload
in_system systemctl start vblade
wait_for 10 "the export of Debian's vblade" finds 8.1
in_system dpkg -i /root/packages/ours.deb >"$work/dpkg.log" 2>&1 || fail "dpkg -i in place of Debian's: $(tail -n 1 "$work/dpkg.log")"
# Files of both may have one name by two ways (/lib is /usr/lib).
# shellcheck disable=SC2016 # for the shell in there
missing_files=$(in_system sh -c 'dpkg -L vblade-rs | while read -r file; do [ -e "$file" ] || echo "$file"; done')
[[ -z $missing_files ]] || fail "lost when Debian's package went: $missing_files"
wait_for 20 "the export of Debian's configuration" finds 8.1
keeps e8.1 8 || fail "e8.1 does not keep what is written"
show "Debian's web1.conf: $(in_system systemctl show --property ExecStart --value vblade@web1 | grep -oE 'argv\[\]=[^;]*')"

halt
