#!/bin/sh
# Installs a package that scripts/package.sh made into a small Debian of its kind, emulated where need be,
# uses it there, and purges it: nothing may be left. Needs root.
#
#   scripts/test-package.sh x86_64|aarch64|armv7 [PACKAGE]
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
armv7) architecture=armhf ;;
*)
    echo "usage: $0 x86_64|aarch64|armv7 [PACKAGE]" >&2
    exit 2
    ;;
esac
package=${2:-$(scripts/package.sh "$1" 2>/dev/null | tail -n 1)}
[ "$(dpkg-deb --field "$package" Architecture)" = $architecture ]

. scripts/debian-packages.sh
need mmdebstrap arch-test qemu-user-static
. scripts/small-debian.sh

work=$(mktemp -d)
root=$work/root
mkdir "$root"
end() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$work"
    forget_entries
}
trap end EXIT
can_run $architecture
archive=$(small_debian $architecture)
tar -x -C "$root" -f "$archive"
mount -t proc proc "$root/proc"
cp "$package" "$root/anchorwatch.deb"

fail() {
    echo "test-package: $1" >&2
    exit 1
}
# As in a system of its own: nothing of this one's environment.
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root chroot "$root" "$@"
}
# Everything that is there, with the users and groups. Not the package manager's own records and caches,
# not what is gone when the system starts anew, and not the copies that the tools for users make of the files they change.
state() {
    (
        cd "$root"
        find . -xdev \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache -o -path ./run \) -prune \
            -o -print | grep -v -E '^\./(anchorwatch\.deb|etc/(passwd|group|shadow|gshadow|subuid|subgid)-|etc/\.pwd\.lock)$'
        cat etc/passwd etc/group etc/shadow etc/gshadow
        cat var/lib/systemd/deb-systemd-helper-* 2>/dev/null || true
    ) | sort
}

# Groups that Raspberry Pi OS has and Debian has not, but for spi: what is there must be joined, the
# rest left out.
inside groupadd --system gpio
inside groupadd --system i2c
state >"$work/before"

inside dpkg --install /anchorwatch.deb
[ "$(inside id --groups --name anchorwatch | tr ' ' '\n' | sort | xargs)" = 'anchorwatch dialout gpio i2c video' ] ||
    fail "the service's user is in the groups $(inside id --groups --name anchorwatch)"
[ "$(inside dpkg-query --show --showformat '${Conffiles}' anchorwatch | grep -c /etc/anchorwatch/service.toml)" = 1 ] ||
    fail 'the configuration is no conffile'
inside systemd-analyze verify --man=no anchorwatch.service 2>&1 | grep anchorwatch | grep -v 'is not executable' &&
    fail 'systemd has something against the unit'
[ "$(inside systemctl is-enabled anchorwatch || true)" = disabled ] || fail 'the service is enabled unasked'
for file in usr/share/man/man1/anchorwatch.1.gz usr/share/man/man1/anchorwatch-run.1.gz \
    usr/share/bash-completion/completions/anchorwatch usr/lib/udev/rules.d/50-anchorwatch.rules \
    usr/share/doc/anchorwatch/copyright usr/share/doc/anchorwatch/anchorwatch.cdx.json; do
    [ -s "$root/$file" ] || fail "$file is not there"
done

# The program runs with what is there, as the service's user, and judges; the settings are read.
verdicts=$(inside setpriv --reuid anchorwatch --regid anchorwatch --init-groups anchorwatch run --demo)
[ "$(echo "$verdicts" | grep -c '^known/.* known ')" = 7 ] || fail "the demo says: $verdicts"
[ "$(echo "$verdicts" | grep -c '^unknown/.* UNKNOWN ')" = 4 ] || fail "the demo says: $verdicts"
inside anchorwatch config --config /etc/anchorwatch/service.toml | grep -q '^source = "/dev/video0"' ||
    fail 'the settings are not read'
inside anchorwatch inspect --verify >/dev/null || fail 'it computes something else here'

# Enabled, used, installed once more, and everything goes.
inside systemctl enable anchorwatch
inside install -d -o anchorwatch -g anchorwatch /var/lib/anchorwatch/crops
inside dpkg --install /anchorwatch.deb
inside dpkg --remove anchorwatch
[ -e "$root/etc/anchorwatch/service.toml" ] || fail 'removal takes the configuration along'
[ -e "$root/var/lib/anchorwatch/crops" ] || fail 'removal takes the events along'
inside dpkg --purge anchorwatch
state | diff "$work/before" - || fail 'purge leaves something behind'
echo "test-package: $package: installed, used, purged; nothing is left"
