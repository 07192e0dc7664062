# shellcheck shell=bash
# Proves that aoe-wire needs neither std nor alloc: it links into a library with a panic handler of its own and no allocator (std or
# alloc in the tree make that fail), and no dependency of it has such a feature on.
cargo build --locked --quiet --manifest-path aoe-wire/no_std-check/Cargo.toml --target-dir target/no_std
cargo fmt --manifest-path aoe-wire/no_std-check/Cargo.toml -- --check
if cargo tree --locked -p aoe-wire -e normal,features,no-proc-macro | grep -E 'feature "(std|alloc)"'; then
    echo "x: aoe-wire builds a dependency with std or alloc" >&2
    exit 1
fi
echo "aoe-wire links without std and alloc"
