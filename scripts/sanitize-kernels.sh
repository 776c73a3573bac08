#!/bin/sh
# Runs the tests of the int8 kernels under AddressSanitizer: every version that this processor has,
# the scalar one first, with the random shapes, strides, paddings, groups, zero points and scales of
# the property tests. An access outside a tensor, weights or workspace ends the test with a report,
# by the SIMD versions too. Needs Rust for x86-64 or 64-bit ARM on Linux; its stable compiler has
# the sanitizer, but wants to be told that one knows it may change. Further arguments go to the
# test program.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/sanitize}"
# With a target, build scripts and macros of other crates are left as they are.
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes"
# Leaks are not looked for: that does not work everywhere, and nothing here could leak.
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0}"
exec cargo test --release --lib --target "$host" -p anchorwatch-kernels -- "$@"
