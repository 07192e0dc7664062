# shellcheck shell=bash
# API documentation, and what the command's own definition gives: man page and completions.

say docs
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked
mkdir -p target/assets
VBLADE_ASSETS_DIR=$PWD/target/assets cargo build --locked -p vblade-cli
ls target/assets
