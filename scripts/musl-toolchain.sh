# Read by scripts/build.sh (`.`), after `board` is set to x86_64-musl or aarch64-musl: programs that need
# nothing of the system but its kernel, for Alpine, Buildroot and others without glibc. From a bare Debian
# 12 on; afterwards `$cargo ARGUMENTS --target $target $std` builds, with the linker of scripts/shipping.sh,
# and $emulate runs what it built.
#
# The standard library is built from Debian's source package of Rust; musl is zig's.
# shellcheck shell=sh

target=${board%-musl}-unknown-linux-musl
cache=${XDG_CACHE_HOME:-$HOME/.cache}/anchorwatch/$board
. scripts/debian-packages.sh
need rustc-web cargo-web rust-web-src gcc libc6-dev libclang-dev
emulate=
if [ "$board" = aarch64-musl ]; then
    need qemu-user-static
    emulate=qemu-aarch64-static
fi
unset RUSTUP_TOOLCHAIN
cargo=/usr/bin/cargo std=-Zbuild-std=std,panic_unwind
export PATH="/usr/bin:$PATH"
export RUSTC_BOOTSTRAP=1 # lets a stable cargo heed -Zbuild-std
export CARGO_TARGET_DIR="$cache/target"
