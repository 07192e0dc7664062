#!/bin/bash
# Debian's aoetools find what they expect: aoeping, aoecfg with each of its commands, and aoe-sancheck at MTU 1500 and
# 9000. These tools ignore a reply below 60 bytes, which nothing on a veth pair pads: the target must do it itself.
# (Debian's vblade does not, so this test fails with it.)
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

require_root
require_target
require aoeping aoetools
require aoecfg aoetools
require aoe-sancheck aoetools

# tool COMMAND...: run on the initiator's side; none of these may take long
tool() {
    bounded 20 ip netns exec "e2e$$-initiator" "$@"
}

# aoecfg_says WHAT EXPECTED ARGUMENT...: EXPECTED is what it prints of the answer, "nothing" when that is an empty line,
# "silence" when there was no answer
aoecfg_says() {
    local what=$1 expected=$2 got
    shift 2
    got=$(tool aoecfg -t 1 "$@" && echo .) || fail "aoecfg: $what: exit status $?"
    case $got in
    .) got=silence ;;
    $'\n.') got=nothing ;;
    *$'\n.') got=${got%$'\n.'} ;;
    esac
    equal "aoecfg: $what" "$got" "$expected"
    show "aoecfg, $what: ${got:0:40}"
}

# sancheck_finds MTU: the device line, with the payload that fits, and no warning below it
sancheck_finds() {
    local output sectors=$((($1 - 36) / 512))
    output=$(tool aoe-sancheck) || fail "aoe-sancheck at MTU $1: exit status $?"
    contains "aoe-sancheck at MTU $1, last line" "$(tail -n 1 <<<"$output")" \
        "^e7\.3[[:space:]]+1[[:space:]]+($((sectors * 512))|$((sectors / 8 * 8 * 512)))[[:space:]]+eth0\$"
    show "aoe-sancheck, MTU $1: $(tail -n 1 <<<"$output" | tr -s '\t ' ' ')"
}

disk=$work/disk.img
truncate -s 8M "$disk"
namespace target
namespace initiator
veth target initiator 1500
start_target target 7 3 eth0 "$disk"

note "aoeping"
tool aoeping -s 5 7 3 eth0 || fail "aoeping: exit status $?"
output=$(tool aoeping -v -s 5 7 3 eth0) || fail "aoeping -v: exit status $?"
contains "aoeping -v" "$output" '^found e7\.3 with mac 020000000001$'
show "aoeping: $(tail -n 1 <<<"$output")"
output=$(tool aoeping -I -s 5 7 3 eth0) || fail "aoeping -I: exit status $?"
contains "aoeping -I" "$output" '^serial_number: [^ ]'
contains "aoeping -I" "$output" '^model: [^ ]'
show "aoeping -I: $(sed -n 's/^\(model: .*[^ ]\) *$/\1/p' <<<"$output")"
if tool aoeping -s 1 7 4 eth0 >/dev/null 2>&1; then
    fail "aoeping finds e7.4, which nobody serves"
fi

note "aoecfg"
aoecfg_says "read, nothing set" nothing 7 3 eth0
aoecfg_says "set over nothing" alpha -c set -s alpha 7 3 eth0
aoecfg_says "read" alpha 7 3 eth0
aoecfg_says "read from everybody" $'7.3\talpha' eth0
aoecfg_says "test, equal" alpha -c test -s alpha 7 3 eth0
aoecfg_says "test, different" silence -c test -s alph 7 3 eth0
aoecfg_says "prefix, a prefix" alpha -c prefix -s al 7 3 eth0
aoecfg_says "prefix, none" silence -c prefix -s b 7 3 eth0
aoecfg_says "set over the same" alpha -c set -s alpha 7 3 eth0
aoecfg_says "set over another: refused" '*badcfg*' -c set -s beta 7 3 eth0
aoecfg_says "read, unchanged" alpha 7 3 eth0
aoecfg_says "fset over another" gamma -c fset -s gamma 7 3 eth0
long=$(printf 'long%0996d' 1)
aoecfg_says "fset of 1000 bytes" "$long" -c fset -s "$long" 7 3 eth0
aoecfg_says "read of 1000 bytes" "$long" 7 3 eth0
aoecfg_says "fset to nothing" nothing -c fset -s '' 7 3 eth0
aoecfg_says "set over nothing again" kept -c set -s kept 7 3 eth0

note "aoe-sancheck"
sancheck_finds 1500
stop_target
for ns in target initiator; do
    ip -n "e2e$$-$ns" link set eth0 mtu 9000
done
start_target target 7 3 eth0 "$disk"
sancheck_finds 9000
aoecfg_says "read after a restart of the target" kept 7 3 eth0
stop_target
