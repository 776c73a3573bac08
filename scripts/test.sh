#!/bin/sh
# Every test, the trainer's included, from a fresh machine (Debian, a Rust toolchain) on: installs
# what they need, sets libtorch and the pretrained weights up in the cache folder, and runs them.
# Further arguments go to `cargo test`.
set -eu
cd "$(dirname "$0")/.."
scripts/install-packages.sh tests
if [ -z "${LIBTORCH:-}" ]; then
    LIBTORCH=$(train/setup-libtorch.sh)
    export LIBTORCH
fi
# The tutorial is run, and begins with pretrained weights.
train/setup-weights.sh >/dev/null || echo "test: without the pretrained weights, the tests that need them are skipped" >&2
# The release profile, so that each dependency is built once: unoptimised, training is far too slow.
exec cargo test --release --workspace "$@"
