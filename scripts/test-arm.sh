#!/bin/sh
# Runs, for an ARM board and under emulation, the tests of the core, the int8 kernels and the runtime,
# and the program itself: on the sample frames it must give the verdicts that it gives on this machine, from
# the same logits to the last bit. From a bare Debian 12 on; needs root (or sudo) once, for the
# packages.
#
#   scripts/test-arm.sh [aarch64|armv7] [--quick] [ARGUMENTS OF THE TEST PROGRAMS]
#
# aarch64 is tested twice: as a Cortex-A72 (NEON and no more, as a Raspberry Pi 4), and as a processor
# that has everything the emulator knows, dot product and matrix product among it. --quick: the core
# and the kernels only, without the runtime, which takes many minutes to build.
set -eu
cd "$(dirname "$0")/.."

board=aarch64
case ${1:-} in aarch64 | armv7) board=$1 && shift ;; esac
quick=
if [ "${1:-}" = --quick ]; then quick=yes && shift; fi

# The program of this machine. As part of the workspace: what the other tests have built is used.
host=
if [ -z "$quick" ]; then
    scripts/install-packages.sh
    cargo build -q --release --workspace --bin anchorwatch
    host=${CARGO_TARGET_DIR:-$PWD/target}/release/anchorwatch
fi

. scripts/arm-toolchain.sh

# The quick ones in the profile of all tests; the runtime as it is shipped.
profile=release
if [ -z "$quick" ]; then
    profile=dist
    . scripts/shipping.sh
fi

# Builds a crate's tests; prints the program.
build() {
    # shellcheck disable=SC2086 # $std is one argument or none
    if ! messages=$($cargo test --locked --profile $profile --lib --target $target $std --no-run "$@" 2>&1); then
        echo "$messages" >&2
        return 1
    fi
    echo "$messages" | sed -n 's/^ *Executable .*(\(.*\))$/\1/p'
}
core=$(build -p anchorwatch-core --features std)
kernels=$(build -p anchorwatch-kernels)
runtime=
if [ -z "$quick" ]; then
    runtime=$(build -p anchorwatch)
    # shellcheck disable=SC2086
    $cargo build -q --locked --profile $profile --target $target $std --bin anchorwatch
fi
program=$CARGO_TARGET_DIR/$target/$profile/anchorwatch

outputs=$(mktemp -d)
trap 'rm -r "$outputs"' EXIT

# verdicts PROGRAM...: what it says of the sample frames, and the logits that it says it for.
verdicts() {
    {
        "$@" run --quiet --json --source models/samples 2>&1
        "$@" run --quiet --json --source models/samples/demo.avi --region grid:2x1 2>&1
        "$@" run --quiet --json --demo 2>/dev/null
    } | comparable
    # Everything is unknown, so that all of it is kept with its logits.
    kept=$(mktemp -d "$outputs/kept.XXXXXX")
    "$@" run --quiet --source models/samples --threshold 0.000000001 --events "$kept" >/dev/null 2>&1
    "$@" log "$kept" --export jsonl 2>/dev/null | grep -o '"logits":[^]]*]'
}
# The integers of the network give the same logits everywhere, to the last bit. Distances and scores are
# sums in float, whose order is that of each processor's registers: of them, three digits after the point.
# Clocks and speed are another's affair.
comparable() {
    sed -E '/ judged in /d; s/"time":"[^"]*",//; s/"uptime":[0-9.e+-]+,//; s/"clock_set":(true|false),//
        s/("(relative_)?score":-?[0-9]+\.[0-9]{0,3})[0-9]*/\1/g'
}
if [ -n "$host" ]; then verdicts "$host" >"$outputs/here"; fi

# as PROCESSOR VERSIONS ARGUMENTS...: all tests, and whether the kernels found these versions there:
# versions that are not found are not tested.
as() {
    processor=$1 versions=$2
    shift 2
    $emulate -cpu "$processor" "$core" "$@" || return
    found=$($emulate -cpu "$processor" "$kernels" --nocapture versions_of_this_processor |
        sed -n 's/^.*versions here: //p')
    if [ "$found" != "$versions" ]; then
        echo "test-arm: on $processor the kernels found '$found', not '$versions'" >&2
        return 1
    fi
    $emulate -cpu "$processor" "$kernels" "$@" || return
    [ -z "$quick" ] || return 0
    # The file system is this machine's, so the tests find their files. The emulator does not tell that a
    # program could not be started: that test is for real processors.
    $emulate -cpu "$processor" "$runtime" --skip a_missing_program_is_said_so "$@" || return
    # shellcheck disable=SC2086 # a program and its arguments
    verdicts $emulate -cpu "$processor" "$program" >"$outputs/verdicts-$processor"
    if ! diff "$outputs/here" "$outputs/verdicts-$processor"; then
        echo "test-arm: as a $processor, the program gives other verdicts than on this machine" >&2
        return 1
    fi
    echo "the same verdicts as on this machine, and the same $(grep -c logits "$outputs/here") logits to the last bit"
    # What the model file itself says must come out.
    # shellcheck disable=SC2086
    $emulate -cpu "$processor" "$program" inspect --verify | sed -n '/erified/p' || return
}

# All at once, each with its own output.
case $board in
aarch64) processors='cortex-a72 max' ;;
armv7) processors='cortex-a7 max' ;;
esac
jobs=
for processor in $processors; do
    case $board/$processor in
    armv7/*) versions=scalar ;; # Rust has no stable NEON for 32-bit ARM
    aarch64/max) versions='scalar neon dotprod i8mm' ;;
    *) versions='scalar neon' ;;
    esac
    as "$processor" "$versions" "$@" >"$outputs/$processor" 2>&1 &
    jobs="$jobs $!"
done
status=0
for job in $jobs; do wait "$job" || status=$?; done
for processor in $processors; do
    echo "== $board as $processor =="
    cat "$outputs/$processor"
done
exit $status
