#!/bin/sh
# From a fresh machine (Debian, a Rust toolchain) to the first verdicts: installs what the build
# needs, builds anchorwatch, and runs the embedded model on the sample frames. Further arguments
# go to `anchorwatch run`.
set -eu
cd "$(dirname "$0")/.."
scripts/install-packages.sh
# As a part of the workspace: the tests then have nothing of it to build again.
cargo build --release --workspace --bin anchorwatch
exec "${CARGO_TARGET_DIR:-target}/release/anchorwatch" run --demo "$@"
