#!/bin/sh
# A camera that comes and goes: boots a Debian kernel in QEMU with `vivid`, the virtual V4L2 camera,
# and runs the program before it. It must list the camera, capture, judge and log; notice that the
# camera is taken away; and go on when it is back, though it gives another format then. One command,
# from packages only.
#
#   tests/boards/vivid.sh [x86_64 | aarch64] [PROGRAM]
#
# Without PROGRAM, the one for x86_64 is built.
set -eu
cd "$(dirname "$0")/../.."
. tests/boards/kernel.sh

machine=${1:-x86_64} program=${2:-}
case $machine in
x86_64)
    need qemu-system-x86 busybox-static xz-utils
    kernel=$(kernel amd64)
    prefix= busybox=$(command -v busybox)
    # On a busy machine the emulated timer is too late for the kernel's check of it, which is a panic.
    qemu="qemu-system-x86_64 -M q35 -cpu max" console="ttyS0 no_timer_check"
    if [ -z "$program" ]; then
        cargo build --release --workspace >&2
        program=${CARGO_TARGET_DIR:-target}/release/anchorwatch
    fi
    ;;
aarch64)
    need qemu-system-arm busybox-static xz-utils libc6-dev-arm64-cross libgcc-s1-arm64-cross
    kernel=$(kernel arm64)
    if [ -z "$program" ]; then
        echo "say which PROGRAM for aarch64 is to be tested" >&2
        exit 2
    fi
    prefix=/usr/aarch64-linux-gnu busybox=$(arm_busybox arm64)
    qemu="qemu-system-aarch64 -M virt -cpu cortex-a72" console=ttyAMA0
    ;;
*)
    echo "usage: $0 [x86_64 | aarch64] [PROGRAM]" >&2
    exit 2
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
guest "$root" "$busybox" "$program" "$prefix"
modules "$kernel" "$root" mc videodev videobuf2-common videobuf2-v4l2 rc-core cec v4l2-dv-timings \
    v4l2-tpg videobuf2-memops videobuf2-dma-contig videobuf2-vmalloc vivid

cat >>"$root/init" <<'INIT'
camera() { insmod /modules/vivid.ko n_devs=1 node_types=0x1 num_inputs=1 no_error_inj=1 "$@"; }

# until WHAT FILE: waits for a line.
until_line() {
    for second in $(seq 300); do
        grep -q "$1" "$2" 2>/dev/null && return 0
        sleep 1
    done
    echo "FAILED: no '$1' within 300 s"
    sed 's/^/  output: /' /tmp/output
    sed 's/^/  errors: /' /tmp/errors
    poweroff -f
}

# What is kept, as lines.
kept() { anchorwatch log /tmp/events --export jsonl 2>/dev/null; }

# until_kept WHAT COUNT: waits for so many events of a kind.
until_kept() {
    for second in $(seq 300); do
        [ "$(kept | grep -c "\"phase\":\"$1\"")" -ge "$2" ] && return 0
        sleep 1
    done
    echo "FAILED: no $2 events '$1' within 300 s"
    poweroff -f
}

# As a board without a battery starts.
date -s "2001-02-03 04:05" >/dev/null
camera input_types=0
echo "CAMERAS"
# It is long, and the console slow.
anchorwatch cameras >/tmp/cameras
grep -A 6 YUYV /tmp/cameras | sed 's/^/cameras: /'
grep ' brightness ' /tmp/cameras | sed 's/^/cameras: /'

# A sensor of the processor's temperature, which QEMU's machine has not.
mkdir -p /tmp/thermal/thermal_zone0
echo cpu-thermal >/tmp/thermal/thermal_zone0/type
echo 40000 >/tmp/thermal/thermal_zone0/temp
mount --bind /tmp/thermal /sys/class/thermal

# Everything is unknown: this is a test of the camera, not of the model.
anchorwatch run --source /dev/video0 --threshold 0.000001 --frame-timeout 20 \
    --camera-control brightness=100 --max-temperature 75 --events /tmp/events >/tmp/output 2>/tmp/errors &
program=$!
until_line "comes into view" /tmp/output
until_kept started 1
echo "STARTED"

echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
until_line "CAMERA LOST" /tmp/output
until_kept camera-lost 1
echo "LOST"
kill -0 $program || echo "FAILED: the program has ended"

# Another camera comes in its place: fixed to another size.
rmmod vivid
camera input_types=3 ccs_cap_mode=0
until_line "camera back" /tmp/output
until_kept camera-back 1
until_kept started 2
echo "BACK"

# It gets hot, and cool again.
echo 80000 >/tmp/thermal/thermal_zone0/temp
until_line "judging less" /tmp/errors
echo 40000 >/tmp/thermal/thermal_zone0/temp
until_line "judging more" /tmp/errors
echo "COOLED"

kill -TERM $program
wait $program
echo "EXIT $?"
sed 's/^/output: /' /tmp/output
sed 's/^/errors: /' /tmp/errors
kept | sed 's/^/event: /'
anchorwatch log /tmp/events verify | sed 's/^/verify: /'
echo "CROPS $(find /tmp/events/crops -type f | wc -l)"
echo "DONE"
poweroff -f
INIT
initramfs "$root" "$work/initramfs"

timeout "${ANCHORWATCH_BOOT_LIMIT:-900}" $qemu -m 512 -nographic -no-reboot -nic none \
    -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initramfs" \
    -append "console=$console panic=-1 quiet" </dev/null | tr -d '\r' | tee "$work/console" || true

# check WHAT PATTERN [COUNT]: so many lines at least.
status=0
check() {
    found=$(grep -c -E "$2" "$work/console" || true)
    if [ "$found" -lt "${3:-1}" ]; then
        echo "vivid: NOT SO: $1" >&2
        status=1
    else
        echo "vivid: $1"
    fi
}
echo
check "the camera is listed with its formats" "^cameras:   YUYV"
check "and its controls" "^cameras:     brightness +0 to 255, default 128"
check "something unknown was seen" "^STARTED"
check "the loss was noticed" "^LOST"
check "a loss is an event with its reason" '^event: .*"phase":"camera-lost".*disconnected'
check "what was in view has ended with the camera, and again at the end" '^event: .*"phase":"finished"' 2
check "the camera came back with another format" '^event: .*"format":"(1280×720|1920×1080) .*"phase":"camera-back"'
check "and frames of it were judged" "^BACK"
check "hot, it judged less, and cool again, more" "^COOLED"
check "the program ended well" "^EXIT 0"
check "no clock was set, and that is said" '^event: .*"clock_set":false'
check "pictures were kept" "^CROPS [1-9]"
check "what is kept is whole" "^verify: [0-9]+ events, all whole"
check "it went to the end" "^DONE"
if grep -q "FAILED\|panicked\|Kernel panic" "$work/console"; then
    echo "vivid: something failed, see above" >&2
    status=1
fi
exit $status
