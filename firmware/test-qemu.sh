#!/bin/sh
# Builds the firmware for QEMU's mps2-an386 (a Cortex-M4) and joins it, in QEMU, with the host's side of
# the link. From a bare Debian 12 with a Rust toolchain on; needs root (or sudo) once, for the packages.
# Further arguments go to the test programs.
#
# The firmware is built with Debian's own Rust (packages *-web), which has the standard library's
# sources where cargo looks for them; the tests are built with whatever cargo is the usual one. The
# firmware is linked so that this fails if anything in the companion can panic.
set -eu
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/qemu
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

missing=
for package in rustc-web cargo-web rust-web-src binutils-arm-none-eabi qemu-system-arm; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install -y -q --no-install-recommends $missing
fi

# The network: that of ANCHORWATCH_NETWORK and ANCHORWATCH_VECTORS (files of `anchorwatch firmware`), or
# else a random one.
if [ -z "${ANCHORWATCH_NETWORK:-}" ]; then
    mkdir -p "$cache/network"
    (cd boards/tests && CARGO_TARGET_DIR="$cache/tests" cargo run -q --locked --bin make-network "$cache/network")
    ANCHORWATCH_NETWORK=$cache/network/network.bin
    ANCHORWATCH_VECTORS=$cache/network/vectors.bin
fi
export ANCHORWATCH_NETWORK ANCHORWATCH_VECTORS
(
    cd boards/qemu
    unset RUSTUP_TOOLCHAIN
    PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$cache/firmware" \
        /usr/bin/cargo build --release --locked -Zbuild-std=core,alloc --bins
)
cd boards/tests
export ANCHORWATCH_QEMU_FIRMWARE="$cache/firmware/thumbv7em-none-eabihf/release"
export CARGO_TARGET_DIR="$cache/tests"
cargo test --locked -- --nocapture "$@"
