#!/bin/sh
# Builds the program as it is shipped (profile `dist`: one small file that needs only the C library, and
# an old one will do; with musl, not even that) for this machine or, on Debian, for an ARM board, and
# prints where it lies.
#
#   scripts/build.sh x86_64|aarch64|armv7|x86_64-musl|aarch64-musl
set -eu
cd "$(dirname "$0")/.."

case ${1:-} in
x86_64)
    scripts/install-packages.sh
    cargo=cargo target=x86_64-unknown-linux-gnu std=''
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
    ;;
aarch64 | armv7)
    board=$1
    . scripts/arm-toolchain.sh
    ;;
x86_64-musl | aarch64-musl)
    board=$1
    . scripts/musl-toolchain.sh
    ;;
*)
    echo "usage: $0 x86_64|aarch64|armv7|x86_64-musl|aarch64-musl" >&2
    exit 2
    ;;
esac

. scripts/shipping.sh
# shellcheck disable=SC2086 # $std is one argument or none
$cargo build --locked --profile dist --bin anchorwatch --target "$target" $std >&2
echo "$CARGO_TARGET_DIR/$target/dist/anchorwatch"
