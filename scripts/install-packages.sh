#!/bin/sh
# Installs the Debian packages that a build needs; with `tests`, those of the tests too. Does
# nothing, and needs no root, where they are there already.
#
#   scripts/install-packages.sh [tests]
set -eu

# libclang: v4l's binding generator reads the kernel's video headers with it.
packages="gcc libc6-dev libclang-dev"
if [ "${1:-}" = tests ]; then
    # Python with pip fetches libtorch for the trainer, and onnxruntime to compare with.
    packages="$packages g++ python3 python3-pip python3-venv"
    # The pages are tested in a browser, positions with gpsd, what is sent with mosquitto.
    packages="$packages chromium chromium-driver gpsd mosquitto mosquitto-clients openssl"
fi

missing=
for package in $packages; do
    # Python may have been installed in another way, with pip and venv, and chromedriver with its browser.
    case $package in
    chromium | chromium-driver) command -v chromedriver >/dev/null && continue ;;
    python3) command -v python3 >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "install-packages:$missing" >&2
$as_root apt-get update -q >&2 || echo "some package lists could not be fetched: going on with those that are here" >&2
# shellcheck disable=SC2086 # one word a package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
