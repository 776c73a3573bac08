#!/bin/sh
# Builds the firmware for QEMU's mps2-an386 (a Cortex-M4) and joins it, in QEMU, with the host's side of
# the link; runs a whole network on it; and checks that nothing can panic and how deep the stack can get.
# From a bare Debian 12 with a Rust toolchain on; needs root (or sudo) once, for the packages. Further
# arguments go to the test programs.
set -eu
cd "$(dirname "$0")"
. ./debian-toolchain.sh

need_packages qemu-system-arm python3
need_network
# Linked so that this fails if anything can panic: see boards/qemu/src/lib.rs.
build_board qemu --bins
programs=$cache/target/thumbv7em-none-eabihf/release
./stack.py --limit 8192 "$programs/companion"

cd boards/tests
export ANCHORWATCH_QEMU_FIRMWARE="$programs"
export CARGO_TARGET_DIR="$cache/tests"
cargo test --locked -- --nocapture "$@"
