# shellcheck shell=bash
# End to end: the real binary, over interfaces in private namespaces, against real initiators.

say "end to end: conformance cases, captures replayed"
cargo build --release --locked --quiet -p vblade-cli
# Most of a test's time is waiting, so more threads than processors.
cargo test --locked -p e2e -- --test-threads=8

say "end to end: conformance cases, captures replayed, over AF_XDP"
cases=(backend commands config header identify io link mask order replay reserve robustness)
if [ "$(id -u)" = 0 ]; then
    E2E_LINK=xdp cargo test --locked -p e2e "${cases[@]/#/--test=}" -- --test-threads=8
else
    echo "SKIP: conformance cases over AF_XDP: needs root"
fi

say "end to end: the Linux driver, iPXE, aoetools"
e2e/all.sh
