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

. "$(dirname "$0")/debian-packages.sh"
wanted=
for package in $packages; do
    # Python may have been installed in another way, with pip and venv, and chromedriver with its browser.
    case $package in
    chromium | chromium-driver) command -v chromedriver >/dev/null && continue ;;
    python3) command -v python3 >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 && continue ;;
    esac
    wanted="$wanted $package"
done
# shellcheck disable=SC2086 # one word a package
need $wanted
