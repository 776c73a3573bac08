#!/bin/sh
# Builds the firmware of every board and prints what it takes of flash memory and RAM. RAM is what is
# reserved when it is linked; the stack, of at most 8 KB (see stack.py), comes on top.
set -eu
cd "$(dirname "$0")"
. ./debian-toolchain.sh

need_network
build_board qemu --bins
build_board pico
build_board stm32

row() {
    arm-none-eabi-size "$cache/target/$2" | awk -v name="$1" 'NR == 2 { printf "%-34s %8d %8d\n", name, $1 + $2, $2 + $3 }'
}
printf '%-34s %8s %8s\n' 'bytes of' flash RAM
row 'companion, QEMU (Cortex-M4)' thumbv7em-none-eabihf/release/companion
row 'companion, Pico (Cortex-M0+)' thumbv6m-none-eabi/release/anchorwatch-pico
row 'companion, STM32F411 (Cortex-M4)' thumbv7em-none-eabihf/release/anchorwatch-stm32
row 'whole network, QEMU (Cortex-M4)' thumbv7em-none-eabihf/release/network
