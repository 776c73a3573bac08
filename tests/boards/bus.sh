#!/bin/sh
# Verdicts over I²C and SPI: boots a Debian kernel on QEMU's SABRE Lite (i.MX6, 32-bit ARM), a board that
# is no Raspberry Pi and has real controllers of both buses, with a memory chip at the end of each. The
# program judges the sample pictures and sends its verdicts to the one and to the other, and to an address
# where nobody is. What came over the wires is what the chips saw: it must be whole messages of the link,
# one a transfer, with what the program printed. One command, from packages only.
#
#   tests/boards/bus.sh [PROGRAM]
#
# PROGRAM is for armv7; without it, scripts/build.sh builds one.
set -eu
cd "$(dirname "$0")/../.."
. tests/boards/kernel.sh

need qemu-system-arm device-tree-compiler xz-utils python3 libc6-dev-armhf-cross libgcc-s1-armhf-cross
program=${1:-$(scripts/build.sh armv7)}
kernel=$(kernel armhf)
busybox=$(arm_busybox armhf)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
guest "$root" "$busybox" "$program" /usr/arm-linux-gnueabihf
mkdir "$root/pictures"
cp models/samples/known/*.jpg models/samples/unknown/*.jpg "$root/pictures/"
# The SPI bus has its chip select on a pin; the watchdog ends the machine.
modules "$kernel" "$root" gpio-mxc i2c-imx i2c-dev spi-imx imx2_wdt

cat >>"$root/init" <<'INIT'
# No link has said when it is; the messages of a run carry when it began.
date -s "2024-05-06 07:08" >/dev/null

anchorwatch inspect | sed -n 's/^ *classes  */model: /p'

# watch NAME BUS: what 'doctor' says of a bus, and a run with it.
watch() {
    anchorwatch doctor --source /pictures --bus "$2" 2>&1 | grep -A 1 '^[^ ]* *pins' | sed "s/^/$1 doctor: /"
    anchorwatch run --source /pictures --json --bus "$2" >/tmp/output 2>/tmp/errors
    echo "$1 EXIT $?"
    sed "s/^/$1 output: /" /tmp/output
    sed "s/^/$1 errors: /" /tmp/errors
}
watch i2c i2c:2:0x50
watch spi spi:0.0
watch nobody i2c:2:0x51
watch missing spi:0.1
echo "DONE"
reboot -f
INIT
initramfs "$root" "$work/initramfs"

# What is on the SPI bus is a flash chip; the kernel must leave it to the program.
cp "$(find "$kernel" -name imx6q-sabrelite.dtb | head -n 1)" "$work/tree"
fdtput -t s "$work/tree" /soc/bus@2000000/spba-bus@2000000/spi@2008000/flash@0 compatible rohm,dh2228fv
# The memory of the EEPROM on the third I²C bus.
truncate -s 4096 "$work/eeprom"

timeout "${ANCHORWATCH_BOOT_LIMIT:-900}" qemu-system-arm -M sabrelite -m 512 -display none -no-reboot \
    -monitor none -serial null -serial stdio -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs" \
    -dtb "$work/tree" -append "console=ttymxc1,115200 panic=-1 quiet" \
    -drive "file=$work/eeprom,if=none,id=eeprom,format=raw" \
    -device at24c-eeprom,bus=i2c-bus.2,address=0x50,rom-size=4096,drive=eeprom \
    -trace 'i2c_*' -trace 'm25p80_select' -trace 'm25p80_transfer' -D "$work/trace" \
    </dev/null | tr -d '\r' | tee "$work/console" || true
echo
python3 tests/boards/bus.py "$work"
