#!/bin/sh
# Runs the tests of the core and of the int8 kernels for 64-bit ARM, under emulation, on a Debian
# machine of another kind: this is what proves the NEON code where there is no board. It does so
# twice: as a Cortex-A72 (NEON and no more, as a Raspberry Pi 4), and as a processor that has
# everything the emulator knows, dot product and matrix product among it. From a bare Debian 12
# on; needs root (or sudo) once, for the packages. Further arguments go to the test programs.
set -eu
cd "$(dirname "$0")/.."
. scripts/aarch64-toolchain.sh

# Builds a crate's tests; prints the program.
build() {
    if ! messages=$(/usr/bin/cargo test --release --lib --target $target --no-run "$@" 2>&1); then
        echo "$messages" >&2
        return 1
    fi
    echo "$messages" | sed -n 's/^ *Executable .*(\(.*\))$/\1/p'
}
core=$(build -p anchorwatch-core --features std)
kernels=$(build -p anchorwatch-kernels)

# as PROCESSOR VERSIONS ARGUMENTS...: all tests, and whether the kernels found these versions there:
# versions that are not found are not tested.
as() {
    processor=$1 versions=$2
    shift 2
    $emulate -cpu "$processor" "$core" "$@"
    found=$($emulate -cpu "$processor" "$kernels" --nocapture versions_of_this_processor |
        sed -n 's/^.*versions here: //p')
    if [ "$found" != "$versions" ]; then
        echo "test-aarch64: on $processor the kernels found '$found', not '$versions'" >&2
        return 1
    fi
    $emulate -cpu "$processor" "$kernels" "$@"
}

# Both at once, each with its own output.
outputs=$(mktemp -d)
trap 'rm -r "$outputs"' EXIT
as cortex-a72 'scalar neon' "$@" >"$outputs/cortex-a72" 2>&1 &
first=$!
status=0
as max 'scalar neon dotprod i8mm' "$@" >"$outputs/max" 2>&1 || status=$?
wait $first || status=$?
for processor in cortex-a72 max; do
    echo "== $processor =="
    cat "$outputs/$processor"
done
exit $status
