#!/bin/sh
# Builds the firmware for QEMU's mps2-an386 (a Cortex-M4) and joins it, in QEMU, with the host's side of
# the link; runs a whole network on it; and checks that nothing can panic and how deep the stack can get.
# From a bare Debian 12 with a Rust toolchain on; needs root (or sudo) once, for the packages. Further
# arguments go to the test programs.
set -eu
cd "$(dirname "$0")"
. ./debian-toolchain.sh

need qemu-system-arm python3
need_network
# Linked so that this fails if anything can panic: see boards/qemu/src/lib.rs.
build_board qemu --bins
programs=$cache/target/thumbv7em-none-eabihf/release
check_stack companion
check_stack network
# And so that the check is one: a program that can panic is not linked.
if output=$(build_board qemu --bin panics --features can-panic 2>&1); then
    echo "test-qemu: a program that can panic was linked" >&2
    exit 1
elif ! echo "$output" | grep -q something_can_panic; then
    echo "$output" >&2
    exit 1
fi

cd boards/tests
export ANCHORWATCH_QEMU_FIRMWARE="$programs"
export CARGO_TARGET_DIR="$cache/tests"
cargo test --locked -- --nocapture "$@"
