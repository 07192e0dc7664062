# shellcheck shell=bash
# The Debian package, into target/debian: programs, manual pages, completions, units, configuration. What goes where is said in
# vblade-cli/Cargo.toml; e2e/package.sh installs and removes it.

say "package: programs, manual pages, completions"
target=${CARGO_TARGET_DIR:-$PWD/target}
version=$(cargo metadata --locked --no-deps --format-version 1 | grep -oP '"name":"vblade-cli","version":"\K[^"]+')
grep -q "^vblade-rs ($version-1) " contrib/deb/changelog || {
    echo "x: contrib/deb/changelog does not name $version-1: write an entry" >&2
    exit 1
}
# Where the build script has put manual pages and completions. To name a place of our own would mean to build anew.
made=$(cargo build --release --locked --quiet -p vblade-cli --message-format=json |
    grep '"reason":"build-script-executed"' | grep -oP '[/#]vblade-cli[#@].*"out_dir":"\K[^"]+')
rm -rf "$target/release/assets"
cp -r "$made" "$target/release/assets"
# cargo-deb compresses manual pages, but not those in target/release.
gzip -9n "$target"/release/assets/*.8

say "package: vblade-rs $version"
rm -f "$target"/debian/vblade-rs_*.deb
cargo deb --locked --no-build --quiet -p vblade-cli
ls -l "$target"/debian/vblade-rs_*.deb
