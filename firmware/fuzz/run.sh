#!/bin/sh
# Fuzzes the firmware: the frame decoder (`frames`) and the whole companion (`companion`), each for so many
# seconds (60 if not said), or one of them. Fails when something is found: the input is then in
# ${XDG_CACHE_HOME:-~/.cache}/anchorwatch/fuzz. What reaches something new is kept there, too, and is where the
# next run begins.
#
#   firmware/fuzz/run.sh [SECONDS [TARGET]]
#   firmware/fuzz/run.sh --keep               take what was found into seeds/, as few inputs as reach as much
#
# seeds/ has the inputs that every machine begins with, an archive for each target. Only --keep writes there.
#
# The compiler's instrumentation is asked for here, so that a stable toolchain and no cargo-fuzz will do;
# `cargo fuzz run frames` works as well, without seeds.
set -eu
cd "$(dirname "$0")"
keep=
[ "${1:-}" != --keep ] || keep=yes
seconds=${1:-60}
targets=${2:-frames companion}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/fuzz

. ../../scripts/debian-packages.sh
command -v g++ >/dev/null || need g++

target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1" \
    CARGO_TARGET_DIR="$cache/target" cargo build --release --locked --target "$target"

for what in $targets; do
    program=$cache/target/$target/release/$what
    found=$cache/found/$what
    mkdir -p "$found"
    seeds=$(mktemp -d)
    trap 'rm -r "$seeds"' EXIT
    tar -xzf "seeds/$what.tar.gz" -C "$seeds"
    if [ -n "$keep" ]; then
        kept=$(mktemp -d)
        # Edges only: how often each is passed would keep many times as many inputs.
        "$program" -merge=1 -use_counters=0 -set_cover_merge=1 -max_len=4096 "$kept" "$seeds" "$found"
        tar -C "$kept" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | gzip -9n >"seeds/$what.tar.gz"
        rm -r "$kept"
    else
        "$program" -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$cache/$what-" "$found" "$seeds"
    fi
    rm -r "$seeds"
    trap - EXIT
done
