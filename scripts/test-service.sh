#!/bin/sh
# Boots a small Debian for 64-bit ARM in QEMU, with the kernel's virtual camera (vivid), installs the
# package that scripts/package.sh made, starts the service, and looks: it must see the camera, say that
# something unknown has come, keep it, stop cleanly, and be purged without a trace. Needs root; from
# Debian's packages only.
#
#   scripts/test-service.sh [PACKAGE]
set -eu
cd "$(dirname "$0")/.."
package=${1:-$(scripts/package.sh aarch64 2>/dev/null | tail -n 1)}

. tests/boards/kernel.sh
need mmdebstrap arch-test qemu-user-static qemu-system-arm cpio kmod
. scripts/small-debian.sh

work=$(mktemp -d)
root=$work/root
mkdir "$root"
end() {
    rm -rf --one-file-system "$work"
    forget_entries
}
trap end EXIT
can_run arm64
archive=$(small_debian arm64)
tar -x -C "$root" -f "$archive" --exclude='./usr/share/doc/*' --exclude='./var/cache/*' --exclude='./var/lib/apt/lists/*'

kernel=$(kernel arm64)
version=$(basename "$kernel"/lib/modules/*)
mkdir -p "$root/usr/lib/modules/$version/kernel/drivers"
cp -r "$kernel/lib/modules/$version/kernel/drivers/media" "$root/usr/lib/modules/$version/kernel/drivers/"
cp "$kernel/lib/modules/$version"/modules.* "$root/usr/lib/modules/$version/"
/sbin/depmod -b "$root/usr" "$version" 2>/dev/null || /sbin/depmod -b "$root" "$version"

cp "$package" "$root/anchorwatch.deb"
cat >"$root/test.sh" <<'END'
#!/bin/sh
# What happens in the booted system.
set -eu
said() { journalctl --quiet --no-pager --output=cat --unit=anchorwatch; }
fail() {
    echo "test-service: $1"
    systemctl status --no-pager --lines=30 anchorwatch || true
    exit 1
}
# wait_for SECONDS COMMAND...
wait_for() {
    left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 1
    done
}
heard_of_unknown() { said | grep 'comes into view: UNKNOWN'; }

dpkg --install /anchorwatch.deb
# The camera comes after the service, which must not give up.
sed -i 's/^events = .*/&\nthreshold = 0.000001/' /etc/anchorwatch/service.toml # this is no test of the model
systemctl start anchorwatch || fail 'without a camera it does not start'
sleep 10
systemctl is-active --quiet anchorwatch || fail 'without a camera it does not stay'
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 no_error_inj=1
wait_for 60 test -c /dev/video0 || fail 'there is no camera'
wait_for 300 heard_of_unknown || fail 'it says nothing of the camera'
systemctl is-active --quiet anchorwatch || fail 'it does not run'
is_kept() { anchorwatch log /var/lib/anchorwatch --kind started --json | grep -q '"crop":"crops/'; }
wait_for 60 is_kept || fail 'nothing is kept'
[ "$(stat -c %U:%G /var/lib/anchorwatch/events.db)" = anchorwatch:anchorwatch ] || fail 'another user wrote it'
systemctl stop anchorwatch
[ "$(systemctl show --property=Result --property=ExecMainStatus anchorwatch | sort | xargs)" = \
    'ExecMainStatus=0 Result=success' ] || fail 'it did not stop cleanly'
said
anchorwatch log /var/lib/anchorwatch
anchorwatch log /var/lib/anchorwatch verify || fail 'what is kept is not whole'
# A wrong setting is no reason to try again and again.
echo 'no-such-key = 1' >>/etc/anchorwatch/service.toml
systemctl start anchorwatch || true
wait_for 60 systemctl is-failed --quiet anchorwatch || fail 'a wrong setting is no failure'
[ "$(systemctl show --property=ExecMainStatus --value anchorwatch)" = 2 ] || fail 'it ended with another code'
systemctl show --property=ExecMainStatus --property=NRestarts anchorwatch
dpkg --purge anchorwatch
for left in /var/lib/anchorwatch /etc/anchorwatch /usr/bin/anchorwatch /etc/systemd/system/multi-user.target.wants/anchorwatch.service; do
    [ ! -e $left ] || fail "purge leaves $left"
done
! getent passwd anchorwatch || fail 'purge leaves the user'
echo 'test-service: all is well'
END
cat >"$root/etc/systemd/system/test.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=LC_ALL=C.UTF-8
ExecStart=sh /test.sh
ExecStopPost=systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyAMA0
END
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../test.service "$root/etc/systemd/system/graphical.target.wants/test.service"

# The console is the test's: a login would hang up on it.
ln -s /dev/null "$root/etc/systemd/system/serial-getty@ttyAMA0.service"

(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initrd"
qemu-system-aarch64 -M virt -cpu cortex-a72 -smp 2 -m 1536 -nographic -no-reboot -nic none \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd" \
    -append "console=ttyAMA0 panic=-1 quiet rdinit=/sbin/init systemd.show_status=0 systemd.firstboot=no" \
    </dev/null | tee "$work/console"
grep -q '^test-service: all is well' "$work/console"
