#!/bin/sh
# Format, lints and documentation: what must be clean before a merge, besides the tests. Needs
# libtorch, as the tests do.
set -eu
cd "$(dirname "$0")/.."
scripts/install-packages.sh tests
if [ -z "${LIBTORCH:-}" ]; then
    LIBTORCH=$(train/setup-libtorch.sh)
    export LIBTORCH
fi
cargo fmt --all --check
cargo clippy --release --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
