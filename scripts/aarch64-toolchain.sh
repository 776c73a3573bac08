# Read by the scripts that build for 64-bit ARM on a Debian machine of another kind (`.`), from a
# bare Debian 12 on: installs the packages that are missing (that needs root, or sudo, once), and
# sets what cargo needs. Afterwards `/usr/bin/cargo ... --target $target` builds, and $emulate runs
# what it built. Before that, `packages` can name further packages.
#
# Debian's own Rust (packages *-web) is used, since its standard library for arm64 is a package
# too; it is unpacked into the cache folder, and nothing outside that folder is changed.
# shellcheck shell=sh

target=aarch64-unknown-linux-gnu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/aarch64
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

# The compiler, the linker, the C library for arm64 and the emulator.
packages="rustc-web cargo-web gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static ${packages:-}"
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get install -y -q --no-install-recommends $missing >&2
fi

# The standard library for arm64, of just the compiler's version.
version=$(dpkg-query -W -f '${Version}' rustc-web)
sysroot=$cache/sysroot-$version
if [ ! -e "$sysroot/done" ]; then
    if ! dpkg --print-foreign-architectures | grep -q '^arm64$'; then
        $as_root dpkg --add-architecture arm64
    fi
    $as_root apt-get update -q >&2
    mkdir -p "$sysroot/download"
    (cd "$sysroot/download" && apt-get download "libstd-rust-web-dev:arm64=$version" >&2)
    dpkg -x "$sysroot"/download/*.deb "$sysroot/unpacked"
    mkdir -p "$sysroot/lib"
    ln -sfn ../unpacked/usr/lib/rustlib "$sysroot/lib/rustlib"
    rm -r "$sysroot/download"
    touch "$sysroot/done"
fi

emulate="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
export PATH="/usr/bin:$PATH"
export CARGO_TARGET_DIR="$cache/target"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot=$sysroot"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulate"
unset RUSTUP_TOOLCHAIN
