# shellcheck shell=bash
# What can be said of the code without running it.

say "lint: formatting"
cargo fmt --all --check

say "lint: clippy"
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

say "lint: documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked --quiet

say "lint: who may import whom"
# normal_deps CRATE: every crate in its dependency tree, as it is built for users
normal_deps() { cargo tree --locked -p "$1" -e normal --prefix none --format '{p}' | awk '{print $1}' | sort -u; }
# forbid CRATE NAME...: fails when one of the names is in the tree of the crate
forbid() {
    local crate=$1 tree name
    shift
    tree=$(normal_deps "$crate")
    for name in "$@"; do
        if grep -qx -- "$name" <<<"$tree"; then
            echo "x: $crate must not depend on $name: $(cargo tree --locked -p "$crate" -e normal -i "$name" --prefix none | tr '\n' ' ')" >&2
            exit 1
        fi
    done
    echo "$crate: none of $*"
}
published=(aoe-wire bdev bdev-uring aoe-l2 aoe-target aoe-initiator aoe-link vblade-cli)
forbid aoe-wire bdev-uring bdev aoe-l2 aoe-target aoe-initiator aoe-link vblade-cli bytes libc rustix tokio
forbid bdev bdev-uring io-uring aoe-wire aoe-l2 aoe-target aoe-initiator aoe-link vblade-cli pnet tokio
forbid bdev-uring aoe-wire aoe-l2 aoe-target aoe-initiator aoe-link vblade-cli pnet tokio
forbid aoe-l2 bdev-uring aoe-target aoe-initiator aoe-link vblade-cli pnet tokio
forbid aoe-target bdev-uring aoe-initiator aoe-link vblade-cli pnet tokio
forbid aoe-initiator bdev-uring aoe-target aoe-link vblade-cli pnet tokio
forbid aoe-link bdev-uring aoe-target aoe-initiator vblade-cli tokio
forbid vblade-cli tokio async-std
# System calls come with bdev's files, and are not for the engines themselves.
for crate in aoe-l2 aoe-target; do
    if cargo tree --locked -p "$crate" -e normal --depth 1 --prefix none | grep -q '^libc '; then
        echo "x: $crate must not import libc" >&2
        exit 1
    fi
done
for crate in "${published[@]}"; do
    if cargo tree --locked -p "$crate" -e normal,features --prefix none | grep -q 'bdev feature "testing"'; then
        echo "x: $crate builds bdev's test tools into the product" >&2
        exit 1
    fi
done
for crate in "${published[@]}"; do
    if cargo tree --locked -p "$crate" -e normal,features --prefix none | grep -q 'aoe-target feature "sabotage"'; then
        echo "x: $crate builds aoe-target without its protections" >&2
        exit 1
    fi
done
# Words that name another layer's business.
if grep -rniE '\b(aoe|ethernet|ata)\b' bdev/src bdev-uring/src; then
    echo "x: bdev and bdev-uring know no network protocol" >&2
    exit 1
fi
if grep -rnE '\b(std::fs|std::net|std::thread|Instant|SystemTime|unsafe)\b' aoe-target/src | grep -vE ':\s*//|forbid\(unsafe_code\)'; then
    echo "x: aoe-target is pure: no files, sockets, threads, clocks, unsafe code" >&2
    exit 1
fi
# Clock and waiting of the initiator are in these files, behind the feature `disk`.
if grep -rnE '\b(std::fs|std::net|std::thread|Instant|SystemTime|unsafe)\b' aoe-initiator/src \
    | grep -vE '^aoe-initiator/src/(disk|driver|driver/.*)\.rs:|:\s*//|forbid\(unsafe_code\)'; then
    echo "x: the core of aoe-initiator is pure: no files, sockets, threads, clocks, unsafe code" >&2
    exit 1
fi
cargo check --quiet --locked -p aoe-initiator --no-default-features

say "lint: aoe-wire without std"
. scripts/no-std.sh

say "lint: licences and sources of dependencies"
cargo deny --locked --log-level error check licenses bans sources

say "lint: packages"
for crate in "${published[@]}"; do
    cargo package --list --locked --allow-dirty -p "$crate" >/dev/null
done
# Cargo takes packages for unchangeable, and would build what it unpacked and compiled of the last run's.
rm -rf target/packaged
for crate in "${published[@]}"; do
    rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/"$crate"-[0-9]*
done
# Without the network nothing can be published; packaging and building what was packed is as far as it goes.
cargo package --workspace --locked --allow-dirty --offline --quiet --target-dir target/packaged --exclude benches --exclude e2e --exclude sim

say "lint: shell scripts"
git ls-files -co --exclude-standard | while read -r file; do
    case $file in
        *.sh | x | .ci/run) echo "$file" ;;
        *) head -c 20 "$file" 2>/dev/null | tr -d '\0' | grep -qE '^#!.*((ba)?sh|openrc-run)' && echo "$file" ;;
    esac || true
done | xargs shellcheck -x --source-path=SCRIPTDIR

say "lint: man pages"
mkdir -p target/assets
VBLADE_ASSETS_DIR=$PWD/target/assets cargo build --quiet --locked -p vblade-cli
# clap_mangen draws some layout warnings; errors are ours.
mandoc -T lint -W error target/assets/vblade.8 target/assets/aoe.8 target/assets/vbladectl.8
