#!/bin/bash
# An ordinary user exports a disk when the program's file has the capability cap_net_raw, and is told how to give it
# that when it has not.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require setcap libcap2-bin
require setpriv util-linux
require aoeping aoetools

# An ordinary user without any privilege, with a home like everybody's.
as_nobody=(env -u STATE_DIRECTORY HOME="$work/home" setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all)

# A copy of our own that this user may execute, and a disk that the user may write.
chmod 755 "$work"
mkdir "$work/home"
chown 65534:65534 "$work/home"
cp "$vblade" "$work/vblade"
chmod 755 "$work/vblade"
truncate -s 8M "$work/disk.img"
chown 65534:65534 "$work/disk.img"

namespace target
namespace initiator
veth target initiator 1500

note "without the capability"
status=0
bounded 10 ip netns exec "e2e$$-target" "${as_nobody[@]}" \
    "$work/vblade" 7 3 eth0 "$work/disk.img" >"$work/refused.log" 2>&1 || status=$?
((status != 0)) || fail "it claims success without the permission to serve"
((status != 124)) || fail "it neither serves nor ends"
contains "the message" "$(<"$work/refused.log")" 'setcap cap_net_raw\+ep'
show "exit status $status: $(grep -m 1 setcap "$work/refused.log")"

note "with it"
setcap cap_net_raw+ep "$work/vblade" || missing "cannot set file capabilities in $work"
vblade=$work/vblade
spawn target target "${as_nobody[@]}" "$vblade" 7 3 eth0 "$work/disk.img"
wait_for 15 "the target to serve" served_or_ended
alive target || fail "the target did not start: $(tail -n 1 "$work/target.log")"
equal "user of the target" "$(awk '$1 == "Uid:" { print $2 }' "/proc/${children[target]}/status")" 65534
output=$(bounded 10 ip netns exec "e2e$$-initiator" aoeping -v -s 5 7 3 eth0) || fail "aoeping: no answer"
contains "aoeping -v" "$output" '^found e7\.3 with mac 020000000001$'
show "as user 65534: $(tail -n 1 <<<"$output")"
stop_target
