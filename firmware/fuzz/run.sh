#!/bin/sh
# Fuzzes the firmware: the frame decoder and the whole companion, each for so many seconds (60 if not said),
# and keeps the inputs that reach something new in corpus/.
#
#   firmware/fuzz/run.sh [SECONDS]
#
# The compiler's instrumentation is asked for here, so that a stable toolchain and no cargo-fuzz will do;
# `cargo fuzz run frames` works as well.
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/fuzz

command -v g++ >/dev/null || {
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -q
    $as_root apt-get install -y -q --no-install-recommends g++
}

target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1" \
    CARGO_TARGET_DIR="$cache/target" cargo build --release --locked --target "$target"

for what in frames companion; do
    mkdir -p "corpus/$what" "$cache/found/$what"
    "$cache/target/$target/release/$what" -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$cache/" "$cache/found/$what" "corpus/$what"
    # Only what reaches something that the corpus does not.
    "$cache/target/$target/release/$what" -merge=1 -max_len=4096 "corpus/$what" "$cache/found/$what"
done
