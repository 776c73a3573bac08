#!/bin/sh
# Runs the tests of the core for 64-bit ARM, under emulation, on a Debian machine of another
# kind: this is what proves the NEON code where there is no board. From a bare Debian 12 on; needs
# root (or sudo) once, for the packages. Further arguments go to the test programs.
#
# Debian's own Rust (packages *-web) is used, since its standard library for arm64 is a package
# too; it is unpacked into the cache folder, and nothing outside that folder is changed.
set -eu
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/aarch64
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

# The compiler, the linker, the C library for arm64 and the emulator.
missing=
for package in rustc-web cargo-web gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    $as_root apt-get update -q
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install -y -q --no-install-recommends $missing
fi

# The standard library for arm64, of just the compiler's version.
version=$(dpkg-query -W -f '${Version}' rustc-web)
sysroot=$cache/sysroot-$version
if [ ! -e "$sysroot/done" ]; then
    if ! dpkg --print-foreign-architectures | grep -q '^arm64$'; then
        $as_root dpkg --add-architecture arm64
    fi
    $as_root apt-get update -q
    mkdir -p "$sysroot/download"
    (cd "$sysroot/download" && apt-get download "libstd-rust-web-dev:arm64=$version")
    dpkg -x "$sysroot"/download/*.deb "$sysroot/unpacked"
    mkdir -p "$sysroot/lib"
    ln -sfn ../unpacked/usr/lib/rustlib "$sysroot/lib/rustlib"
    rm -r "$sysroot/download"
    touch "$sysroot/done"
fi

export PATH="/usr/bin:$PATH"
export CARGO_TARGET_DIR="$cache/target"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot=$sysroot"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
unset RUSTUP_TOOLCHAIN
/usr/bin/cargo test --release --lib --target $target -p anchorwatch-core --features std -- "$@"
