#!/bin/bash
# Runs every end-to-end shell test, one after the other, and counts: exit status 1 when one failed, or when one was
# skipped although CI=true.
set -euo pipefail
cd "$(dirname "$0")"

tests=(
    setcap.sh
    package.sh
    aoetools.sh
    ipxe.sh
    'kernel.sh 6.1 1500'
    'kernel.sh 6.1 9000'
    'kernel.sh 6.12 1500'
    'kernel.sh 6.12 9000'
    'kernel.sh 6.12 9000 chain'
    'kernel.sh 6.12 1500 xdp'
    'kernel.sh 6.12 9000 xdp'
    'kernel-faults.sh 6.12 9000'
    'power-cut.sh writethrough'
    'power-cut.sh directsync'
    'power-cut.sh writeback'
)

passed=0 failed=0 skipped=0 table=''
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for test in "${tests[@]}"; do
    echo "=== $test"
    start=$SECONDS status=0
    read -ra command <<<"$test"
    "./${command[0]}" "${command[@]:1}" || status=$?
    case $status in
    0) result=passed passed=$((passed + 1)) ;;
    77) result=skipped skipped=$((skipped + 1)) ;;
    *) result=FAILED failed=$((failed + 1)) ;;
    esac
    table+=$(printf '%-8s %4d s  %s' "$result" $((SECONDS - start)) "$test")$'\n'
done

printf '\n%s' "$table"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0)) || exit 1
[[ ${CI:-} != true ]] || ((skipped == 0))
