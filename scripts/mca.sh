#!/bin/bash
# How near the int8 kernels for 64-bit ARM come to what the processors can do at most, without a
# board: LLVM's models of the processors (llvm-mca) say how many cycles the compiled instructions
# take. First the inner loops, which 3x3 and 1x1 convolutions share (they differ in how often it
# runs before the next pixels), then whole layers, from conversion to the requantized bytes: every
# instruction that the emulator executed for the layer. Nothing in the models is ever missed in a
# cache, and jumps are foreseen.
#
#   scripts/mca.sh [--loops]     with --loops, only the inner loops
#
# The most that is possible:
# - Cortex-A72 (Raspberry Pi 4): `smull` and `smlal` run in one of the two vector pipes only (F0) and
#   take a cycle each: 8 products of bytes a cycle. `sadalp`, once for two of them, has the other
#   pipe. Winograd's method multiplies 4 numbers of 16 bits a cycle, with a quarter as many products.
# - Cortex-A76 (Raspberry Pi 5): `sdot` runs in both pipes, 16 products each: 32 a cycle. LLVM's model
#   called cortex-a76 is that of the Cortex-A57 (it starts 3 instructions and one load a cycle; the
#   A76 does 4 and 2); neoverse-n1 is the model made for this core's server sibling. Both are shown.
# - Neoverse N2: `usmmla` runs in both pipes, 32 products each: 64 a cycle.
#
# From a bare Debian 12 on; needs root (or sudo) once, for the packages.
set -euo pipefail
cd "$(dirname "$0")/.."

# The newest LLVM that is there, or else that can be installed.
llvm=
for version in 21 20 19 18 17 16; do
    if command -v llvm-mca-$version >/dev/null; then llvm=$version; break; fi
done
for version in 21 20 19 18 17 16; do
    [ -z "$llvm" ] || break
    if apt-cache show llvm-$version >/dev/null 2>&1; then llvm=$version; fi
done
packages="llvm-${llvm:-16}"
. scripts/arm-toolchain.sh
mca="llvm-mca-$llvm -mtriple=aarch64 -mattr=+dotprod,+i8mm,+lse"

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
# The program's addresses must be those of the disassembly.
export CARGO_TARGET_DIR="$cache/static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot=$sysroot -Ctarget-feature=+crt-static -Crelocation-model=static"

# cycles PROCESSOR FILE ITERATIONS: what the model says.
cycles() {
    $mca -mcpu="$1" -iterations="$3" --instruction-info=0 --resource-pressure=0 "$2" |
        sed -n 's/^Total Cycles: *//p'
}

# row NAME PROCESSOR INSTRUCTIONS PRODUCTS CYCLES PEAK
row() {
    awk -v name="$1" -v processor="$2" -v instructions="$3" -v products="$4" -v cycles="$5" -v peak="$6" \
        'BEGIN { printf "%-36s %-12s %9.0f %9.0f %9.1f %7.2f %5d %5.1f %%\n", name, processor, instructions,
                 products, cycles, products / cycles, peak, 100 * products / cycles / peak }'
}
heading() {
    printf '\n%-36s %-12s %9s %9s %9s %7s %5s %7s\n' "$1" model instr. products cycles /cycle peak 'of peak'
}

# loop NAME FUNCTIONS INSTRUCTION PRODUCTS-OF-IT PEAK PROCESSORS
loop() {
    awk -v where="$2" -v wanted="^($3)" -f scripts/inner-loops.awk "$work/disassembly" >"$work/loop.s"
    instructions=$(wc -l <"$work/loop.s")
    products=$(($(grep -cE "^($3)" "$work/loop.s") * $4))
    for processor in $6; do
        total=$(cycles "$processor" "$work/loop.s" 200)
        row "$1" "$processor" "$instructions" "$products" "$(echo "$total" | awk '{ print $1 / 200 }')" "$5"
    done
}

/usr/bin/cargo build -q --release --example layer --target $target -p anchorwatch-kernels
program=$CARGO_TARGET_DIR/$target/release/examples/layer
aarch64-linux-gnu-objdump -d --no-show-raw-insn "$program" >"$work/disassembly"

heading 'Inner loop'
loop 'neon: 3x3, 1x1' 'aarch644neon' 'smull|smlal' 8 8 cortex-a72
loop "neon: Winograd's products" 'aarch648winograd' smlal 4 4 cortex-a72
loop 'dotprod: 3x3, 1x1' 'aarch647dotprod' sdot 16 32 'cortex-a76 neoverse-n1'
loop 'i8mm: 3x3, 1x1' 'aarch644i8mm' usmmla 32 64 neoverse-n2
[ "${1:-}" != --loops ] || exit 0

# Debian's qemu-user can load plugins, but no package has the one that counts instructions
# (libinsn.so), so the record of what is executed is read instead.
#
# layer NAME VERSION PEAK PROCESSORS ARGUMENTS...
layer() {
    name=$1 version=$2 peak=$3 processors=$4
    shift 4
    ANCHORWATCH_KERNEL=$version qemu-aarch64-static -cpu max,sve=off -singlestep -d exec,nochain \
        "$program" "$@" 2>&1 >"$work/output" | awk -f scripts/executed.awk "$work/disassembly" - >"$work/layer.s"
    products=$(awk '{ print $3 }' "$work/output")
    for processor in $processors; do
        total=$(cycles "$processor" "$work/layer.s" 1)
        row "$version: $name" "$processor" "$(wc -l <"$work/layer.s")" "$products" "$total" "$peak"
    done
}

# Depthwise layers multiply with `smull` on all these processors; what Winograd's method saves is
# counted as done, so that 16 a cycle are possible.
heading 'Whole layer, as executed'
# Name, peaks of A72 and A76 (0: not there), height width channels outputs kernel stride groups.
while read -r name neon_peak dotprod_peak arguments; do
    # shellcheck disable=SC2086 # numbers
    layer "$name" neon "$neon_peak" cortex-a72 $arguments
    # shellcheck disable=SC2086 # numbers
    [ "$dotprod_peak" = 0 ] || layer "$name" dotprod "$dotprod_peak" 'cortex-a76 neoverse-n1' $arguments
done <<END
3x3,64->16,8x8 8 32 8 8 64 16 3 1 1 direct
3x3,64->16,8x8,Winograd 16 0 8 8 64 16 3 1 1 winograd
1x1,96->24,8x8 8 32 8 8 96 24 1 1 1
1x1,16->96,8x8 8 32 8 8 16 96 1 1 1
3x3,3->32,8x8 8 32 8 8 3 32 3 1 1
3x3,depthwise,48,8x8 8 8 8 8 48 48 3 1 48
5x5,depthwise,48,8x8 8 8 8 8 48 48 5 1 48
END
