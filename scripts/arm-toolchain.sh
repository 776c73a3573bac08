# Read by the scripts that build for ARM boards on a Debian machine of another kind (`.`), from a bare
# Debian 12 on: installs the packages that are missing (that needs root, or sudo, once), and sets what
# cargo needs. Before that, `board` can be
#
#   aarch64   64-bit ARM (the default)
#   armv7     32-bit ARM with hardware floating point
#
# and `packages` can name further packages. Afterwards `$cargo ARGUMENTS --target $target $std` builds,
# and $emulate runs what it built.
#
# Debian's own Rust (packages *-web) is used: its standard library for arm64 is a package too, which is
# unpacked into the cache folder; for 32-bit ARM it is built from its source package. Nothing outside the
# cache folder is changed.
# shellcheck shell=sh

board=${board:-aarch64}
case $board in
aarch64)
    target=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu emulator=qemu-aarch64-static
    packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross ${packages:-}"
    ;;
armv7)
    target=armv7-unknown-linux-gnueabihf gnu=arm-linux-gnueabihf emulator=qemu-arm-static
    packages="gcc-arm-linux-gnueabihf libc6-dev-armhf-cross rust-web-src ${packages:-}"
    ;;
*)
    echo "arm-toolchain: no board '$board', only aarch64 and armv7" >&2
    exit 2
    ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/$board

# The compiler, the linker, the C library for the board, the emulator, and libclang for v4l's binding
# generator, which reads the kernel's headers of the board.
packages="rustc-web cargo-web gcc libc6-dev libclang-dev qemu-user-static $packages"
. scripts/debian-packages.sh
# shellcheck disable=SC2086 # one word a package
need $packages

emulate="$emulator -L /usr/$gnu"
cargo=/usr/bin/cargo
# The variables that are named after the target are read for it alone.
name=$(echo "$target" | tr a-z- A-Z_)
export PATH="/usr/bin:$PATH"
export CARGO_TARGET_DIR="$cache/target"
export "CARGO_TARGET_${name}_LINKER=$gnu-gcc"
export "CARGO_TARGET_${name}_RUNNER=$emulate"
export "BINDGEN_EXTRA_CLANG_ARGS_$(echo "$target" | tr - _)=-I/usr/$gnu/include"
unset RUSTUP_TOOLCHAIN

std=
if [ "$board" = armv7 ]; then
    std=-Zbuild-std=std,test
    export RUSTC_BOOTSTRAP=1 # lets a stable cargo heed -Zbuild-std
else
    # The standard library for arm64, of just the compiler's version.
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    sysroot=$cache/sysroot-$version
    if [ ! -e "$sysroot/done" ]; then
        if ! dpkg --print-foreign-architectures | grep -q '^arm64$'; then
            $as_root dpkg --add-architecture arm64
        fi
        package_lists
        mkdir -p "$sysroot/download"
        (cd "$sysroot/download" && apt-get download "libstd-rust-web-dev:arm64=$version" >&2)
        dpkg -x "$sysroot"/download/*.deb "$sysroot/unpacked"
        mkdir -p "$sysroot/lib"
        ln -sfn ../unpacked/usr/lib/rustlib "$sysroot/lib/rustlib"
        rm -r "$sysroot/download"
        touch "$sysroot/done"
    fi
    export "CARGO_TARGET_${name}_RUSTFLAGS=--sysroot=$sysroot"
fi
