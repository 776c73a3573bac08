#!/bin/sh
# A Raspberry Pi with a companion: boots a Debian kernel on QEMU's Raspberry Pi 3, and beside it a
# Cortex-M4 with the companion firmware, joined by a serial line. The program watches the sample video,
# then the kernel's virtual camera. From outside it is seen that a pin goes up with each unknown thing and
# down after it, that the heart beats, that an input arms it, and that the companion gets the verdicts over
# the line and raises its alarm. One command, from packages only.
#
#   tests/boards/pi.sh [PROGRAM]
#
# PROGRAM is for aarch64; without it, scripts/build.sh builds one.
set -eu
cd "$(dirname "$0")/../.."
. tests/boards/kernel.sh

need qemu-system-arm xz-utils python3 libc6-dev-arm64-cross libgcc-s1-arm64-cross
program=${1:-$(scripts/build.sh aarch64)}
kernel=$(kernel arm64)
busybox=$(arm_busybox arm64)
(
    cd firmware
    . ./debian-toolchain.sh
    build_board qemu --bin companion >&2
)
firmware=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/firmware/target/thumbv7em-none-eabihf/release/companion

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
guest "$root" "$busybox" "$program" /usr/aarch64-linux-gnu
cp models/samples/demo.avi "$root/"
modules "$kernel" "$root" mc videodev videobuf2-common videobuf2-v4l2 rc-core cec v4l2-dv-timings \
    v4l2-tpg videobuf2-memops videobuf2-dma-contig videobuf2-vmalloc vivid bcm2835_wdt

cat >>"$root/init" <<'INIT'
insmod /modules/vivid.ko n_devs=1 node_types=0x1 num_inputs=1 no_error_inj=1 input_types=0

echo "VIDEO BEGINS"
anchorwatch --verbose run --source /demo.avi --gpio-unknown 17 --gpio-heartbeat 22 --uart /dev/ttyS1 \
    --events /tmp/events >/tmp/output 2>&1
echo "VIDEO EXIT $?"
sed 's/^/video: /' /tmp/output
sed 's/^/companion: /' /tmp/events/companion.jsonl

# Everything is unknown to this threshold: here it is the input that counts.
anchorwatch run --source /dev/video0 --threshold 0.000001 --frame-timeout 20 --gpio-unknown 17:high \
    --gpio-heartbeat 22 --gpio-arm 27 --events /tmp/armed >/tmp/output 2>&1 &
program=$!
echo "CAMERA BEGINS"
for second in $(seq 240); do
    anchorwatch log /tmp/armed --kind finished --json 2>/dev/null | grep -q . && break
    sleep 1
done
echo "CAMERA SEEN"
sleep 3
kill -TERM $program
wait $program
echo "CAMERA EXIT $?"
sed 's/^/camera: /' /tmp/output
sleep 2
reboot -f
INIT
initramfs "$root" "$work/initramfs"

dtb=$(find "$kernel" -name bcm2837-rpi-3-b.dtb | head -n 1)
exec python3 tests/boards/pi.py "$work" "$kernel"/boot/vmlinuz-* "$dtb" "$firmware"
