# shellcheck shell=bash
# Installs what the tests need and the machine lacks: Debian packages, and cargo-fuzz, cargo-deny and cargo-deb from crates.io.

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "x: needs root to install packages: run as root, or install by hand: ${packages[*]}" >&2
        exit 1
    fi
}

say setup
mapfile -t wanted < <(sort -u scripts/packages.txt e2e/packages.txt)
packages=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || packages+=("$package")
done
if [ ${#packages[@]} -gt 0 ]; then
    echo "installing: ${packages[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
elif [ -z "$(find /var/lib/apt/lists -name '*Packages*' -print -quit 2>/dev/null)" ]; then
    # The guests' kernels are looked up in the package lists.
    as_root apt-get update -qq
fi
for tool in cargo-fuzz cargo-deny; do
    command -v "$tool" >/dev/null || cargo install --locked --quiet "$tool"
done
# Another version may write other maintainer scripts than those that were tested.
[ "$(cargo deb --version 2>/dev/null)" = 3.8.0 ] || cargo install --locked --quiet cargo-deb@3.8.0
rustup component add rustfmt clippy 2>/dev/null || cargo clippy --version >/dev/null
echo "everything is there"
