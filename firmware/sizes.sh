#!/bin/sh
# Builds the firmware of every board, prints what it takes of flash memory and RAM, and checks that nothing
# that its main loop does can panic and how deep its stack can get (see stack.py). RAM is what is reserved
# when the program is linked; the stack comes on top.
set -eu
cd "$(dirname "$0")"
. ./debian-toolchain.sh

need_network
build_board qemu --bins
build_board pico
build_board stm32

# By sections: the Pico's .data has code in it, and counts as such in the short form.
row() {
    arm-none-eabi-size -A "$cache/target/$2" | awk -v name="$1" '
        $1 ~ /^\.(vector_table|boot2|text|rodata|data)$/ { flash += $2 }
        $1 ~ /^\.(data|bss|uninit)$/ { ram += $2 }
        END { printf "%-34s %8d %8d\n", name, flash, ram }'
}
printf '%-34s %8s %8s\n' 'bytes of' flash RAM
row 'companion, QEMU (Cortex-M4)' thumbv7em-none-eabihf/release/companion
row 'companion, Pico (Cortex-M0+)' thumbv6m-none-eabi/release/anchorwatch-pico
row 'companion, STM32F411 (Cortex-M4)' thumbv7em-none-eabihf/release/anchorwatch-stm32
row 'whole network, QEMU (Cortex-M4)' thumbv7em-none-eabihf/release/network

# Starting the hardware could panic on these boards; a turn of the main loop cannot. On the Pico some routines
# of the boot ROM, which is not in the program, are called by address; 256 bytes are allowed for them.
echo 'companion, STM32F411:'
check_stack anchorwatch-stm32 --turn 8exchange4turn
echo 'companion, Pico:'
check_stack anchorwatch-pico --turn 8exchange4turn --by-address 256
